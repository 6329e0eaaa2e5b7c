"""Specifies the votes with settings: their limits, and the hand-computed cases that tell them apart."""

from __future__ import annotations

import math
import random
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.search.vote import (
    VOTES,
    agreement,
    by_class,
    hybrid,
    log_odds,
    pessimistic,
    reward_frequency,
    share,
)

BALLOTS = st.integers(1, 12).flatmap(
    lambda n: st.tuples(
        st.lists(st.sampled_from(["a", "b", "c", None]), min_size=n, max_size=n),
        st.lists(st.sampled_from([0.0, 0.125, 0.25, 0.5, 0.75, 1.0]), min_size=n, max_size=n),
    )
)
Ballot = tuple[list[str | None], list[float]]


def winner(index: int | None, classes: list[str | None]) -> str | None:
    return None if index is None else classes[index]


@given(BALLOTS)
def test_a_low_gate_makes_the_hybrid_the_majority_and_a_high_one_best_of_n(ballot: Ballot) -> None:
    classes, scores = ballot
    n = sum(c is not None for c in classes)
    majority = winner(VOTES["majority"](classes, scores), classes)
    for low in (hybrid(1 / max(n, 1)), hybrid(0.0, "agreement")):
        assert winner(low(classes, scores), classes) == majority
    for high in (hybrid(1.001), hybrid(1.001, "agreement")):
        assert high(classes, scores) == VOTES["bon"](classes, scores)


@given(BALLOTS)
def test_reward_frequency_is_the_majority_at_0_and_the_best_mean_reward_at_1(ballot: Ballot) -> None:
    classes, scores = ballot
    for form in ("geometric", "additive"):
        assert winner(reward_frequency(0.0, form=form)(classes, scores), classes) == winner(
            VOTES["majority"](classes, scores), classes
        )
        assert reward_frequency(1.0, form=form)(classes, scores) == VOTES["mean_reward"](classes, scores)
        assert winner(reward_frequency(1.0, "max", form)(classes, scores), classes) == winner(
            VOTES["bon"](classes, scores), classes
        )


@given(BALLOTS)
def test_pessimism_is_the_mean_reward_at_0_and_the_majority_when_large(ballot: Ballot) -> None:
    classes, scores = ballot
    assert pessimistic(0.0)(classes, scores) == VOTES["mean_reward"](classes, scores)
    groups = by_class(classes)
    if len(groups) > 1 and len(set(map(len, groups.values()))) == len(groups):
        got = pessimistic(1e6)(classes, scores)
        assert winner(got, classes) == winner(VOTES["majority"](classes, scores), classes)


@given(st.integers(1, 9), st.lists(st.floats(0, 1), min_size=9, max_size=9))
def test_unanimous_samples_win_under_every_rule(n: int, scores: list[float]) -> None:
    for name, rule in VOTES.items():
        assert winner(rule(["a"] * n, scores[:n]), ["a"] * n) == "a", name


def test_hand_cases_that_tell_the_rules_apart() -> None:
    classes: list[str | None] = ["a", "a", "a", "b", "b", "c"]
    scores = [0.2, 0.3, 0.4, 0.6, 0.6, 0.9]
    assert VOTES["majority"](classes, scores) == 0
    assert VOTES["bon"](classes, scores) == VOTES["mean_reward"](classes, scores) == 5
    assert (
        hybrid(0.5)(classes, scores) == 2
    )  # share 1/2 reaches the gate; the best of the class stands for it
    assert hybrid(0.51)(classes, scores) == 5
    # rho = (0, 0.5, 1), phi = (1/2, 1/3, 1/6): b and c meet at alpha 0.5
    assert reward_frequency(0.4)(classes, scores) == 3
    assert reward_frequency(0.6)(classes, scores) == 5
    # additive: 0.4, 0.367, 0.333 at 0.2; 0.35, 0.383, 0.417 at 0.3
    assert reward_frequency(0.2, form="additive")(classes, scores) == 2
    assert reward_frequency(0.3, form="additive")(classes, scores) == 5
    # penalties ln 6 / (n + 1): 0.3 - 0.448, 0.6 - 0.597, 0.9 - 0.896 = 0.004
    assert pessimistic(1.0)(classes, scores) == 5
    assert pessimistic(1.1)(classes, scores) == 3
    assert pessimistic(3.0)(classes, scores) == 2


def test_the_gates_measure_how_sure_a_majority_is() -> None:
    assert share([3, 1]) == 0.75
    assert agreement([4]) == 1.0
    assert agreement([1, 1, 1, 1]) == pytest.approx(0.0)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert agreement([3, 1]) == pytest.approx(1 - entropy / math.log(4))


