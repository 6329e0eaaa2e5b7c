"""Specifies how scored answers become one winner."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.search import VOTES, connected_classes
from preceptor.search.vote import min_max, softmax

CLASSES = ["a", "b", "b", None, "c"]
SCORES = [0.4, 0.1, 0.2, 1.0, 0.3]

BALLOTS = st.integers(1, 12).flatmap(
    lambda n: st.tuples(
        st.lists(st.sampled_from(["a", "b", "c", None]), min_size=n, max_size=n),
        st.lists(st.floats(0, 1), min_size=n, max_size=n),
    )
)


@pytest.mark.parametrize(
    "rule, winner",
    [("majority", 1), ("bon", 0), ("weighted", 0), ("mean_reward", 0), ("best_in_majority", 2)],
)
def test_each_rule_on_a_hand_example(rule: str, winner: int) -> None:
    assert VOTES[rule](CLASSES, SCORES) == winner


def test_weighted_sums_over_the_class_and_returns_its_best_scored_member() -> None:
    assert VOTES["weighted"](["a", "b", "b"], [0.4, 0.2, 0.3]) == 2


@pytest.mark.parametrize("rule", sorted(VOTES))
def test_candidates_without_an_answer_take_no_part(rule: str) -> None:
    assert VOTES[rule]([None, "x"], [1.0, 0.0]) == 1
    assert VOTES[rule]([None, None], [1.0, 0.5]) is None
    assert VOTES[rule]([], []) is None


@pytest.mark.parametrize("rule", sorted(VOTES))
def test_where_nobody_is_scored_the_majority_decides(rule: str) -> None:
    assert VOTES[rule](["a", "b", "b"], [None, None, None]) == 1


def test_unscored_candidates_rank_below_the_worst_scored_one_and_weigh_nothing() -> None:
    assert VOTES["bon"](["a", "b"], [None, 0.0]) == 1
    assert VOTES["bon"](["a", "b"], [None, -5.0]) == 1
    assert VOTES["weighted"](["a", "a", "b"], [None, None, 0.1]) == 2
    assert VOTES["mean_reward"](["a", "b", "b"], [0.5, 0.6, None]) == 1


@pytest.mark.parametrize("rule", sorted(VOTES))
def test_ties_go_to_the_class_that_came_first(rule: str) -> None:
    assert VOTES[rule](["b", "a", "a", "b"], [0.5] * 4) == 0


def test_negative_weights_are_refused_with_the_remedy() -> None:
    with pytest.raises(ValueError, match="min_max"):
        VOTES["weighted"](["a", "b"], [0.5, -0.1])
    assert VOTES["weighted"](["a", None], [0.5, -0.1]) == 0


@given(BALLOTS)
def test_constant_weights_make_the_weighted_vote_the_majority(
    ballot: tuple[list[str | None], list[float]],
) -> None:
    classes, _ = ballot
    for constant in (0.0, 0.7, 1.0):
        winner = VOTES["weighted"](classes, [constant] * len(classes))
        assert winner == VOTES["majority"](classes, [])


@given(BALLOTS, st.data())
def test_one_hot_weights_make_it_best_of_n(
    ballot: tuple[list[str | None], list[float]], data: st.DataObject
) -> None:
    classes, _ = ballot
    hot = data.draw(st.integers(0, len(classes) - 1))
    scores = [float(i == hot) for i in range(len(classes))]
    if classes[hot] is not None:
        assert VOTES["weighted"](classes, scores) == VOTES["bon"](classes, scores) == hot


@given(BALLOTS)
def test_a_single_candidate_wins_under_every_rule(ballot: tuple[list[str | None], list[float]]) -> None:
    classes, scores = ballot[0][:1], ballot[1][:1]
    assert len({rule(classes, scores) for rule in VOTES.values()}) == 1


def test_a_chain_of_pairwise_equivalences_is_one_class() -> None:
    answers = [1.0, 5.0, 1.4, None, 1.8]
    close = connected_classes(answers, lambda a, b: 0 <= b - a <= 0.5)  # neither symmetric nor transitive
    assert close == ["0", "1", "0", None, "0"]


def test_weights_within_a_problem_are_mapped_and_absent_ones_stay_absent() -> None:
    assert min_max([-1.0, None, 1.0]) == [0.0, None, pytest.approx(2 / 2.001)]
    weights = softmax([0.0, None, 0.0])
    assert weights == [0.5, None, 0.5]
    assert min_max([None]) == [None] == softmax([None])
