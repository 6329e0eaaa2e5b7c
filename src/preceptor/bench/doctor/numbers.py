"""The numbers themselves: exact zeros and ones where a scorer is otherwise soft, and saturation.

A probability that underflows to exactly 0 shifts every reader that collects "the non-zero scores" and turns
a product or a log into nothing; one rounded to exactly 1 ties with all others that are.
"""

from __future__ import annotations

import numpy as np

from preceptor.bench.doctor.finding import Finding, Outcome
from preceptor.bench.doctor.subject import Subject

COARSE = 20
"""A scorer with at most so many distinct scores votes or rolls out; exact 0 and 1 are then honest figures."""
NEAR = 1e-3
"""Within this of 0 or 1, a score is saturated."""
SATURATED = 0.9
"""More than this share of saturated scores warns: a threshold or a vote weight then hardly matters."""
ONES = 0.05
"""More than this share of exact ones warns: they cannot be ranked."""


def coarse(subject: Subject) -> bool:
    """Few distinct scores, each of them given again and again."""
    distinct = len(np.unique(subject.values))
    return distinct <= COARSE and 2 * distinct <= len(subject.values)


def underflow(subject: Subject) -> list[Finding]:
    values = subject.values
    if not len(values):
        return [Finding("underflow", Outcome.SKIP, "no scores.")]
    distinct = len(np.unique(values))
    if coarse(subject):
        return [
            Finding(
                "underflow", Outcome.SKIP, f"only {distinct} distinct scores: exact 0 and 1 are no accident."
            )
        ]
    if not subject.probabilities:
        return [Finding("underflow", Outcome.PASS, f"scores from {values.min():.3g} to {values.max():.3g}, no "
                        "probabilities; all finite.")]  # fmt: skip
    zeros, ones = int((values == 0).sum()), int((values == 1).sum())
    evidence = {"zeros": zeros, "ones": ones, "scores": len(values), "distinct": distinct}
    what = f"{zeros} of {len(values)} scores are exactly 0 and {ones} exactly 1."
    advice = "Take softmax or sigmoid in fp32, and keep the logits in fp32."
    if zeros:
        return [Finding("underflow", Outcome.FAIL, what, evidence, advice)]
    verdict = Outcome.WARN if ones > ONES * len(values) else Outcome.PASS
    return [Finding("underflow", verdict, what, evidence, advice if verdict is Outcome.WARN else "")]


def saturation(subject: Subject) -> list[Finding]:
    values = subject.values
    if not len(values):
        return [Finding("saturation", Outcome.SKIP, "no scores.")]
    if len(values) > 8 and subject.spread <= subject.tolerance:
        return [Finding("saturation", Outcome.FAIL, f"all {len(values)} scores are {values[0]:.4g}.", {},
                        "The head is not loaded, or the readout sees nothing of the step.")]  # fmt: skip
    if not subject.probabilities or coarse(subject):
        return [Finding("saturation", Outcome.SKIP, "the scores are no soft probabilities.")]
    share = float(((values < NEAR) | (values > 1 - NEAR)).mean())
    low, mid, high = np.quantile(values, [0.05, 0.5, 0.95])
    what = f"{share:.0%} of the scores lie within {NEAR} of 0 or 1; 5 %, 50 %, 95 %: {low:.3f}, {mid:.3f}, {high:.3f}."
    verdict = Outcome.WARN if share > SATURATED else Outcome.PASS
    advice = "Calibrate (temperature) before using scores as weights." if share > SATURATED else ""
    return [Finding("saturation", verdict, what, {"share": share}, advice)]
