"""What a text says of itself: form, structure, phrases. No model, no cost.

Each rule is a function of a trace that gives a number or None; `Texts` makes scalars of some of them. The formulas are
those of `credit.ops` (`refine`, `noisy_rpr`, `spark`). `Visits` counts how often an answer was given to a problem in
earlier calls (`outcome_explore`), in this process: one object a run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from preceptor.credit import Signals, rollout_of
from preceptor.credit.ops import noisy_rpr, refine, spark
from preceptor.credit.ops.outcome_explore import AnswerCounts
from preceptor.judgement import Question
from preceptor.learn.signals.base import Producer
from preceptor.reward.likelihood.answers import own_answer
from preceptor.trace import Finish, Trace

Rule = Callable[[Trace], "float | None"]


def boxed_block(trace: Trace) -> float:
    """SPARK's form: one answer block with one box at the very end."""
    return float(spark.well_formed(trace.text))


def answered(trace: Trace) -> float:
    """An answer can be read (P-GRPO's format in {0, 1}: ours)."""
    return float(own_answer(trace) is not None)


def completed(trace: Trace) -> float:
    """The text came to its end with an answer (G-RA's least value that means "done": ours)."""
    return float(trace.finish is Finish.STOP and own_answer(trace) is not None)


def pattern(trace: Trace) -> float:
    return noisy_rpr.pattern_reward(trace.text)


def structure(trace: Trace) -> float:
    return refine.structure(trace.text)


def references(trace: Trace) -> float:
    return refine.references(trace.text)


def calibration(trace: Trace) -> float | None:
    known = trace.grade is not None and trace.grade.decided
    correct = float(trace.grade.correct) if known and trace.grade is not None else None
    return refine.scalars(trace.text, correct)["calibration"]


REFINE: dict[str, Rule] = {"structure": structure, "references": references, "calibration": calibration}


@dataclass(eq=False)
class Texts(Producer):
    """`rules`: scalar name -> rule. A trace that failed has None everywhere."""

    name: ClassVar[str] = "texts"
    question: ClassVar[Question] = Question.QUALITY

    rules: Mapping[str, Rule]

    def __post_init__(self) -> None:
        self.gives = frozenset(f"scalars.{n}" for n in self.rules)  # type: ignore[misc]

    def signals(self, traces: Sequence[Trace]) -> Signals:
        self.begin()
        for trace in traces:
            if trace.error is not None:
                self.failed[trace.error.kind] += 1
        scalars = {
            name: tuple(None if t.error is not None else rule(t) for t in traces)
            for name, rule in self.rules.items()
        }
        return Signals(question=self.question, scalars=scalars)


@dataclass(eq=False)
class Visits(Producer):
    name: ClassVar[str] = "visits"
    gives: ClassVar[frozenset[str]] = frozenset({"scalars.visits"})
    question: ClassVar[Question] = Question.QUALITY

    counts: AnswerCounts = field(default_factory=AnswerCounts, init=False, repr=False)

    def signals(self, traces: Sequence[Trace]) -> Signals:
        """Counts of before this call, which are then brought up to date."""
        self.begin()
        rollouts = [rollout_of(t, answers=True) for t in traces]
        found = self.counts.visits(rollouts)
        fine = [t.error is None for t in traces]
        self.counts.update([r for r, ok in zip(rollouts, fine, strict=True) if ok])
        return Signals(
            question=self.question, scalars={"visits": tuple(v if ok else None for v, ok in zip(found, fine))}
        )

    def state_dict(self) -> dict[str, Any]:
        return {"counts": [[p, a, n] for (p, a), n in self.counts.counts.items()]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.counts.counts.clear()
        self.counts.counts.update({(p, a): n for p, a, n in state["counts"]})
