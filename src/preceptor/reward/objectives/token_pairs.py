"""A verifier of single tokens: the value of a candidate, given the prefix (LLM2).

A scalar head at the candidate itself. Training sets the tokens of right solutions against sampled ones at the
same positions: -log sigma(v(gold) - v(negative)), mean over pairs. Negatives come from the vocabulary at random
(`uniform`), from a language model's distribution (`base`: the backbone's, `expert`: another's), or from
base + gamma * (base - expert), restricted to tokens that both keep among their likeliest (`contrast`); the gold
token is never among them, and draws are with replacement.

All negatives of a solution are read in one pass: they stand behind it as branches, each with the position of
the token it replaces and blind to all but the prefix (`readout.tree_mask`). `candidate_scores` does the same for
serving: the prefix is computed once. `combine_logits` is the decoding rule as a function; decoding is not here.
Which sampling mode and how many negatives are published was not found, and neither were gamma and how many
tokens sparse logits keep: `base`, 4 per position, 1 and 50 are defaults of ours. As a scorer of steps, the model
gives the value of a step's last token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from preceptor.errors import InputError
from preceptor.judgement import Question
from preceptor.reward.examples import Dropped, Example, Group, Labelled
from preceptor.reward.head import Linear
from preceptor.reward.layout import Tagged
from preceptor.reward.link import VALUE
from preceptor.reward.losses import token_pairs
from preceptor.reward.objective import Batch, Objective
from preceptor.reward.render import Renderer, Row
from preceptor.trace import stream_seed

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from preceptor.reward.scorer import PRM

LAYOUT = Tagged("", between="\n", strip="right", read="last")
"""The policy's own text: what candidates continue holds no separators."""


@dataclass(frozen=True)
class Negatives:
    """How wrong tokens are drawn."""

    mode: Literal["uniform", "base", "expert", "contrast"] = "base"
    per_position: int = 4
    positions: int = 32
    """Positions of a solution at most, drawn at random."""
    temperature: float = 1.0
    gamma: float = 1.0
    keep: int = 50
    """Likeliest tokens in sparse logits, for `contrast`."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.mode not in ("uniform", "base", "expert", "contrast") or self.temperature <= 0:
            raise InputError(f"negatives: got {self}, expected a known mode and a temperature above 0")

    def logits(self, base: Tensor, expert: Tensor | None) -> Tensor:
        """What negatives are drawn from, before the gold token is left out: (..., V) each."""
        import torch

        if self.mode == "uniform":
            return torch.zeros_like(base)
        if self.mode == "base":
            return base
        if expert is None:
            raise InputError(
                f"negatives: got mode {self.mode!r} without an expert, expected a language model"
            )
        if self.mode == "expert":
            return expert
        kept = _likeliest(base, self.keep) & _likeliest(expert, self.keep)
        return (base + self.gamma * (base - expert)).masked_fill(~kept, -torch.inf)

    def draw(self, logits: Tensor, gold: Sequence[int], seed: int) -> list[list[int]]:
        """Per position (rows of `logits`): tokens drawn with replacement, never the gold one. None where
        nothing else is left."""
        import torch

        rest = logits.float() / self.temperature
        rest[torch.arange(len(gold)), list(gold)] = -torch.inf
        some = torch.isfinite(rest).any(-1)
        chances = torch.where(some[:, None], rest, torch.zeros_like(rest)).softmax(-1)
        generator = torch.Generator().manual_seed(seed % 2**63)
        drawn = torch.multinomial(chances, self.per_position, replacement=True, generator=generator).tolist()
        return [own if ok else [] for own, ok in zip(drawn, some.tolist(), strict=True)]


def llm2(negatives: Negatives = Negatives(), expert: Any = None) -> Objective:
    """`expert`: a second language model, a directory or an object with `model`; its vocabulary must begin as
    the backbone's does."""

    def bind(backbone: Any) -> Objective:
        base = _model(backbone) if negatives.mode != "uniform" else None
        other = _model(expert) if expert is not None else None

        def rows(items: Sequence[Labelled], render: Renderer, dropped: Dropped) -> list[Group]:
            right = [i for i in items if i.outcome == 1]
            if len(right) < len(items):
                dropped.add("not-a-right-solution", len(items) - len(right))
            found = [
                _example(row, negatives, base, other, len(render.tokenizer))
                for i in right
                for row in render(i.trace).rows
            ]
            return [(example,) for example in found if example is not None]

        return replace(objective, rows=rows, bind=None)

    objective = Objective(
        loss=_loss(negatives.per_position),
        head=Linear(1),
        link=VALUE,
        layout=LAYOUT,
        bind=bind,
        question=Question.QUALITY,
        source="LLM2: token-level verifier",
    )
    return objective


