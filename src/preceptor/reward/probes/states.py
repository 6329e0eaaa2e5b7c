"""What a frozen model computes while it reads a trace: hidden states, attention, next-token probabilities.

Hidden states of any layer at the last token of each step, from one forward pass a trace in padded batches; and
the features of uncertainty heads per token (attention of every layer and head to the token itself and the two
before it, and the four largest probabilities of the distribution the token was drawn from). The model is read
in evaluation mode without gradients, and left as it was.

The tokens are the sampled ones where this policy wrote the trace, else one encoding of the whole text; which
token ends a step follows from character offsets. Observations stand in the text behind their step.

Cost: one pass a trace. Attention weights need the slow `eager` attention, and memory quadratic in the length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from preceptor.errors import InputError, ItemError
from preceptor.policy.engine_text import text_of
from preceptor.policy.packed import PackedForward
from preceptor.policy.render import prompt_ids, text_ids
from preceptor.reward.likelihood.reading import layout, step_tokens, tokens_before
from preceptor.reward.readout import token_batches
from preceptor.trace import Trace
from preceptor.usage import Usage

NEAR = 3
"""Positions whose attention weight is a feature: the token itself, one and two before."""
TOP = 4
"""Largest next-token probabilities that are features."""


class OpenPolicy(Protocol):
    """A policy whose model can be looked into (`TransformersPolicy`)."""

    model: Any
    tokenizer: Any

    @property
    def fingerprint(self) -> str: ...


@dataclass(frozen=True)
class Tokens:
    """One trace as the model reads it."""

    ids: tuple[int, ...]
    first: int
    """Index of the first token of the text; the prompt stands before."""
    ends: tuple[int, ...]
    """End offset in the laid-out text of each token from `first` on."""
    steps: tuple[slice, ...]
    """Tokens of each step, counted from `first`; empty where no token ends in the step."""

    def last(self) -> list[int]:
        """Index in `ids` of the last prompt token, then of the last token up to each step's end."""
        return [self.first - 1, *(self.first - 1 + own.stop for own in self.steps)]


def tokens_of(policy: OpenPolicy, trace: Trace) -> Tokens | ItemError:
    """Fails with `"no-steps"`, `"empty-prompt"` and `"too-long"` (longer than the model's context)."""
    if not trace.steps:
        return ItemError("no-steps", "the trace has no steps")
    laid = layout(trace)
    prompt = prompt_ids(policy.tokenizer, trace.problem)
    if not prompt:
        return ItemError("empty-prompt", "the tokenizer made no token of the prompt")
    sampled, ends = trace.token_ids, trace.token_ends
    if sampled is not None and ends is not None and trace.policy == policy.fingerprint:
        known = laid.text == trace.text
    else:
        known = False
    if known and sampled is not None and ends is not None:
        count = tokens_before(ends, len(laid.text))
        ids, ends = list(sampled[:count]), ends[:count]
    else:
        ids = text_ids(policy.tokenizer, laid.text)
        ends = tuple(text_of(policy.tokenizer).decode(ids, prompt)[1])
    limit = getattr(policy.model.config, "max_position_embeddings", None)
    if limit is not None and len(prompt) + len(ids) > limit:
        total = len(prompt) + len(ids)
        return ItemError("too-long", f"prompt and text are {total} tokens, the model's context is {limit}")
    return Tokens((*prompt, *ids), len(prompt), ends, tuple(step_tokens(ends, laid.spans)))


def layers_of(policy: OpenPolicy) -> int:
    """How many blocks the model has; layer 0 is the embedding, layer k the output of block k."""
    return int(policy.model.config.get_text_config().num_hidden_layers)


def layer_index(policy: OpenPolicy, layer: int) -> int:
    """`layer` counted from 0, where -1 is the last (behind the final norm); InputError outside."""
    count = layers_of(policy)
    if not -count - 1 <= layer <= count:
        raise InputError(f"layer: got {layer}, expected 0 (embedding) to {count}, or -1 for the last")
    return layer % (count + 1)


