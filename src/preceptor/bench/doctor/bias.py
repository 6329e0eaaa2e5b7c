"""Do scores of *right* steps move with what has nothing to do with being right?

All steps are right, so an honest score has no reason to move with the step's place, its length in
characters or the number of steps. The three are fitted at once (least squares, with a dummy for the last
step, which is written unlike the others), so that long traces having late steps is not counted twice; the
effect of each is what it does over its own 5-95 % range. Intervals are over problems.

Not proof of a fault alone: harder steps are longer, and a calibrated score is lower there. Value and
progress questions may rightly move along a trace; they warn at most. Cost: no score beyond the base call.
"""

from __future__ import annotations

import numpy as np

from preceptor.bench.doctor.finding import Finding, Outcome
from preceptor.bench.doctor.subject import LEVEL, Subject
from preceptor.bench.statistics import Estimate, Floats, bootstrap_sums, cluster_sums

NAMES = ("position", "step length", "number of steps")
UNITS = ("", " characters", " steps")
FEWEST = 40
"""Right steps below which nothing is said."""
SLIGHT = 0.1
"""An effect surely above this share of the spread of all scores warns ..."""
STRONG = 0.25
"""... and above this share fails: being late or long then costs as much as a doubt about the step."""


def bias(subject: Subject) -> list[Finding]:
    owners, rows, scores = _steps(subject)
    if len(scores) < FEWEST or subject.outcome:
        why = "an outcome model scores last steps only" if subject.outcome else f"{len(scores)} right steps"
        return [Finding(f"bias: {n}", Outcome.SKIP, f"{why}, at least {FEWEST} needed.") for n in NAMES]
    if subject.spread <= subject.tolerance:
        return [
            Finding(f"bias: {n}", Outcome.SKIP, "all scores are equal; nothing can move them.") for n in NAMES
        ]
    values = np.array(rows, dtype=np.float64)
    low, high = np.quantile(values[:, :3], [0.05, 0.95], axis=0)
    effects = _effects(subject, owners, values, np.array(scores), high - low)
    return [_finding(subject, i, effects[i], float(low[i]), float(high[i])) for i in range(3)]


def _steps(subject: Subject) -> tuple[list[str], list[list[float]], list[float]]:
    """Owner, (index, characters, steps, is last) and score of every right step of the right traces."""
    owners: list[str] = []
    rows: list[list[float]] = []
    scores: list[float] = []
    for trace in {c.right.id: c.right for c in subject.cases if c.right is not None}.values():
        own, n = subject.known(trace), len(trace.steps)
        for t, (score, text) in enumerate(zip(own or (), trace.step_texts, strict=False)):
            if score is not None:
                owners.append(trace.problem.id)
                rows.append([t, len(text.strip()), n, float(t == n - 1)])
                scores.append(score)
    return owners, rows, scores


def _effects(
    subject: Subject, owners: list[str], values: Floats, scores: Floats, ranges: Floats
) -> list[Estimate | None]:
    """Per column, the score's change over the column's range; None for a column that does not vary."""
    scale = np.append(np.where(ranges > 0, ranges, 1.0), 1.0)
    varies = [i for i in range(4) if np.ptp(values[:, i]) > 0 and (i == 3 or ranges[i] > 0)]
    x = np.column_stack([np.ones(len(values)), ((values - values.mean(axis=0)) / scale)[:, varies]])
    k = x.shape[1]
    products = np.concatenate(
        [(x[:, :, None] * x[:, None, :]).reshape(len(x), -1), x * scores[:, None]], axis=1
    )
    sums = cluster_sums(owners, products)

    def slope(column: int) -> Estimate:
        def statistic(totals: Floats) -> Floats:
            normal = totals[..., : k * k].reshape(*totals.shape[:-1], k, k)
            fitted = np.linalg.pinv(normal, hermitian=True) @ totals[..., k * k :, None]
            return np.asarray(fitted[..., column, 0], dtype=np.float64)

        return bootstrap_sums(sums, statistic, level=LEVEL, seed=subject.seed)

    return [slope(1 + varies.index(i)) if i in varies else None for i in range(3)]


def _finding(subject: Subject, i: int, effect: Estimate | None, low: float, high: float) -> Finding:
    check = f"bias: {NAMES[i]}"
    if effect is None or effect.value is None or effect.low is None or effect.high is None:
        return Finding(check, Outcome.SKIP, f"the right traces do not differ in {NAMES[i]}.")
    sure = 0.0 if effect.low <= 0 <= effect.high else min(abs(effect.low), abs(effect.high))
    share = sure / subject.spread
    evidence = {"effect": effect.to_record(), "from": low, "to": high, "spread": subject.spread}
    moved = f"{effect.value:+.3f} [{effect.low:+.3f}, {effect.high:+.3f}]"
    over = f"from {NAMES[i]} {low:.0f} to {high:.0f}{UNITS[i]}"
    what = f"scores of right steps change by {moved} {over} (all scores span {subject.spread:.2f})."
    if max(abs(effect.low), abs(effect.high)) < subject.tolerance:
        what = f"scores of right steps do not change {over}."
    verdict = Outcome.FAIL if share > STRONG else Outcome.WARN if share > SLIGHT else Outcome.PASS
    if verdict is Outcome.FAIL and subject.longitudinal:
        verdict = Outcome.WARN
    advice = "" if verdict is Outcome.PASS else (
        "A threshold or a minimum then punishes or spares steps for this; compare only within one value of it."
    )  # fmt: skip
    return Finding(check, verdict, what, evidence, advice)
