"""Picking by scores that are no probabilities: every rule that makes sense, and none that does not."""

from __future__ import annotations

from preceptor.bench.selection import selection
from preceptor.judgement import Judgement, Question, Source
from preceptor.trace import Grade, Problem, Trace, Verdict, steps_from_ends

PROBLEM = Problem("Which?", gold="2")


def candidate(k: int, right: bool, scores: tuple[float, ...]) -> tuple[Trace, Judgement]:
    text = f"line {k}\nanswer\n"
    grade = Grade(Verdict.CORRECT if right else Verdict.INCORRECT, "test", "2" if right else str(10 + k))
    trace = Trace(PROBLEM, text, steps_from_ends([text.index("\n") + 1, len(text)]), grade=grade, draw=k)
    return trace, Judgement(trace.id, Question.QUALITY, Source.of("raw"), scores)


def rules(rows: list[tuple[Trace, Judgement]]) -> dict[str, float]:
    found = selection([t for t, _ in rows], [j for _, j in rows])
    assert found is not None
    return {p.rule: p.accuracy.value for p in found.picks}


def test_rewards_outside_the_unit_interval_are_ranked_but_not_multiplied():
    found = rules([candidate(0, True, (-2.0, 3.5)), candidate(1, False, (-1.0, 1.0))])
    assert "scorer, prod" not in found
    assert found["scorer, last"] == 1.0
    assert found["scorer, min"] == 0.0
    assert found["random"] == 0.5


def test_probabilities_are_multiplied_as_well():
    found = rules([candidate(0, True, (0.6, 0.6)), candidate(1, False, (0.5, 0.7))])
    assert found["scorer, prod"] == 1.0
    assert found["scorer, last"] == 0.0
