"""LLM2: a token verifier joins the choice of every token.

Of the next-token logits z, the plausible tokens stay: p >= alpha * max p, or the `top_k` likeliest. A verifier gives
each of them a value g, and the choice, greedy or sampled, is made from z + beta * g. Where one token is left it is
written without asking. alpha 0.1, beta 0.25: GSM8K with a 1B model.

    policy = Verified(load_policy(DIRECTORY), Candidates(load_scorer(VERIFIER)))

It is a policy, so every search runs on it; its log-probabilities are those of z + beta * g. Cost: the verifier reads
each text once, and its candidates; these tokens are `usage.scored` of the *policy*. Deviation: all rows of a step are
verified in one forward pass. beta = 0 asks nothing and is truncation sampling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from preceptor.errors import InputError
from preceptor.generation import Continuation, Request
from preceptor.search.decoding.guided import Guided, Row
from preceptor.search.decoding.verifiers import TokenVerifier
from preceptor.trace import content_id
from preceptor.usage import Usage

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Verified(Guided):
    """`policy`, every token chosen together with `verifier`."""

    verifier: TokenVerifier
    alpha: float = 0.1
    """A token stays with this share of the likeliest one's probability; 1 is greedy, 0 keeps all."""
    beta: float = 0.25
    """Weight of the verifier."""
    top_k: int = 0
    """Instead of `alpha`: so many of the likeliest tokens stay; 0 is off."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.alpha <= 1 or self.top_k < 0:
            raise InputError(
                f"llm2: got alpha={self.alpha}, top_k={self.top_k}, expected 0 <= alpha <= 1, top_k >= 0"
            )
        self.verifier.fits(self.policy)

    @property
    def fingerprint(self) -> str:
        settings = [self.alpha, self.beta, self.top_k]
        return content_id("llm2", self.policy.fingerprint, self.verifier.fingerprint, settings)

    def begin(self, request: Request) -> list[Usage]:
        return [Usage()]

    def adjust(self, logits_NV: torch.Tensor, rows: Sequence[Row]) -> torch.Tensor:
        import torch

        logits_NV = logits_NV.float()
        kept_NV = plausible(logits_NV, self.alpha, self.top_k)
        out_NV = logits_NV.masked_fill(~kept_NV, -torch.inf)
        if not self.beta:
            return out_NV
        asked = torch.nonzero(kept_NV.sum(-1) > 1)[:, 0].tolist()
        if not asked:
            return out_NV
        candidates = [torch.nonzero(kept_NV[i])[:, 0].tolist() for i in asked]
        prefixes = [(*rows[i].prefix, *rows[i].sampled) for i in asked]
        values, usages = self.verifier.values(prefixes, candidates)
        for i, own, found, usage in zip(asked, candidates, values, usages, strict=True):
            out_NV[i, own] += self.beta * torch.tensor(found, device=out_NV.device)
            rows[i].notes.append(usage)
        return out_NV

    def end(self, row: Row, got: Continuation) -> Continuation:
        paid = sum(row.notes, Usage())
        spent = got.usage + replace(paid, calls=0)
        return replace(got, usage=spent, extra={**got.extra, "verified": paid.calls})


def plausible(logits_NV: torch.Tensor, alpha: float, top_k: int = 0) -> torch.Tensor:
    """Tokens that may be chosen, (N, V) bool; never none of a row. Equally likely ones stay together."""
    if top_k:
        kth_N1 = logits_NV.topk(min(top_k, logits_NV.shape[-1]), -1).values[:, -1:]
        return logits_NV >= kth_N1
    likely_NV = logits_NV.log_softmax(-1).exp()
    return likely_NV >= alpha * likely_NV.amax(-1, keepdim=True)
