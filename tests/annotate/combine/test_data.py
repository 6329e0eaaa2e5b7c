"""Outcome copies, easy-to-hard, and the two error rates of a data set."""

from __future__ import annotations

import math
from collections import defaultdict

import pytest

from preceptor.annotate import WorldOracle, label
from preceptor.annotate.combine import (
    FreePRM,
    OutcomeCopy,
    at_step_error_rate,
    by_level,
    by_pass_rate,
    dense_rewards,
    pass_rates,
    report,
)
from preceptor.annotate.combine.easy_to_hard import level
from preceptor.errors import InputError, ItemError
from preceptor.judgement import Question, Scorer
from preceptor.policy import ScriptedPolicy, sample
from preceptor.trace import Finish, Grade, Problem, Trace, Verdict
from preceptor.worlds import WORLDS
from tests.annotate.combine.noisy import traces
from tests.annotate.scripted import GOLD, trace


def test_the_outcome_stands_at_every_step_and_claims_no_first_error():
    judged = OutcomeCopy().score([trace(4, GOLD), trace(3, "41")])
    assert isinstance(OutcomeCopy(), Scorer)
    assert [j.scores for j in judged] == [(1.0,) * 4, (0.0,) * 3]
    assert {(j.question, j.first_error) for j in judged} == {(Question.VALUE, None)}


def test_undecided_outcomes_and_failed_traces_are_errors_not_zeros():
    given = [
        trace(2).graded(Grade(Verdict.UNDECIDED, "timeout")),
        Trace(
            Problem("?", None, grader="numeric"), "a\n", trace(1).steps[:0] + (type(trace(1).steps[0])(0, 2),)
        ),
        Trace(trace(1).problem, "", (), finish=Finish.ERROR, error=ItemError("timeout", "late")),
        Trace(trace(1).problem, "", ()),
    ]
    for scorer in (OutcomeCopy(), FreePRM()):
        judged = scorer.score(given)
        assert [(j.scores, j.error.kind) for j in judged] == [
            (None, "undecided"), (None, "undecided"), (None, "failed-trace"), (None, "no-steps"),
        ]  # fmt: skip


def test_freeprm_knows_that_only_its_last_label_is_exact():
    (judged,) = FreePRM().score([trace(4, "41")])
    assert judged.scores == (0.0,) * 4
    assert judged.extra["freeprm"]["exact"] == [False, False, False, True]
    assert FreePRM().source != OutcomeCopy().source


def test_copied_outcomes_average_to_the_value_of_the_prefix_and_not_to_validity():
    policy = ScriptedPolicy(error=0.15, repair=0.3)
    problems = WORLDS["arithmetic"].problems(n=3)
    given = sample(policy, problems, samples=400)
    copies = defaultdict(list)
    for t, judged in zip(given, OutcomeCopy().score(given)):
        for step, score in enumerate(judged.scores[:-1], start=1):
            copies[t.problem.id, t.prefix(step)].append(score)
    checked = 0
    by_id = {p.id: p for p in problems}
    for (problem, prefix), found in copies.items():
        if len(found) >= 30:
            value = policy.value(by_id[problem], prefix)
            deviation = math.sqrt(max(value * (1 - value), 1e-9) / len(found))
            assert abs(sum(found) / len(found) - value) < 4 * deviation + 1e-9
            checked += value > 0.35
    assert checked > 3


def problem(name: str, **meta) -> Problem:
    return Problem(name, "1", meta=meta)


def test_levels_are_read_as_number_or_words_and_unknown_ones_stay_apart():
    given = [
        problem("a", level=3), problem("b", level="Level 4"), problem("c", level="Level ?"), problem("d"),
        problem("e", level="1"),
    ]  # fmt: skip
    assert [level(p) for p in given] == [3, 4, None, None, 1]
    found = by_level(given)
    assert [[p.prompt for p in part] for part in (found.easy, found.hard, found.unknown)] == [
        ["a", "e"], ["b"], ["c", "d"],
    ]  # fmt: skip
    assert len(by_level(given, top=4).hard) == 0


