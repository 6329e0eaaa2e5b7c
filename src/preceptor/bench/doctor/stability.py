"""The same trace, asked in other company: twice, alone, reversed, beside a long neighbor, with steps appended.

Rounding is allowed (see `Subject.tolerance`: 1e-5 in fp32, 1e-3 in half precision or unknown); a difference
that flips a verdict at the threshold, or that is fifty times the rounding, is a failure: padding, position ids or
the attention mask are wrong, or somebody samples.
"""

from __future__ import annotations

from preceptor.bench.doctor.cases import with_steps
from preceptor.bench.doctor.finding import Finding, Outcome
from preceptor.bench.doctor.subject import Scores, Subject, furthest
from preceptor.trace import Trace

TRIED = 8
"""Traces asked alone and in batches."""
GROSS = 50
"""So many times the tolerance is no rounding, verdict flipped or not."""


def _some(subject: Subject) -> list[Trace]:
    """Traces of different lengths."""
    ranked = sorted(subject.traces, key=lambda t: (len(t.text), t.id))
    step = max(1, len(ranked) // TRIED)
    return ranked[::step][:TRIED]


def _unsteady(subject: Subject, traces: list[Trace]) -> tuple[float, int, int]:
    return furthest(subject.scores(traces), subject.scores(traces), subject.threshold)


def determinism(subject: Subject) -> list[Finding]:
    """The same call twice."""
    traces = _some(subject)
    largest, flips, lost = _unsteady(subject, traces)
    evidence = {"largest": largest, "flips": flips, "lost": lost}
    if lost or largest > subject.tolerance:
        return [Finding("determinism", Outcome.FAIL, f"the same call twice: scores differ by up to {largest:.2g}, "
                        f"{lost} are missing in one of them.", evidence,
                        "Switch dropout off (eval mode); greedy decoding or a fixed seed for a judge.")]  # fmt: skip
    if largest:
        return [Finding("determinism", Outcome.WARN, f"the same call twice differs by up to {largest:.1g}: rounding.",
                        evidence, "Expected of parallel reductions; do not compare scores exactly.")]  # fmt: skip
    return [Finding("determinism", Outcome.PASS, f"the same call twice gives the same scores ({len(traces)} traces).",
                    evidence)]  # fmt: skip


def batch(subject: Subject) -> list[Finding]:
    """Alone, together, reversed, and beside a long neighbor."""
    traces = _some(subject)
    if _unsteady(subject, traces)[0] > subject.tolerance:
        return [
            Finding("batch and padding", Outcome.SKIP, "the same call twice already differs (determinism).")
        ]
    alone = [own for t in traces for own in subject.scores([t])]
    longest = with_steps(traces[-1].problem, [s.rstrip("\n") + "\n" for s in traces[-1].step_texts] * 4)
    company = {
        "together": subject.scores(traces),
        "reversed": subject.scores(traces[::-1])[::-1],
        "beside a long one": subject.scores([longest, *traces])[1:],
    }
    drift = {how: furthest(alone, scores, subject.threshold) for how, scores in company.items()}
    worst = max(drift, key=lambda how: (drift[how][2], drift[how][0]))
    largest, flips, lost = drift[worst]
    flips = max(f for _, f, _ in drift.values())
    evidence = {how: {"largest": d, "flips": f, "lost": n} for how, (d, f, n) in drift.items()}
    what = (
        f"alone and {worst}: scores differ by up to {largest:.2g}, {flips} verdicts flip, {lost} are missing."
    )
    advice = "Look at the padding side, the attention mask and the position ids."
    if lost or largest > GROSS * subject.tolerance or (flips and largest > subject.tolerance):
        return [Finding("batch and padding", Outcome.FAIL, what, evidence, advice)]
    if largest > subject.tolerance:
        return [Finding("batch and padding", Outcome.WARN, what, evidence, advice)]
    return [Finding("batch and padding", Outcome.PASS, f"alone, together, reversed and beside a long trace: at most "
                    f"{largest:.1g} apart (rounding: {subject.tolerance:.0e}).", evidence)]  # fmt: skip


def prefix(subject: Subject) -> list[Finding]:
    """Are scores unchanged when later steps are appended? Only a causal scorer promises it."""
    traces = [t for t in _some(subject) if len(t.steps) > 1]
    if not traces:
        return [Finding("prefixes", Outcome.SKIP, "no trace has two steps.")]
    if subject.outcome:
        return [Finding("prefixes", Outcome.SKIP, "an outcome model reads the whole trace.")]
    if _unsteady(subject, traces)[0] > subject.tolerance:
        return [Finding("prefixes", Outcome.SKIP, "the same call twice already differs (determinism).")]
    cuts = [(t, k) for t in traces for k in sorted({1, len(t.steps) // 2, len(t.steps) - 1})]
    parts = [with_steps(t.problem, t.step_texts[:k], t) for t, k in cuts]
    scores = subject.scores([*traces, *parts])
    whole = dict(zip([t.id for t in traces], scores, strict=False))
    expected: list[Scores | None] = []
    for t, k in cuts:
        full = whole[t.id]
        expected.append(None if full is None else full[:k])
    largest, flips, lost = furthest(expected, scores[len(traces) :], subject.threshold)
    evidence = {"largest": largest, "flips": flips, "lost": lost, "prefixes": len(cuts)}
    if not lost and largest <= subject.tolerance:
        return [Finding("prefixes", Outcome.PASS, f"{len(cuts)} prefixes: later steps change no score before them.",
                        evidence)]  # fmt: skip
    what = f"later steps change earlier scores by up to {largest:.2g} ({lost} scores come or go, {len(cuts)} prefixes)."
    if getattr(subject.scorer, "causal", None) is True:
        return [Finding("prefixes", Outcome.FAIL, what, evidence, "The model is causal, so the rendering is not: look "
                        "for truncation, or a template that changes with the length.")]  # fmt: skip
    return [Finding("prefixes", Outcome.WARN, what, evidence, "Right for a scorer that reads whole solutions; wrong "
                    "for step rewards and for beams, which see prefixes.")]  # fmt: skip
