"""What a local policy knew while it wrote: the entropy at every token, and texts that stop where it was unsure.

    Entropies(policy)   writes as the policy does, and adds `extra["entropies"]`, one per sampled token
    Fragments(policy)   stops in front of an anchor, a token whose entropy exceeds tau (`annotate.entropy`)

Both read the distributions that decoding computes anyway: no pass more. Entropies are in nats, at temperature 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from preceptor.annotate.entropy.anchors import MINIMUM, TAU, anchors, check_settings, cuts_a_whole
from preceptor.errors import InputError
from preceptor.generation import Continuation, Request
from preceptor.search.decoding.guided import Guided, Row
from preceptor.trace import Finish, content_id

if TYPE_CHECKING:
    import torch

_NEAR = 64
"""Characters before a fragment that are looked at for a number that goes on."""


def entropies_of(notes: Mapping[str, Any]) -> list[float] | None:
    """Of a node's notes (`node.data`): the entropy at each of its sampled tokens, None where nobody said."""
    found = notes.get("policy", {}).get("entropies")
    return None if found is None else list(found)


def entropy(logits_NV: torch.Tensor) -> torch.Tensor:
    """(N,) nats."""
    import torch

    logprobs_NV = logits_NV.float().log_softmax(-1)
    # a token that cannot come has the log-probability -inf and adds nothing
    finite_NV = logprobs_NV.clamp_min(torch.finfo(torch.float32).min)
    return -(logprobs_NV.exp() * finite_NV).sum(-1)


@dataclass(frozen=True)
class Entropies(Guided):
    """The same texts from the same draws."""

    @property
    def fingerprint(self) -> str:
        return content_id("entropies", self.policy.fingerprint)

    def begin(self, request: Request) -> list[float]:
        return []

    def adjust(self, logits_NV: torch.Tensor, rows: Sequence[Row]) -> torch.Tensor:
        for row, value in zip(rows, entropy(logits_NV).tolist(), strict=True):
            row.notes.append(value)
        return logits_NV

    def end(self, row: Row, got: Continuation) -> Continuation:
        return replace(got, extra={**got.extra, "entropies": row.notes})


@dataclass
class _Fragment:
    entropies: list[float] = field(default_factory=list)
    first: float | None = None
    """Log-probability of the first token, where it was imposed."""
    anchor: bool = False
    """Whether the first token is an anchor itself."""
    stopped: bool = False


@dataclass(frozen=True)
class Fragments(Guided):
    """Continuations that end in front of the next anchor (`Finish.BOUNDARY`).

    `sampling.top_k = r` begins with the r-th likeliest token (0 and 1: the likeliest), whatever the temperature.
    `extra["anchor"]` says whether the text could have gone on otherwise at its first token. The pass that found the
    anchor is computed again when the text goes on; it is no generated token.
    """

    tau: float = TAU
    minimum: int = MINIMUM
    """Tokens of a fragment, at least."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_settings(self.tau, self.minimum)
        if not self.policy.eos_ids:
            raise InputError("fragments: the policy has no end-of-text token, expected one")

    @property
    def fingerprint(self) -> str:
        return content_id("fragments", self.policy.fingerprint, str(self.tau), self.minimum)

    def begin(self, request: Request) -> _Fragment:
        return _Fragment()

    def adjust(self, logits_NV: torch.Tensor, rows: Sequence[Row]) -> torch.Tensor:
        import torch

        logits_NV = logits_NV.float()
        values = entropy(logits_NV).tolist()
        end = min(self.policy.eos_ids)
        for i, (row, value) in enumerate(zip(rows, values, strict=True)):
            notes: _Fragment = row.notes
            if not row.sampled:
                rank = max(1, row.request.sampling.top_k)
                likeliest = logits_NV[i].topk(min(max(rank, 2), logits_NV.shape[1])).indices.tolist()
                notes.anchor = self._is_anchor(row, value, likeliest[:2])
                chosen = likeliest[min(rank, len(likeliest)) - 1]
                notes.first = float(logits_NV[i].log_softmax(-1)[chosen])
                logits_NV[i] = _only(logits_NV[i], chosen)
            elif value > self.tau and self._is_anchor(row, value, logits_NV[i].topk(2).indices.tolist()):
                notes.stopped = True
                logits_NV[i] = torch.full_like(logits_NV[i], -torch.inf)
                logits_NV[i, end] = 0.0
                continue
            notes.entropies.append(value)
        return logits_NV

    def _is_anchor(self, row: Row, value: float, likeliest: Sequence[int]) -> bool:
        """Whether the text may branch in front of its next token: the likeliest two are whole characters, end
        nothing, and neither goes on with a number that stands before it."""
        if len(likeliest) < 2 or not set(likeliest).isdisjoint(self.policy.eos_ids):
            return False
        near = row.request.prefix[-_NEAR:]
        text, ends = self.spell([*row.sampled, likeliest[0]], row.prefix)
        at = len(row.sampled)
        before = near + text[: ends[at - 1] if at else 0]
        other, _ = self.spell([likeliest[1]], (*row.prefix, *row.sampled))
        if not other or "\ufffd" in other or cuts_a_whole(before, other):
            return False
        if not at and cuts_a_whole(near, text):
            return False
        if at:
            text, ends = near + text, [len(near) + end for end in ends]
        found = anchors(text, ends, [value], tau=self.tau, minimum=self.minimum, first=at)
        return bool(found)

    def end(self, row: Row, got: Continuation) -> Continuation:
        notes: _Fragment = row.notes
        extra = {**got.extra, "entropies": notes.entropies, "anchor": notes.anchor}
        logprobs = got.logprobs
        if logprobs and notes.first is not None:
            logprobs = (notes.first, *logprobs[1:])
        if not notes.stopped or got.finish is not Finish.STOP:
            return replace(got, logprobs=logprobs, extra=extra)
        return replace(
            got,
            finish=Finish.BOUNDARY,
            token_ids=None if got.token_ids is None else got.token_ids[:-1],
            token_ends=None if got.token_ends is None else got.token_ends[:-1],
            logprobs=None if logprobs is None else logprobs[:-1],
            usage=replace(got.usage, generated=got.usage.generated - 1),
            extra=extra,
        )


def _only(logits_V: torch.Tensor, token: int) -> torch.Tensor:
    import torch

    out_V = torch.full_like(logits_V, -torch.inf)
    out_V[token] = 0.0
    return out_V
