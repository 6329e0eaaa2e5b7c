"""Do right traces outscore wrong ones?

A pair is a right trace and the same trace with one wrong step; before it the two are the same, so nothing but
the error can tell them apart. Kinds of error are counted apart, as a scorer may see wrong operations and be
blind to wrong sums. Chance is 0.5; a tie counts half. One pair a problem,
so that the trials are independent (Wilson interval).
"""

from __future__ import annotations

from typing import NamedTuple

from preceptor.bench.discrimination import bootstrap_auroc
from preceptor.bench.doctor.finding import Finding, Outcome
from preceptor.bench.doctor.subject import LEVEL, Scores, Subject
from preceptor.bench.statistics import Estimate, wilson

FEWEST = 8
"""Pairs below which nothing is said: even 7 of 7 is no proof at this level."""
WEAK = 0.7
"""A share below this warns: three pairs in ten the wrong way round, or undecided, is little to search by."""

ADVICE_BLIND = (
    "Wrong format, wrong readout, an untrained head, or a domain it never saw (see `preceptor formats`). A high AUROC "
    "over different steps is no contradiction: it may know hard steps from easy ones, not right from wrong."
)
ADVICE_KINDS = "Do not rely on it for that kind of error; more cases (--n) make this sure."
ADVICE_REVERSED = "The label columns are probably swapped: class 0 is read as good."


class Pair(NamedTuple):
    """Scores of a right and a wrong version, and the kind of error."""

    right: float
    wrong: float
    kind: str


def lowest(scores: Scores) -> float | None:
    """The smallest score of a trace; None when none is known."""
    return min((s for s in scores if s is not None), default=None)


def discriminates(subject: Subject) -> list[Finding]:
    """At the wrong step, and by the smallest score of the trace."""
    at_step: dict[str, Pair] = {}
    smallest: dict[str, Pair] = {}
    for case in subject.cases:
        right, wrong = subject.known(case.right), subject.known(case.wrong)
        if right is None or wrong is None or case.first_error is None:
            continue
        a, b = lowest(right), lowest(wrong)
        if a is not None and b is not None:
            smallest.setdefault(case.problem.id, Pair(a, b, case.kind))
        a, b = right[case.first_error], wrong[case.first_error]
        if case.made and a is not None and b is not None:
            at_step.setdefault(case.problem.id, Pair(a, b, case.kind))
    found = [
        _verdict(
            subject, "wrong step", "the right step outscores the wrong one in its place", [*at_step.values()]
        ),
        _verdict(
            subject, "wrong trace", "the right trace has the higher minimum", [*smallest.values()], whole=True
        ),
    ]
    return found if any(not c.made for c in subject.cases) is False else [*found, _labelled(subject)]


def _verdict(subject: Subject, name: str, said: str, pairs: list[Pair], whole: bool = False) -> Finding:
    check = f"right over {name}"
    if len(pairs) < FEWEST:
        why = "an outcome model scores last steps only" if subject.outcome and not whole else "too few"
        return Finding(
            check, Outcome.SKIP, f"{len(pairs)} pairs with scores, at least {FEWEST} needed ({why})."
        )
    tied = sum(p.right == p.wrong for p in pairs)
    share = _share(pairs)
    kinds = {k: _share([p for p in pairs if p.kind == k]) for k in sorted({p.kind for p in pairs if p.kind})}
    evidence = {"share": share.to_record(), "tied": tied, "pairs": len(pairs)}
    evidence["kinds"] = {k: e.to_record() for k, e in kinds.items()}
    told = "".join(f"; {k} {e.value:.2f}" for k, e in kinds.items()) if len(kinds) > 1 else ""
    verdict, what = _judged(share, f"{said} in {_shown(share)} of {len(pairs)} pairs ({tied} tied{told})")
    blind = [k for k, e in kinds.items() if e.n >= FEWEST and e.low is not None and e.low <= 0.5]
    if verdict is Outcome.PASS and blind:
        return Finding(
            check, Outcome.WARN, f"{what} Perhaps blind to: {', '.join(blind)}.", evidence, ADVICE_KINDS
        )
    return Finding(check, verdict, what, evidence, _advice(share))


def _share(pairs: list[Pair]) -> Estimate:
    won = sum(p.right > p.wrong for p in pairs)
    return wilson(won + sum(p.right == p.wrong for p in pairs) // 2, len(pairs), level=LEVEL)


def _judged(share: Estimate, what: str) -> tuple[Outcome, str]:
    assert share.value is not None
    assert share.low is not None
    assert share.high is not None
    if share.high < 0.5:
        return Outcome.FAIL, f"{what}: it prefers the wrong ones."
    if share.low <= 0.5:
        return Outcome.FAIL, f"{what}: it cannot tell right from wrong."
    return (Outcome.WARN, f"{what}: weak.") if share.value < WEAK else (Outcome.PASS, f"{what}.")


def _advice(share: Estimate) -> str:
    if share.high is not None and share.high < 0.5:
        return ADVICE_REVERSED
    if share.low is not None and share.low <= 0.5:
        return ADVICE_BLIND
    return "Train on this domain." if share.value is not None and share.value < WEAK else ""


def _labelled(subject: Subject) -> Finding:
    """Steps of right traces and before the first error, against the labelled first wrong steps."""
    check = "labelled errors"
    owners: list[str] = []
    scores: list[float] = []
    good: list[bool] = []
    for case in subject.cases:
        own = subject.known(case.wrong if not case.made else case.right)
        if own is None:
            continue
        last = len(own) if case.made else (case.first_error or 0) + 1
        for t, s in enumerate(own[:last]):
            if s is not None:
                owners.append(case.problem.id)
                scores.append(s)
                good.append(case.made or t != case.first_error)
    bad = len(good) - sum(good)
    if bad < FEWEST or sum(good) < FEWEST:
        return Finding(check, Outcome.SKIP, f"{sum(good)} right and {bad} wrong steps with scores, too few.")
    area = bootstrap_auroc(owners, scores, good, level=LEVEL, seed=subject.seed)
    evidence = {"auroc": area.to_record(), "right": sum(good), "wrong": bad}
    what = f"AUROC of right against labelled wrong steps {_shown(area)} ({sum(good)} and {bad} steps)"
    return Finding(check, *_judged(area, what), evidence=evidence, advice=_advice(area))


def _shown(e: Estimate) -> str:
    return f"{e.value:.2f} [{e.low:.2f}, {e.high:.2f}]"
