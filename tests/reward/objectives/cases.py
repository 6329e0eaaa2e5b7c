"""Graded toy traces: a step is good when its last digit is even, a solution is right when all steps are."""

from __future__ import annotations

from preceptor.reward.examples import Labelled
from preceptor.trace import Grade, Trace, Verdict
from tests.reward.toy import ToyLabels, good, toy_labels

FAST = {"epochs": 5, "lr": 3e-3, "batch_rows": 16, "held_out": 0.2}


def graded(trace: Trace, right: bool) -> Trace:
    return trace.graded(Grade(Verdict.CORRECT if right else Verdict.INCORRECT, "toy"))


def labels(n: int = 60, seed: int = 0) -> ToyLabels:
    plain = toy_labels(n, seed=seed)
    return ToyLabels([graded(t, all(map(good, t.step_texts))) for t in plain.traces], plain.judgements)


def items(data: ToyLabels) -> list[Labelled]:
    return [Labelled(t, tuple(j.scores), j) for t, j in zip(data.traces, data.judgements, strict=True)]
