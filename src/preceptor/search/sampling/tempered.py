"""Local policies that say how likely a draw was under the distribution it was drawn from.

A policy reports log-probabilities at temperature 1. At temperature T a token is drawn from p^(1/T) / Z, and Z depends
on the whole distribution: `Tempered` notes it while decoding, and adds `extra["proposal_logprobs"]`, one per sampled
token. Texts are those of the policy. No pass more. Greedy draws (T = 0) are certain; top-p and top-k are not regarded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from preceptor.generation import Continuation, Request
from preceptor.search.decoding.guided import Guided, Row
from preceptor.trace import content_id

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Tempered(Guided):
    """The same texts from the same draws."""

    @property
    def fingerprint(self) -> str:
        return content_id("tempered", self.policy.fingerprint)

    def begin(self, request: Request) -> list[float]:
        """log Z at each token."""
        return []

    def adjust(self, logits_NV: torch.Tensor, rows: Sequence[Row]) -> torch.Tensor:
        logprobs_NV = logits_NV.float().log_softmax(-1)
        for row, logprobs_V in zip(rows, logprobs_NV, strict=True):
            heat = row.request.sampling.temperature
            row.notes.append(float((logprobs_V / heat).logsumexp(-1)) if heat > 0 else 0.0)
        return logits_NV

    def end(self, row: Row, got: Continuation) -> Continuation:
        heat = row.request.sampling.temperature
        drawn = [lp / heat - z if heat > 0 else 0.0 for lp, z in zip(got.logprobs or (), row.notes)]
        return replace(got, extra={**got.extra, "proposal_logprobs": drawn})
