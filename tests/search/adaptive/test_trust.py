"""Specifies trust in a scorer: what votes, scores, repeated texts and earlier problems do to belief in an answer."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from preceptor.search.adaptive.trust import (
    AGGREGATORS,
    BROAD,
    KINDS,
    OFFSETS,
    SHAPE,
    SLOPES,
    WRONG,
    Sample,
    believed,
    learned,
    separation,
)


def sample(answer: str | None, score: float | None, n: int = 0, **more) -> Sample:  # type: ignore[no-untyped-def]
    return Sample(f"{answer} {n}", answer, None if score is None else (score,), **more)


def certain(kind: str, a: float, b: float, how: str = "last") -> np.ndarray:  # type: ignore[type-arg]
    prior = np.zeros(SHAPE)
    prior[KINDS.index(kind), AGGREGATORS.index(how), OFFSETS.index(a), SLOPES.index(b)] = 1.0
    return prior


def test_the_posterior_of_two_answers_by_hand() -> None:
    own = [sample("x", 0.9), sample("y", 0.1)]
    trust = believed(own, certain("one right answer", 0.0, 1.0))
    # right 0.9 or 0.1, wrong (1 - p) / WRONG
    x, y, none = 0.9 * 0.9 / WRONG, 0.1 * 0.1 / WRONG, 0.1 * 0.9 / WRONG**2
    assert trust.answers["x"] == pytest.approx(x / (x + y + none))
    assert trust.answers["y"] == pytest.approx(y / (x + y + none))
    assert trust.slope == pytest.approx(1.0)


def test_where_there_are_several_right_answers_each_is_judged_on_its_own() -> None:
    own = [sample("x", 0.9), sample("y", 0.8), sample("z", 0.1)]
    trust = believed(own, certain("several", 0.0, 1.0))
    expected = [p / 2 / (p / 2 + (1 - p) / WRONG) for p in (0.9, 0.8, 0.1)]
    assert list(trust.answers.values()) == pytest.approx(expected)
    one = believed(own, certain("one right answer", 0.0, 1.0))
    assert sum(one.answers.values()) < 1 < sum(trust.answers.values())


def test_scores_that_say_nothing_leave_the_majority() -> None:
    own = [sample("x", 0.5, i) for i in range(2)] + [sample("y", 0.5, i) for i in range(3)]
    assert believed(own).best == "y"
    useless = certain("one right answer", 0.0, 0.0)
    told = [sample("x", 0.99, 0), sample("x", 0.99, 1), *(sample("y", 0.01, i) for i in range(3))]
    assert believed(told, useless).best == "y"


def test_scores_that_are_believed_beat_the_majority() -> None:
    own = [sample("x", 0.97), *(sample("y", 0.03, i) for i in range(3))]
    assert believed(own, certain("one right answer", 0.0, 2.0)).best == "x"
    assert believed(own, certain("one right answer", 0.0, 0.0)).best == "y"


def test_a_scorer_that_contradicts_the_votes_loses_its_say_and_one_that_agrees_gains_it() -> None:
    agrees = [sample("x", 0.9, i) for i in range(5)] + [sample(str(i), 0.1) for i in range(3)]
    contradicts = [sample("x", 0.1, i) for i in range(5)] + [sample(str(i), 0.9) for i in range(3)]
    before = believed([]).slope
    assert believed(contradicts).slope < before < believed(agrees).slope
    assert believed(contradicts).best == "x"


def test_a_text_that_is_sampled_again_votes_again_but_tells_nothing_more_of_the_scorer() -> None:
    own = [sample("x", 0.9), sample("x", 0.9, 1), sample("y", 0.2)]
    again = [*own, *(sample("x", 0.9) for _ in range(20))]
    assert believed(again).slope == pytest.approx(believed(own).slope)
    assert believed(again).answers["x"] > believed(own).answers["x"]
    assert believed(again).sure == pytest.approx(believed(own).sure)


def test_samples_that_the_scorer_chose_are_no_votes_for_those_who_do_not_believe_it() -> None:
    own = [sample("x", 0.5, i) for i in range(2)]
    led = [sample("y", 0.5, i, free=False) for i in range(5)]
    assert believed(own + led, certain("one right answer", 0.0, 0.0)).best == "x"
    assert believed(own + led, certain("one right answer", 0.0, 1.0)).best == "y"
    sure = [sample("x", 0.99, i + 5, free=False) for i in range(5)]
    assert believed(own + sure).slope == pytest.approx(believed(own).slope)


def test_unknown_scores_are_no_bad_scores_and_no_answer_is_no_answer() -> None:
    known = certain("one right answer", 0.0, 1.0)
    own = [sample("x", None), sample("y", 0.2)]
    assert believed(own, known).best == "x"
    assert believed([sample(None, 0.9)]).best is None
    assert believed([]).answers == {}


def test_more_samples_that_agree_make_it_surer() -> None:
    sure = [believed([sample("x", 0.7, i) for i in range(n)]).sure for n in (1, 2, 4, 8)]
    assert all(a < b for a, b in pairwise(sure))


def test_how_well_a_scorers_steps_tell_right_solutions_from_wrong_ones() -> None:
    own = [
        Sample("a", "x", (0.9, 0.6), right=True),
        Sample("b", "x", (0.9, 0.4), right=True),
        Sample("c", "y", (0.9, 0.9), right=False),
        *(Sample(str(i), "y", (0.9, 0.1), right=False) for i in range(3)),
        Sample("unknown", "y", (0.9, 0.9)),
    ]
    assert separation(own) == pytest.approx(1 / 2 - 1 / 4)
    assert separation(own[:2]) == separation([]) == 0.0
    worse = [Sample("a", "x", (0.1,), right=True), Sample("b", "y", (0.9,), right=False)]
    assert separation(worse) == 0.0


def problems(rng: np.random.Generator, n: int, b: float, graded: bool) -> list[list[Sample]]:
    """Right with probability 0.4; scores that are distributed as sigmoid(b x) says, or noise for b = 0."""
    found = []
    for _ in range(n):
        own = []
        for i in range(8):
            right = bool(rng.random() < 0.4)
            odds = rng.normal(1.5 * b * (1 if right else -1), 1.5)
            answer = "x" if right else str(rng.integers(WRONG))
            score = float(1 / (1 + np.exp(-odds)))
            own.append(sample(answer, score, i, right=right if graded else None))
        found.append(own)
    return found


@pytest.mark.parametrize("graded", [True, False], ids=["graded", "by votes"])
def test_many_problems_tell_a_good_scorer_from_a_useless_one(graded: bool) -> None:
    rng = np.random.default_rng(0)
    slope = {}
    for b in (0.0, 1.0):
        prior = learned(problems(rng, 60, b, graded))
        assert prior.shape == SHAPE
        assert prior.sum() == pytest.approx(1.0)
        slope[b] = float((prior.sum((0, 1, 2)) * SLOPES).sum())
    assert slope[0.0] < 0.25
    assert slope[1.0] > 0.7


def test_learning_from_nothing_changes_nothing_and_from_grades_tells_how_many_answers_are_right() -> None:
    assert learned([]) == pytest.approx(np.array(BROAD))
    two = [[sample("x", 0.9, right=True), sample("y", 0.9, right=True)]] * 10
    one = [[sample("x", 0.9, 0, right=True), sample("x", 0.9, 1, right=True)]] * 10
    assert learned(two).sum((1, 2, 3))[1] > 0.9
    assert learned(one).sum((1, 2, 3))[0] > 0.9
