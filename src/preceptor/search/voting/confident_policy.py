"""A local policy that also says how peaked each distribution was that it drew from: DeepConf's token confidence.

`extra["confidences"]` holds `-(1/k) sum log p` over the k = 20 likeliest tokens, one per sampled token, in nats at
temperature 1. The distributions are those that decoding computes anyway: the same texts from the same draws, no pass
more. Left out: servers, whose lists may be shorter.
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

TOP = 20


@dataclass(frozen=True)
class ConfidentPolicy(Guided):
    """Writes as the policy does."""

    k: int = TOP
    """As many as the vocabulary has, if it has fewer."""

    @property
    def fingerprint(self) -> str:
        return content_id("confidences", self.policy.fingerprint, self.k)

    def begin(self, request: Request) -> list[float]:
        return []

    def adjust(self, logits_NV: torch.Tensor, rows: Sequence[Row]) -> torch.Tensor:
        import torch

        logprobs_NV = logits_NV.float().log_softmax(-1)
        top_NK = logprobs_NV.topk(min(self.k, logits_NV.shape[1]), dim=-1).values
        finite_NK = top_NK.clamp_min(torch.finfo(torch.float32).min)
        for row, value in zip(rows, (-finite_NK.mean(-1)).tolist(), strict=True):
            row.notes.append(value)
        return logits_NV

    def end(self, row: Row, got: Continuation) -> Continuation:
        return replace(got, extra={**got.extra, "confidences": row.notes})
