"""FoVer (psunlpgroup/FoVer, formal logic): z3 decides each step of a formal proof.

A step is right iff its cited premises AND NOT its conclusion is unsatisfiable. What was derived before counts as
given even if it was derived wrongly, so labels can be (0, 1, 0, 1); a known fact that is not cited does not help.
The final line is right iff its verdict is the gold one. Proofs that cannot be read are errors, not wrong.
Ours: names must be stated before they are cited (the original takes a name from any step of the proof).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

from preceptor.annotate.formal.logic import Formula, LogicError, Not
from preceptor.annotate.formal.solver import entails, equivalent, load_z3
from preceptor.annotate.formal.steps import (
    VERDICTS,
    Theory,
    read_inference,
    statements,
    theory_of,
    verdict_of,
)
from preceptor.errors import InputError, ItemError
from preceptor.judgement import Judgement, Question, Source, first_below
from preceptor.trace import Trace
from preceptor.usage import Ledger, Usage

UNKNOWN_TO_SOLVER, INCONSISTENT = "solver-unknown", "inconsistent-verdict"


@dataclass(frozen=True)
class FoVer:
    """Scorer of local validity: 1, 0, or None for a step that z3 cannot decide (flag `"solver-unknown"`).

    `extra["proof"]` holds the stated `verdict`, whether the `last_conclusion` equals the "hypothesis", its "negation"
    or "neither", and whether the two are `consistent` (flag `"inconsistent-verdict"` if not).
    Errors: `"unparseable"`, `"contradiction-proof"`, `"unknown-premise"`, `"name-taken"`, `"no-theory"`,
    `"bad-gold"`, `"no-steps"`, `"timeout"`.
    """

    seconds: float = 180.0
    """Limit per trace."""

    name: ClassVar[str] = "fover"
    cost: ClassVar[str] = "one solver call per step and up to four for the last conclusion; no tokens"
    question: ClassVar[Question] = Question.VALIDITY

    def __post_init__(self) -> None:
        if not self.seconds > 0:
            raise InputError(f"seconds: got {self.seconds}, expected a positive number")

    @cached_property
    def source(self) -> Source:
        return Source.of(self.name, seconds=self.seconds)

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        load_z3()
        return [self._judge(trace) for trace in traces]

    def _judge(self, trace: Trace) -> Judgement:
        start = time.monotonic()
        try:
            if not trace.steps:
                raise _Skipped("no-steps", "the trace has no steps")
            proof = _Proof(_theory(trace), trace.problem.gold, start + self.seconds)
            scores = tuple(proof.label(text) for text in trace.step_texts)
            ending = proof.ending()
        except _Skipped as skipped:
            usage = Ledger(scorer=Usage(calls=1, seconds=time.monotonic() - start))
            return Judgement(trace.id, self.question, self.source, None, usage=usage, error=skipped.error)
        flags = [UNKNOWN_TO_SOLVER] * proof.undecided + [INCONSISTENT] * (ending["consistent"] is False)
        return Judgement(
            trace=trace.id,
            question=self.question,
            source=self.source,
            scores=scores,
            first_error=first_below(scores, 0.5),
            flags=tuple(dict.fromkeys(flags)),
            usage=Ledger(scorer=Usage(calls=1, seconds=time.monotonic() - start)),
            extra={"proof": ending},
        )


class _Skipped(Exception):
    """The trace gets no labels."""

    def __init__(self, kind: str, message: str):
        self.error = ItemError(kind, message)


def _theory(trace: Trace) -> Theory:
    try:
        return theory_of(trace.problem)
    except LogicError as error:
        raise _Skipped("no-theory", str(error)) from error


@dataclass
class _Proof:
    """One trace's proof, read from its first statement on."""

    theory: Theory
    gold: str | None
    deadline: float
    derived: dict[str, Formula] = field(default_factory=dict)
    last: Formula | None = None
    verdict: str | None = None
    undecided: int = 0

    def label(self, step: str) -> float | None:
        """AND over the statements of a step."""
        found = statements(step)
        if not found:
            raise _Skipped("unparseable", "a step without a statement")
        labels = [self._statement(statement) for statement in found]
        return 0.0 if 0.0 in labels else None if None in labels else 1.0

    def _statement(self, statement: str) -> float | None:
        if self.verdict is not None:
            raise _Skipped("unparseable", f"{statement[:60]!r} after the final answer")
        self.verdict = verdict_of(statement)
        if self.verdict is None:
            return self._inference(statement)
        if self.gold is not None and self.gold not in VERDICTS:
            raise _Skipped("bad-gold", f"got {self.gold[:40]!r}, expected one of {', '.join(VERDICTS)}")
        return None if self.gold is None else float(self.verdict == self.gold)

    def _inference(self, statement: str) -> float | None:
        try:
            step = read_inference(statement, self.theory.hypothesis)
        except LogicError as error:
            assumed = str(error).startswith("assumption")
            raise _Skipped("contradiction-proof" if assumed else "unparseable", str(error)) from error
        stated = {**self.theory.facts, **self.derived}
        missing = [name for name in step.premises if name not in stated]
        if missing:
            raise _Skipped("unknown-premise", f"{missing[0]} is cited and was not stated before")
        if step.name in self.derived:
            raise _Skipped("name-taken", f"{step.name} is stated twice")
        right = entails([stated[name] for name in step.premises], step.conclusion, self._left())
        self._left()
        self.undecided += right is None
        if step.name is not None:
            self.derived[step.name] = step.conclusion
        self.last = step.conclusion
        return None if right is None else float(right)

    def ending(self) -> dict[str, str | bool | None]:
        """How the last conclusion, the hypothesis and the verdict go together; unknowns are None."""
        if self.last is None:
            return {"verdict": self.verdict, "last_conclusion": None, "consistent": None}
        proved = equivalent(self.last, self.theory.hypothesis, self._left())
        refuted = equivalent(self.last, Not(self.theory.hypothesis), self._left())
        self._left()
        if proved is None or refuted is None:
            last = None
        else:
            last = "hypothesis" if proved else "negation" if refuted else "neither"
        wanted = {"PROVED": "hypothesis", "DISPROVED": "negation", "UNKNOWN": "neither"}.get(
            self.verdict or ""
        )
        consistent = None if last is None or wanted is None else last == wanted
        return {"verdict": self.verdict, "last_conclusion": last, "consistent": consistent}

    def _left(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise _Skipped("timeout", "the trace took longer than its limit")
        return left
