"""SORM: any right rollout that uses the step's result; right steps make all before them right."""

from __future__ import annotations

import pytest

from preceptor.annotate import MathShepherd
from preceptor.annotate.rollout.sorm import StepwiseORM
from preceptor.generation import Continuation
from preceptor.judgement import NO_ERROR, Question, Scorer
from preceptor.policy import ScriptedPolicy
from preceptor.trace import Finish, Grade, Problem, Trace, Verdict, steps_from_ends
from preceptor.usage import Usage
from preceptor.worlds import WORLDS
from tests.annotate.rollout.exact import NO_GOLD, PERFECT, attempts, rates
from tests.annotate.scripted import GOLD, Scripted, trace


def written(*lines: str, gold: str = "7", **more) -> Trace:
    ends = [sum(len(line) + 1 for line in lines[: i + 1]) for i in range(len(lines))]
    return Trace(
        Problem("What is 4 + 3?", gold, grader="numeric"),
        "\n".join([*lines, ""]),
        steps_from_ends(ends),
        **more,
    )


class Says(Scripted):
    """Writes the text that `value` gives for the prefix's number of lines."""

    def _one(self, request):
        return Continuation(self.value(request.prefix.count("\n")), Finish.STOP, usage=Usage(calls=1))


def test_it_is_a_scorer_of_value_with_8_rollouts():
    scorer = StepwiseORM(Scripted(lambda t: 1.0))
    assert isinstance(scorer, Scorer)
    assert (scorer.question, scorer.source.name, scorer.rollouts) == (Question.VALUE, "sorm", 8)


def test_a_rollout_that_starts_from_scratch_does_not_validate_the_step():
    wrong = written("4+3=8", "8+1=9", "Answer: 9")
    scratch = Says(lambda t: "again: 4+3=7\nAnswer: 7\n")
    (plain,) = MathShepherd(scratch).score([wrong])
    assert plain.scores == (1.0, 1.0, 0.0), "counting alone accepts every wrong step"
    (judged,) = StepwiseORM(scratch).score([wrong])
    assert (judged.scores, judged.first_error) == ((0.0, 0.0, 0.0), 0)
    assert (judged.counts, judged.flags) == (((8, 8), (8, 8), None), ("unused-result",))
    using = Says(lambda t: "8-1=7\nAnswer: 7\n" if t == 1 else "so 19 in all, no, 7\nAnswer: 7\n")
    (judged,) = StepwiseORM(using).score([wrong])
    assert judged.scores == (1.0, 0.0, 0.0), "19 is not the 9 of the second step"


def test_a_step_after_a_zero_that_is_right_makes_the_ones_before_it_right():
    policy = Says(lambda t: "line 0, line 1, line 2 of 0\nAnswer: " + ("7" if t in (1, 4) else GOLD))
    (plain,) = MathShepherd(policy).score([trace(6)])
    assert (plain.scores, plain.flags) == ((0.0, 1.0, 1.0, 0.0, 1.0, 0.0), ("not-monotone",))
    (judged,) = StepwiseORM(policy).score([trace(6)])
    assert (judged.scores, judged.first_error) == ((1.0, 1.0, 1.0, 1.0, 1.0, 0.0), 5)
    assert sum(judged.scores) >= sum(plain.scores)


@pytest.mark.parametrize("steps, rollouts", [(1, 8), (2, 1), (5, 3)])
def test_the_cost_is_k_times_t_minus_1_in_one_batch(steps: int, rollouts: int):
    policy = Scripted(lambda t: 0.0)
    (judged,) = StepwiseORM(policy, rollouts=rollouts).score([trace(steps)])
    assert len(policy.asked) == rollouts * (steps - 1) == judged.usage.policy.calls
    assert len(policy.batches) <= 1
    assert judged.first_error == 0


