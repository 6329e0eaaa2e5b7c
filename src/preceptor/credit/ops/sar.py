"""Self-aligned reward: how much likelier the question makes the response (abstract index 198).

`(ppl(a) - ppl(a|q)) / ppl(a)`, cut to [-1, 1]; ppl = exp(mean negative log-likelihood) of the whole response. Short,
specific responses have much to gain from the question; padding has nothing and lowers the value.

Both passes must keep the same chat scaffold; the second only lacks the question. They are a scorer's work: the
row reads `Signals.scalars["self_aligned"]`. From the code of amazon-science/Self-Aligned-Reward.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from preceptor.errors import InputError


def self_aligned(
    given: Sequence[float],
    alone: Sequence[float],
    *,
    log: bool = False,
    relative: bool = True,
    cap: float | None = None,
) -> float | None:
    """From the response's token log-probabilities with the question and without it; None without a token.

    Options of the code, off as published: `log` takes log-perplexities, `cap` bounds each of the two terms,
    `relative=False` leaves the denominator out.
    """
    if len(given) != len(alone):
        raise InputError(
            f"self_aligned: got {len(given)} log-probabilities with the question and {len(alone)} without, expected "
            "one a token of the same response in both."
        )
    if not given:
        return None
    with_question, without = (_term(-sum(row) / len(row), log, cap) for row in (given, alone))
    gain = without - with_question
    if relative:
        # a perplexity is at least 1; its logarithm may be 0, and then so is the gain or it is a loss
        gain = gain / without if without > 0 else math.copysign(1.0, gain) if gain else 0.0
    return max(-1.0, min(1.0, gain))


def _term(nll: float, log: bool, cap: float | None) -> float:
    value = nll if log else math.exp(min(nll, 350.0))
    return value if cap is None else min(value, cap)