def test_pass_rates_tie_by_counting_members_and_0_everywhere_is_the_majority() -> None:
    assert VOTES["weighted"](["b", "a", "a"], [1.0, 1.0, 0.0]) == 0
    assert VOTES["pass_rate"](["b", "a", "a"], [1.0, 1.0, 0.0]) == 1
    assert VOTES["pass_rate"](["b", "a", "a"], [0.0, 0.0, 0.0]) == 1
    # 0.1 + 0.2 > 0.3 in floating point
    assert VOTES["pass_rate"](["b", "b", "b", "a", "a"], [0.3, 0.0, 0.0, 0.1, 0.2]) == 0


def test_log_odds_count_a_low_score_against_its_answer() -> None:
    classes: list[str | None] = ["a", "a", "a", "b"]
    scores = [0.2, 0.2, 0.2, 0.4]
    assert VOTES["weighted"](classes, scores) == 0
    assert log_odds(0.5, 2)(classes, scores) == 3  # -4.16 against -0.41
    # a policy that is right nine times in ten outweighs doubtful scores
    assert winner(log_odds(0.9, 2)(classes, scores), classes) == "a"
    assert log_odds(0.3, 8)(classes, scores) == log_odds(0.3, 8, base=0.5)(classes, scores)


def posterior(classes: list[str], verdicts: list[bool], q: float, m: int, right: float) -> dict[str, float]:
    """By Bayes' rule over every possible truth, written out: a policy right with probability q, else uniform over
    the m - 1 other answers; a verifier whose verdict on each sample is right with probability `right`."""
    found = {}
    for truth in sorted(set(classes)):
        p = 1 / m
        for c, ok in zip(classes, verdicts, strict=True):
            p *= q if c == truth else (1 - q) / (m - 1)
            p *= right if ok == (c == truth) else 1 - right
        found[truth] = p
    return found


def test_the_log_odds_vote_is_the_most_probable_answer() -> None:
    rng = random.Random(0)
    differs = 0
    for _ in range(400):
        q, m, right = rng.uniform(0.2, 0.9), rng.randint(3, 6), rng.uniform(0.55, 0.95)
        classes = [rng.choice("abc") for _ in range(rng.randint(1, 8))]
        verdicts = [rng.random() < 0.5 for _ in classes]
        truth = posterior(classes, verdicts, q, m, right)
        best = max(truth.values())
        # scores calibrated at even odds, and scores calibrated on the policy's own samples
        even = [right if ok else 1 - right for ok in verdicts]
        own = [q * p / (q * p + (1 - q) * (1 - p)) for p in even]
        for scores, base in ((even, 0.5), (own, q)):
            got = log_odds(q, m, base)(classes, scores)
            assert got is not None
            assert truth[classes[got]] == pytest.approx(best)
        wrong_base = log_odds(q, m, 0.5)(classes, own)
        assert wrong_base is not None
        differs += truth[classes[wrong_base]] < best * (1 - 1e-9)
    assert differs > 10  # so the base matters


def test_on_average_the_log_odds_vote_beats_the_others_where_its_assumptions_hold() -> None:
    rng, q, m, right = random.Random(1), 0.35, 4, 0.7
    hits = dict.fromkeys(["majority", "weighted", "bon", "log_odds"], 0)
    rules = {**{name: VOTES[name] for name in hits}, "log_odds": log_odds(q, m)}
    for _ in range(2000):
        classes = [rng.choices(["7", "1", "2", "3"], [q, *[(1 - q) / 3] * 3])[0] for _ in range(8)]
        scores = [right if (c == "7") == (rng.random() < right) else 1 - right for c in classes]
        for name, rule in rules.items():
            got = rule(classes, scores)
            hits[name] += got is not None and classes[got] == "7"
    assert hits["log_odds"] > max(hits["majority"], hits["weighted"], hits["bon"]) + 20


def test_unscored_candidates_weigh_nothing_and_unusable_settings_are_refused() -> None:
    for rule in (reward_frequency(), pessimistic(), log_odds()):
        assert rule(["a", "a", "b"], [None, None, 0.9]) == 2
        assert rule(["a", "b", "b"], [None, None, None]) == 1
    with pytest.raises(ValueError, match="Calibrate"):
        log_odds()(["a", "b"], [1.2, 0.1])
    for bad in (
        lambda: hybrid(gate="entropy"),
        lambda: reward_frequency(1.5),
        lambda: reward_frequency(form="product"),
        lambda: pessimistic(-1),
        lambda: log_odds(1.0),
        lambda: log_odds(choices=1),
    ):
        with pytest.raises(ValueError, match="expected"):
            bad()


def test_every_rule_returns_a_member_of_the_class_it_elects() -> None:
    for classes in product(["a", "b", None], repeat=3):
        for name, rule in VOTES.items():
            got = rule(classes, [0.5, 0.25, 0.75])
            assert (got is None) == (not any(classes)), name
            assert got is None or classes[got] is not None