def _loss(k: int) -> Any:
    def loss(outputs: Tensor, batch: Batch) -> Tensor:
        """Readouts come in runs of 1 + k: the gold token, then its negatives."""
        values, mask = (x.unflatten(1, (-1, 1 + k)).squeeze(-1) for x in (outputs, batch["mask"]))
        return token_pairs(values, values.detach()[..., 1:], mask[..., 1:])

    return loss


def _example(row: Row, negatives: Negatives, base: Any, expert: Any, vocabulary: int) -> Example | None:
    """The solution with its negatives as branches."""
    import torch

    ids, k = row.token_ids, negatives.per_position
    seed = stream_seed("negatives", negatives.seed, list(ids))
    places = torch.arange(max(row.begins[0], 1), len(ids))
    order = torch.randperm(len(places), generator=torch.Generator().manual_seed(seed))
    at = sorted(places[order[: negatives.positions]].tolist())
    if not at:
        return None
    of_base = torch.zeros(len(at), vocabulary) if base is None else _logits(base, ids, at)
    of_expert = None if expert is None else _logits(expert, ids, at)
    drawn = negatives.draw(negatives.logits(of_base, of_expert), [ids[p] for p in at], seed)
    branches: list[int] = []
    tokens: list[int] = []
    positions, targets = [], []
    for p, own in zip(at, drawn, strict=True):
        # A position without negatives keeps its place with entries that nothing is asked of.
        first = len(ids) + len(tokens)
        positions += [p, *(range(first, first + k) if own else [p] * k)]
        targets += [(1.0 if own else None,), *[(0.0 if own else None,)] * k]
        branches += [p] * len(own)
        tokens += own
    if not tokens:
        return None
    whole = Row((*ids, *tokens), tuple(positions), (0,) * len(positions), branches=tuple(branches))
    return Example(whole, tuple(targets))


def candidate_scores(prm: PRM, prefix: Sequence[int], candidates: Sequence[int]) -> list[float]:
    """Values of candidate tokens behind a prefix of token ids, in one forward pass of
    len(prefix) + len(candidates) tokens."""
    import torch

    rows = [(*prefix, candidate) for candidate in candidates]
    states, _ = prm.forward.hidden(rows, [(len(prefix),)] * len(rows))
    if not states:
        return []
    with torch.inference_mode():
        values: list[float] = prm.format.link.score(prm.model.outputs(torch.cat(states))).tolist()
    return values


def plausible(logits: Tensor, alpha: float = 0.1) -> Tensor:
    """Tokens with at least `alpha` times the probability of the likeliest one: (..., V) bool. Where one alone
    is left, the verifier need not be asked."""
    if not 0 <= alpha <= 1:
        raise InputError(f"alpha: got {alpha}, expected a share from 0 to 1")
    likely = logits.float().log_softmax(-1).exp()
    return likely >= alpha * likely.amax(-1, keepdim=True)


def combine_logits(logits: Tensor, values: Tensor, alpha: float = 0.1, beta: float = 0.25) -> Tensor:
    """logits + beta * values on the plausible tokens, -inf elsewhere, (..., V). Values of other tokens, NaN
    included, have no influence. Published for GSM8K: alpha 0.1, beta 0.25."""
    import torch

    mask = plausible(logits, alpha)
    more = values.float().masked_fill(~mask, 0.0)
    return (logits.float() + beta * more).masked_fill(~mask, -torch.inf)


def _likeliest(logits: Tensor, keep: int) -> Tensor:
    return logits >= logits.topk(min(keep, logits.shape[-1]), -1).values[..., -1:]


def _model(backbone: Any) -> Any:
    if not isinstance(backbone, str | Path):
        return backbone.model
    from preceptor.policy.checkpoint import load_checkpoint

    return load_checkpoint(backbone, "auto", "cpu")[0]


def _logits(model: Any, ids: Sequence[int], at: Sequence[int]) -> torch.Tensor:
    """Next-token logits for the tokens at `at`, (len(at), V) in fp32 on the CPU."""
    import torch

    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            found = model(input_ids=torch.tensor([list(ids)], device=model.device)).logits[0]
    finally:
        model.train(training)
    return found[[p - 1 for p in at]].float().cpu().clone()


LLM2 = llm2()