def test_pass_rates_leave_out_undecided_traces_and_count_equal_ones_once():
    verdicts = [Verdict.CORRECT, Verdict.INCORRECT, Verdict.CORRECT, Verdict.UNDECIDED]
    given = [trace(2, draw=d).graded(Grade(v, "known")) for d, v in enumerate(verdicts)]
    rates = pass_rates([*given, given[1], trace(2, name="ungraded")])
    assert rates == {given[0].problem.id: pytest.approx(2 / 3)}
    found = by_pass_rate([given[0].problem, trace(2, name="ungraded").problem], rates)
    assert (len(found.easy), len(found.hard), len(found.unknown)) == (1, 0, 1)
    assert len(by_pass_rate([given[0].problem], rates, least=0.7).hard) == 1


@pytest.mark.parametrize("scores", [(0.9, 0.4, 0.8, 0.3), (0.2,), (1.0, 1.0), (0.5, 0.9, 0.9)])
def test_dense_rewards_telescope_to_the_aggregated_score(scores):
    plain = dense_rewards(scores, bonus=0.0)
    assert sum(plain) == pytest.approx(min(scores) - 1.0)
    assert all(r <= 0 for r in plain)
    assert sum(dense_rewards(scores, how="product", bonus=0.0)) == pytest.approx(math.prod(scores) - 1)
    assert sum(dense_rewards(scores)) == pytest.approx(sum(plain) + 0.25)


def test_only_a_new_minimum_costs_and_scores_above_the_bound_are_free():
    assert dense_rewards((0.9, 0.4, 0.8, 0.3), bonus=0.0) == pytest.approx((-0.1, -0.5, 0.0, -0.1))
    assert dense_rewards((0.9, 0.8), upper=0.5, bonus=0.0) == (0.0, 0.0)
    assert dense_rewards(()) == ()
    with pytest.raises(InputError):
        dense_rewards((0.5,), how="max")


def labelled(n: int = 60):
    given = traces(n, error=0.15)
    return list(label(WorldOracle(), given))


def test_the_report_has_both_rates_with_their_counts():
    items = labelled(20)
    undecided = (trace(2).graded(Grade(Verdict.UNDECIDED, "timeout")), items[0][1])
    failed = (items[0][0], OutcomeCopy().score([Trace(trace(1).problem, "", ())])[0])
    found = report([*items, undecided, failed])
    wrong_answers = sum(not t.grade.correct for t, _ in items) + (not items[0][0].grade.correct)
    steps = [s for _, j in [*items, undecided] for s in j.scores]
    assert (found.outcome_errors.hits, found.outcome_errors.of) == (wrong_answers, len(items) + 1)
    assert (found.step_errors.hits, found.step_errors.of) == (steps.count(0.0), len(steps))
    assert (found.undecided, found.unlabelled) == (1, 1)
    assert "outcome error rate" in str(found)
    assert "step error rate" in str(found)
    assert report([]).step_errors.value is None


def test_right_answers_through_wrong_steps_are_counted():
    given = sample(ScriptedPolicy(error=0.3, repair=1.0), WORLDS["arithmetic"].problems(n=20), samples=2)
    found = report(label(WorldOracle(), given))
    assert found.outcome_errors.hits == 0
    assert found.hidden_errors.hits == sum(j.first_error >= 0 for _, j in label(WorldOracle(), given)) > 0


@pytest.mark.parametrize("shift", [-0.03, 0.0, 0.03])
def test_the_filter_reaches_a_step_error_rate_and_holds_the_outcome_error_rate(shift):
    items = labelled()
    before = report(items)
    wanted = before.step_errors.value + shift
    chosen = at_step_error_rate(items, wanted, 100)
    after = report(chosen)
    assert len(chosen) == len({t.id for t, _ in chosen}) == 100
    assert abs(after.step_errors.value - wanted) < 0.003
    assert abs(after.outcome_errors.value - before.outcome_errors.value) <= 0.5 / 100
    order = [t.id for t, _ in items]
    assert [t.id for t, _ in chosen] == sorted((t.id for t, _ in chosen), key=order.index)


def test_the_filter_depends_on_its_seed_only_and_all_items_are_one_choice():
    items = labelled(20)
    again = [[t.id for t, _ in at_step_error_rate(items, 0.1, 30, seed=s)] for s in (0, 0, 1)]
    assert again[0] == again[1] != again[2]
    assert at_step_error_rate(items, 0.0, len(items)) == items
    for rate, size in ((1.5, 3), (0.1, 0), (0.1, len(items) + 1)):
        with pytest.raises(InputError, match="size"):
            at_step_error_rate(items, rate, size)
