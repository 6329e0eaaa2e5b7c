"""The oracle repeats the world's truth, and says so where there is none."""

from __future__ import annotations

import pytest

from preceptor.annotate import WorldOracle
from preceptor.errors import InputError
from preceptor.judgement import NO_ERROR, Question, Scorer
from preceptor.trace import Problem, Trace, steps_from_ends
from preceptor.worlds import WORLDS


def traces_of(world: str) -> list[Trace]:
    """The reference solution of each problem, and the same with one step spoiled in the middle."""
    made = []
    for problem in WORLDS[world].problems(n=8):
        for spoil in (False, True):
            steps = [s if s.endswith("\n") else s + "\n" for s in problem.reference]
            if spoil:
                steps[len(steps) // 2] = "7*7=50\n"
            ends = [sum(map(len, steps[: i + 1])) for i in range(len(steps))]
            made.append(Trace(problem, "".join(steps), steps_from_ends(ends)))
    return made


@pytest.mark.parametrize("world", sorted(WORLDS))
def test_scores_and_first_errors_are_those_of_the_world(world: str):
    traces = traces_of(world)
    for question in (Question.VALIDITY, Question.VALUE):
        scorer = WorldOracle(question)
        assert isinstance(scorer, Scorer)
        for trace, judged in zip(traces, scorer.score(traces)):
            truths = WORLDS[world].judge(trace.problem, [trace.text[s.start : s.end] for s in trace.steps])
            right = [t.valid if question is Question.VALIDITY else t.reachable for t in truths]
            assert judged.question is question
            assert judged.scores == tuple(float(r) for r in right)
            assert judged.first_error == (right.index(False) if False in right else NO_ERROR)
            assert judged.rationale == tuple(None if t.valid else t.kind for t in truths)


def test_a_reference_solution_is_right_and_a_spoiled_one_is_not():
    judged = WorldOracle().score(traces_of("arithmetic"))
    assert [j.first_error == NO_ERROR for j in judged] == [True, False] * 8


def test_a_problem_without_a_world_is_a_counted_failure_not_a_crash():
    nowhere = Trace(Problem("p", "1"), "x\n", steps_from_ends([2]))
    elsewhere = Trace(Problem("p", "1", world="gsm8k"), "x\n", steps_from_ends([2]))
    empty = Trace(WORLDS["arithmetic"].problems(n=1)[0], "", ())
    judged = WorldOracle().score([nowhere, elsewhere, empty])
    assert [(j.scores, j.error.kind) for j in judged] == [
        (None, "no-oracle"), (None, "no-oracle"), (None, "no-steps"),
    ]  # fmt: skip


def test_the_two_questions_are_two_sources_and_no_other_question_is_answered():
    assert WorldOracle().source != WorldOracle(Question.VALUE).source
    with pytest.raises(InputError, match=r"expected Question\.VALIDITY or Question\.VALUE"):
        WorldOracle(Question.QUALITY)
