"""Heads: what turns the backbone's state at a readout into raw outputs, as data and as a module.

Each spec says which weights of a checkpoint it is made of (`keys`) and makes the module. A verbalizer, a few
rows of a language model's output table, is a linear layer like any other: with the same rows it gives the
same outputs, and the rest of the vocabulary is never computed.

    Linear(width)        one linear layer              Mlp(width)       two, with a ReLU between
    Verbalizer(words)    rows of the LM's output       MeanLogit()      mean row of the LM's output
    Ensemble(members)    several small networks        TokenLogprob()   log-probability of the next token
    NextTokenValue()     the whole output table read as values of the next token
    LogitsLinear(width)  one linear layer on all logits of the LM
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from preceptor.errors import ModelError
from preceptor.reward.layout import tag_ids

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

State = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Linear:
    """h -> width. `at` is the layer's name in the checkpoint; `file`: that of a file beside the body's that
    holds the layer alone, as "weight" and "bias", without its ending."""

    width: int = 2
    at: str = "score"
    file: str = ""

    def module(self, hidden: int) -> nn.Module:
        return nn.Linear(hidden, self.width)

    def keys(self) -> dict[str, str]:
        if self.file:
            return {"weight": "weight", "bias": "bias"}
        return {"weight": f"{self.at}.weight", "bias": f"{self.at}.bias"}


@dataclass(frozen=True)
class Mlp:
    """h -> h -> width with a ReLU, as two-layer heads of public PRMs have it."""

    width: int = 2
    at: str = "score"

    def module(self, hidden: int) -> nn.Module:
        return nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, self.width))

    def keys(self) -> dict[str, str]:
        return {f"{i}.{part}": f"{self.at}.{i}.{part}" for i in (0, 2) for part in ("weight", "bias")}


@dataclass(frozen=True)
class Ensemble:
    """`members` independent networks h -> width -> width -> 1, always in fp32 (ActPRM's layout of keys)."""

    members: int = 32
    width: int = 128
    at: str = "score.model"

    def module(self, hidden: int) -> nn.Module:
        return EnsembleModule(hidden, self.members, self.width)

    def keys(self) -> dict[str, str]:
        return {
            f"{layer}.{part}": f"{self.at}.{layer}.{part}"
            for layer in ("nn1", "nn2", "nn_out")
            for part in ("weight", "bias")
        }


@dataclass(frozen=True)
class Verbalizer:
    """Rows of the LM's output table: one output per word, in this order."""

    words: tuple[str, ...]
    ids: tuple[int, ...] = ()
    """The words' documented ids in the public tokenizer; what is used is looked up in the tokenizer at hand."""

    def rows(self, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
        found = []
        for word in self.words:
            ids = tag_ids(tokenizer, word)
            if not ids:
                raise ModelError(f"verbalizer: this tokenizer makes no token of {word!r}")
            found.append(ids[0])
        if len(set(found)) != len(found):
            raise ModelError(
                f"verbalizer: got the tokens {found} for the words {list(self.words)}, expected different ones. "
                "Use the tokenizer that the model was trained with."
            )
        return tuple(found)


@dataclass(frozen=True)
class MeanLogit:
    """The mean of all logits of the language model: one output."""


@dataclass(frozen=True)
class LogitsLinear:
    """One linear layer on the logits of the whole vocabulary: V -> width (DreamPRM). The product of the two
    tables is a linear layer on the hidden state, of rank `width`; what differs is how it starts and trains."""

    width: int = 1


@dataclass(frozen=True)
class TokenLogprob:
    """log p(next token) under the language model, fp32: one output."""


@dataclass(frozen=True)
class NextTokenValue:
    """The LM's output table, plus a trained bias, read as the value of every next token; one output: that
    of the token that does come next (SAFFRON's multifurcation head)."""


HeadSpec = Linear | Mlp | Ensemble | Verbalizer | MeanLogit | LogitsLinear | TokenLogprob | NextTokenValue
HEADS: dict[str, type[HeadSpec]] = {
    "ensemble": Ensemble,
    "linear": Linear,
    "logits-linear": LogitsLinear,
    "mean-logit": MeanLogit,
    "mlp": Mlp,
    "next-token-value": NextTokenValue,
    "token-logprob": TokenLogprob,
    "verbalizer": Verbalizer,
}


class EnsembleModule(nn.Module):
    """(..., h) -> (..., members); weights are stored [member, in, out], biases [member, out]."""

    def __init__(self, hidden: int, members: int, width: int):
        super().__init__()
        self.nn1 = EnsembleLinear(members, hidden, width)
        self.nn2 = EnsembleLinear(members, width, width)
        self.nn_out = EnsembleLinear(members, width, 1)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        x = states.float().flatten(0, -2).unsqueeze(0)  # (1, N, h): members are the batch of the products
        x = self.nn_out(self.nn2(self.nn1(x).relu()).relu())
        return x.squeeze(-1).T.unflatten(0, states.shape[:-1])


class EnsembleLinear(nn.Module):
    def __init__(self, members: int, inside: int, outside: int):
        super().__init__()
        bound = 1 / math.sqrt(inside)
        self.weight = nn.Parameter(torch.empty(members, inside, outside).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(members, outside).uniform_(-bound, bound))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight + self.bias.unsqueeze(-2)


class TokenLogprobModule(nn.Module):
    """`forward(states, next_ids)`: (..., h), (...) -> (..., 1)."""

    def __init__(self, output: nn.Module):
        super().__init__()
        self.output = output

    def forward(self, states: torch.Tensor, next_ids: torch.Tensor) -> torch.Tensor:
        logp = self.output(states).float().log_softmax(-1)
        return logp.gather(-1, next_ids.unsqueeze(-1))


class LogitsLinearModule(nn.Module):
    """(..., h) -> (..., width)."""

    def __init__(self, output: nn.Linear, width: int):
        super().__init__()
        self.output = output
        self.linear = nn.Linear(output.weight.shape[0], width)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return self.linear(self.output(states).float())


UNSEEN = -1024.0
"""Value of a token that no training prefix was followed by."""


class NextTokenValueModule(nn.Module):
    """`forward(states, next_ids)`: (..., h), (...) -> (..., 1); `all_values(states)`: (..., V). Tokens that are
    not `seen` have the value `UNSEEN`, whatever the state."""

    seen: torch.Tensor

    def __init__(self, output: nn.Linear):
        super().__init__()
        self.output = output
        self.bias = nn.Parameter(torch.zeros(output.weight.shape[0]))
        self.register_buffer("seen", torch.ones(output.weight.shape[0], dtype=torch.bool))

    def all_values(self, states: torch.Tensor) -> torch.Tensor:
        return (self.output(states).float() + self.bias).masked_fill(~self.seen, UNSEEN)

    def forward(self, states: torch.Tensor, next_ids: torch.Tensor) -> torch.Tensor:
        return self.all_values(states).gather(-1, next_ids.unsqueeze(-1))


def from_state(spec: Linear | Mlp | Ensemble, state: State, hidden: int, where: str) -> nn.Module:
    """The module with the checkpoint's weights; ModelError when they are absent or of another shape."""
    module = spec.module(hidden)
    keys = spec.keys()
    own = module.state_dict()
    found = {name: state[key] for name, key in keys.items() if key in state}
    missing = [keys[name] for name in own if name not in found]
    if isinstance(spec, Linear) and missing == [keys["bias"]]:
        module = nn.Linear(hidden, spec.width, bias=False)
        own, missing = module.state_dict(), []
    if missing:
        raise ModelError(
            f"{where}: the head's weights {missing} are missing, expected {spec}. The checkpoint is of "
            "another format: name the right one (`preceptor formats` lists them)."
        )
    wrong = [
        f"{keys[name]} {tuple(t.shape)}, expected {tuple(own[name].shape)}"
        for name, t in found.items()
        if t.shape != own[name].shape
    ]
    if wrong:
        raise ModelError(f"{where}: the head does not fit {spec}: got {'; '.join(wrong)}")
    module.load_state_dict(found)
    return module


def from_language_model(
    spec: Verbalizer | MeanLogit | LogitsLinear | TokenLogprob | NextTokenValue,
    output: nn.Linear,
    tokenizer: PreTrainedTokenizerBase,
) -> nn.Module:
    """The module made of a language model's output layer."""
    if isinstance(spec, TokenLogprob):
        return TokenLogprobModule(output)
    if isinstance(spec, NextTokenValue):
        return NextTokenValueModule(output)
    if isinstance(spec, LogitsLinear):
        return LogitsLinearModule(output, spec.width)
    weight, bias = output.weight.detach(), None if output.bias is None else output.bias.detach()
    if isinstance(spec, Verbalizer):
        rows = list(spec.rows(tokenizer))
        weight, bias = weight[rows], None if bias is None else bias[rows]
    else:
        weight = weight.float().mean(0, keepdim=True).to(weight.dtype)
        bias = None if bias is None else bias.mean(0, keepdim=True)
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, dtype=weight.dtype)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer


def hidden_size(config: PretrainedConfig) -> int:
    return int(config.get_text_config().hidden_size)