def test_a_right_answer_needs_no_rollouts_for_the_labels_that_rollouts_would_give():
    policy = Scripted(lambda t: 0.0)
    right, wrong = StepwiseORM(policy, rollouts=2).score([trace(4, GOLD), trace(4)])
    assert (right.scores, right.first_error, right.flags) == ((1.0,) * 4, NO_ERROR, ("assumed-correct",))
    assert (right.usage.policy.calls, len(policy.asked)) == (0, 6)
    assert wrong.scores == (0.0,) * 4


def test_under_a_perfect_policy_labels_are_the_oracles_reachability():
    traces = attempts(ScriptedPolicy(error=0.25))
    judged = StepwiseORM(PERFECT, rollouts=1).score(traces)
    world = WORLDS["arithmetic"]
    for t, j in zip(traces, judged):
        reachable = [float(s.reachable) for s in world.judge(t.problem, t.step_texts)]
        assert list(j.scores) == reachable
    assert 0 < sum(j.first_error == NO_ERROR for j in judged) < len(judged)


def test_a_silent_repair_validates_the_wrong_last_operation_only_for_who_does_not_look_at_what_was_used():
    """This policy carries errors on and answers rightly all the same: every prefix has value 1."""
    repairing = ScriptedPolicy(error=0.0, repair=1.0)
    spoiled = [
        t for t in attempts(ScriptedPolicy(error=0.25), problems=16) if _first_wrong(t) == len(t.steps) - 2
    ]
    assert spoiled
    plain, judged = (a(repairing, rollouts=2).score(spoiled) for a in (MathShepherd, StepwiseORM))
    assert [j.first_error for j in plain] == [len(t.steps) - 1 for t in spoiled]
    assert [j.first_error for j in judged] == [len(t.steps) - 2 for t in spoiled]


def _first_wrong(t: Trace) -> int | None:
    truth = WORLDS["arithmetic"].judge(t.problem, t.step_texts)
    return next((i for i, step in enumerate(truth) if not step.reachable), None)


def test_labels_never_rise_whatever_the_rollouts_say():
    traces = [trace(9, draw=d) for d in range(30)]
    plain = MathShepherd(Scripted(lambda t: 0.15), rollouts=4).score(traces)
    assert any("not-monotone" in j.flags for j in plain)
    for j in StepwiseORM(Scripted(lambda t: 0.15), rollouts=4).score(traces):
        assert list(j.scores) == sorted(j.scores, reverse=True)


def test_undecided_rollouts_are_no_evidence_and_a_later_right_step_settles_the_unknown():
    answers = {1: "cut", 3: "cut"}
    policy = Scripted(lambda t: answers.get(t, 1.0 if t == 2 else 0.0))
    unnumbered = written("one", "two", "three", "four", "Answer: 5", gold=GOLD)
    (judged,) = StepwiseORM(policy, rollouts=2).score([unnumbered])
    assert judged.scores == (1.0, 1.0, None, 0.0, 0.0)
    assert (judged.first_error, judged.undecided) == (None, 4)
    assert judged.flags == ("truncated-rollouts",)
    ungraded = trace(1, grade=Grade(Verdict.UNDECIDED, "timeout"))
    (nothing,) = StepwiseORM(policy).score([ungraded])
    assert (nothing.scores, nothing.error.kind) == (None, "undecided")


def test_failing_rollouts_are_typed_and_their_cost_is_kept():
    (judged,) = StepwiseORM(Scripted(rates(1.0, 1.0, None)), rollouts=3).score([trace(4)])
    assert (judged.scores, judged.error.kind, judged.usage.policy.calls) == (None, "rollouts-failed", 9)


def test_without_gold_nothing_is_asked():
    policy = Scripted(lambda t: 1.0)
    (judged,) = StepwiseORM(policy).score([Trace(NO_GOLD, "a\nb\n", steps_from_ends([2, 4]))])
    assert (judged.scores, judged.error.kind, policy.asked) == (None, "no-gold", [])
