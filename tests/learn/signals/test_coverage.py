"""Entities and waypoints: what the solver itself names, and what it is worth."""

from __future__ import annotations

import pytest

from preceptor.errors import InputError
from preceptor.learn.signals import Coverage, PathReward, waypoint_coverage
from preceptor.learn.signals.coverage import path_reward
from preceptor.trace import Finish, Problem, Step
from tests.learn.signals.toys import failed, trace

Q = Problem(
    "Where was the author of Emma born?",
    "54",
    grader="numeric",
    meta={
        "entities": ["Jane Austen", "Steventon", "Hampshire", "Emma"],
        "waypoints": ["Emma", "Jane Austen", "Steventon", "54"],
    },
)


def test_a_steps_score_is_the_share_of_entities_it_is_the_first_to_name():
    t = trace("Emma is by JANE  Austen.\n", "Jane Austen, of Steventon.\n", "Answer: 7\n", of=Q)
    found = Coverage().signals([t])
    assert found.scores == ((0.5, 0.25, 0.0),)
    assert found.scalars["coverage"] == (0.75,)


def test_a_wrong_answer_gets_its_rate_over_the_best_of_the_group_and_never_more_than_alpha():
    texts = ("Emma.\nAnswer: 7\n", "Emma, Steventon.\nAnswer: 7\n", "Answer: 7\n", "Answer: 54\n")
    found = Coverage().signals([trace(x, of=Q) for x in texts])
    assert found.scalars["reward"] == pytest.approx((0.15, 0.3, 0.0, 1.0))
    assert Coverage(alpha=0.0).signals([trace(x, of=Q) for x in texts]).scalars["reward"] == (
        0.0,
        0.0,
        0.0,
        1.0,
    )
    with pytest.raises(InputError, match="alpha"):
        Coverage(alpha=1.0)


def test_an_all_wrong_group_without_a_hit_is_worth_nothing():
    assert Coverage().signals([trace("Answer: 7\n", of=Q)] * 2).scalars["reward"] == (0.0, 0.0)


def test_an_over_long_or_malformed_text_is_worth_nothing_and_its_steps_still_count():
    long = trace("Emma.\n", "Answer: 54\n", of=Q, finish=Finish.LENGTH)
    found = Coverage().signals([long])
    assert found.scalars["reward"] == (0.0,)
    assert found.scores == ((0.25, 0.0),)
    assert Coverage(well_formed=lambda t: False).signals([trace("Answer: 54\n", of=Q)]).scalars["reward"] == (
        0.0,
    )


def test_waypoints_leave_out_the_answer_and_what_the_question_names():
    t = trace("Emma. Jane Austen.\n", "54\n", of=Q)
    found = waypoint_coverage().signals([t])
    assert found.scores == ((0.5, 0.0),)  # of Jane Austen and Steventon
    assert waypoint_coverage(alpha=0.2).signals([trace("Steventon\nAnswer: 1\n", of=Q)]).scalars[
        "reward"
    ] == (0.1,)


def test_what_an_environment_answered_does_not_count_but_by_option():
    t = trace("search\n", "Answer: 7\n", of=Q)
    seen = type(t)(t.problem, t.text, (Step(0, 7, observation="Steventon"), t.steps[1]), t.finish, t.grade)
    assert waypoint_coverage().signals([seen]).scalars["coverage"] == (0.0,)
    assert waypoint_coverage(observations=True).signals([seen]).scalars["coverage"] == (0.5,)


def test_a_name_inside_another_word_is_not_named():
    found = Coverage(items=lambda p: ["Ann", "Lee"]).signals([trace("Anna Leeds, ann.\n", of=Q)])
    assert found.scalars["coverage"] == (0.5,)


def test_without_items_there_is_nothing_to_measure():
    coverage = Coverage()
    found = coverage.signals([trace("Answer: 54\n"), trace("Answer: 7\n"), failed(Q)])
    assert found.scores == (None, None, None)
    assert found.scalars["reward"] == (1.0, None, None)
    assert coverage.failed == {"no-items": 2, "timeout": 1}


def test_a_path_reward_is_full_for_full_coverage_nothing_for_none_and_for_chanting():
    path = "austen wrote emma; austen born steventon"
    assert path_reward("Austen wrote Emma and was born at Steventon", path) == pytest.approx(1.5)
    assert path_reward("anything", "") == 0.0
    assert path_reward("", path) == 0.0
    assert path_reward("austen " * 100, path) == pytest.approx(0.0, abs=1e-9)
    assert path_reward("austen lived quietly", path) == pytest.approx(1.2 / 5)  # one hit: no bonus


def test_a_path_is_paid_for_wrong_answers_too_but_by_option():
    of = Problem("q", "54", grader="numeric", meta={"path": "austen born steventon"})
    texts = [trace("Austen born Steventon.\nAnswer: 7\n", of=of), trace("Answer: 54\n", of=of), failed(of)]
    open_, gated = PathReward().signals(texts).scalars, PathReward(gate="correct").signals(texts).scalars
    assert open_["reward"][0] == pytest.approx(-1.0 + open_["path"][0])
    assert gated["reward"][0] == -1.0
    assert open_["reward"][1:] == (pytest.approx(0.1), None)