def hidden_states(
    policy: OpenPolicy, items: Sequence[Tokens], layers: Sequence[int], *, batch_tokens: int = 4096
) -> tuple[list[torch.Tensor], list[Usage]]:
    """Per trace (T + 1, len(layers), H), fp32 on the CPU: at the last prompt token, then after each step.

    The last layer alone is read by `PackedForward`, which computes beginnings that traces share once; other
    layers in padded batches.
    """
    wanted = [layer_index(policy, layer) for layer in layers]
    if wanted == [layers_of(policy)]:
        return _last_layer(policy, items, batch_tokens)
    out: list[torch.Tensor] = [torch.empty(0)] * len(items)
    with reading(policy):
        for indices, batch in _batches(policy, [x.ids for x in items], batch_tokens):
            states = policy.model.base_model(
                input_ids=batch, output_hidden_states=True, use_cache=False
            ).hidden_states
            for row, i in enumerate(indices):
                at = torch.tensor(items[i].last(), device=batch.device)
                out[i] = torch.stack([states[k][row, at] for k in wanted], dim=1).float().cpu()
    return out, [usage_of(policy, len(x.ids)) for x in items]


def _last_layer(
    policy: OpenPolicy, items: Sequence[Tokens], batch_tokens: int
) -> tuple[list[torch.Tensor], list[Usage]]:
    with reading(policy):
        found, cost = PackedForward(policy.model.base_model, max_tokens=batch_tokens).hidden(
            [x.ids for x in items], [x.last() for x in items]
        )
    # Cloned outside of inference mode, or no probe could be trained on them.
    states = [x.float().cpu().clone().unsqueeze(1) for x in found]
    return states, [usage_of(policy, a, b) for a, b in zip(cost.computed, cost.reused, strict=True)]


def token_features(
    policy: OpenPolicy, items: Sequence[Tokens], *, batch_tokens: int = 2048
) -> list[torch.Tensor]:
    """Per trace (N, F), fp32 on the CPU, for the N tokens of the text.

    F = layers * heads * `NEAR` attention weights (a position before the sequence weighs 0), then `TOP`
    probabilities in falling order, of the distribution the token was drawn from. That the attention is the
    token's own row and not the row it was predicted from is our reading: not found.
    """
    out: list[torch.Tensor] = [torch.empty(0)] * len(items)
    with reading(policy, eager=True):
        for indices, batch in _batches(policy, [x.ids for x in items], batch_tokens):
            answer = policy.model(input_ids=batch, output_attentions=True, use_cache=False)
            for row, i in enumerate(indices):
                first, last = items[i].first, len(items[i].ids)
                near = [_near(layer[row, :, :last, :last].float())[first:] for layer in answer.attentions]
                probs = answer.logits[row, first - 1 : last - 1].float().softmax(-1).topk(TOP).values
                out[i] = torch.cat([*near, probs], dim=1).cpu()
    return out


def feature_count(policy: OpenPolicy) -> int:
    config = policy.model.config.get_text_config()
    return int(config.num_hidden_layers * config.num_attention_heads * NEAR + TOP)


def usage_of(policy: OpenPolicy, computed: int, reused: int = 0) -> Usage:
    """Of one trace, by its tokens; the dense part of the model only."""
    size = policy.model.num_parameters(exclude_embeddings=True)
    return Usage(scored=computed, reused=reused, calls=1, flops=2.0 * size * computed)


@contextmanager
def reading(policy: OpenPolicy, *, eager: bool = False) -> Iterator[None]:
    """The model in evaluation mode, without gradients, on `eager` attention if asked; then as it was."""
    model = policy.model
    # The policy's own lock: another thread must not generate while the attention is exchanged.
    lock: AbstractContextManager[Any] = getattr(policy, "_lock", None) or nullcontext()
    with lock:
        training, before = model.training, model.config._attn_implementation
        model.eval()
        if eager:
            model.set_attn_implementation("eager")
        try:
            with torch.no_grad():
                yield
        finally:
            model.train(training)
            if eager:
                model.set_attn_implementation(before)


def _near(attention: torch.Tensor) -> torch.Tensor:
    """(heads, N, N) -> (N, heads * NEAR): the weights of each token on itself and the ones before it."""
    heads, n, _ = attention.shape
    out = attention.new_zeros(n, heads, NEAR)
    for back in range(min(NEAR, n)):
        out[back:, :, back] = attention.diagonal(-back, 1, 2).T
    return out.reshape(n, heads * NEAR)


def _batches(
    policy: OpenPolicy, rows: Sequence[Sequence[int]], batch_tokens: int
) -> Iterator[tuple[list[int], torch.Tensor]]:
    """Indices and padded ids of rows of similar length. Padding stands on the right, where a causal model
    does not look, so no mask is needed."""
    for indices in token_batches([len(r) for r in rows], batch_tokens):
        width = max(len(rows[i]) for i in indices)
        padded = [[*rows[i], *[0] * (width - len(rows[i]))] for i in indices]
        yield indices, torch.tensor(padded, device=policy.model.device)
