"""Specifies reward-balanced search: the shares, and the width that every ended path takes with it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.generation import Sampling
from preceptor.search import Majority, solve
from preceptor.search.beams import Rebase
from preceptor.search.beams.rebase import shares
from preceptor.usage import Budget
from tests.search.beams.tables import asked, paths, run
from tests.search.toy import Oracle, TreePolicy, problems


@pytest.mark.parametrize(
    "scores, width, temperature, want",
    [
        ([0.9, 0.7, 0.1], 16, 0.2, [12, 4, 0]),
        ([0.9, 0.7, 0.1], 16, 1.0, [8, 6, 2]),
        ([0.1, 0.9, 0.7], 16, 0.2, [0, 12, 4]),
        ([0.5, 0.5, 0.5, 0.5], 6, 0.2, [2, 2, 1, 1]),
        ([0.3] * 7, 7, 0.05, [1] * 7),
        ([900.0, -900.0], 5, 0.2, [5, 0]),
        ([0.4], 3, 0.2, [3]),
    ],
)
def test_shares_of_the_published_rounding(
    scores: list[float], width: int, temperature: float, want: list[int]
) -> None:
    assert shares(scores, width, temperature) == want


SCORES = st.lists(st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(-5, 5)), min_size=1, max_size=20)


@given(SCORES, st.integers(0, 64), st.floats(0.01, 100))
def test_shares_sum_to_the_width_and_follow_the_scores(
    scores: list[float], width: int, temperature: float
) -> None:
    got = shares(scores, width, temperature)
    assert sum(got) == width
    assert min(got) >= 0
    in_order = [got[i] for i in sorted(range(len(scores)), key=lambda i: -scores[i])]
    assert max(in_order) <= in_order[0] + 1, "rounding up moves no share by more than one"


@given(SCORES, st.integers(1, 64))
def test_a_high_temperature_shares_evenly_and_a_low_one_gives_all_to_the_best(
    scores: list[float], width: int
) -> None:
    even = shares(scores, width, 1e12)
    assert max(even) - min(even) <= 1
    top = [s for s in scores if s == max(scores)]
    distinct = all(s == max(scores) or max(scores) - s > 1e-3 for s in scores)
    if len(top) == 1 and distinct:
        assert shares(scores, width, 1e-6)[scores.index(max(scores))] == width


def test_without_any_preference_the_width_is_that_of_independent_samples() -> None:
    ps = problems(10)
    balanced = solve(TreePolicy(), ps, Rebase(6, vote="majority"), Oracle(constant=0.5))
    majority = solve(TreePolicy(), ps, Majority(6))
    for a, b in zip(balanced.solutions, majority.solutions, strict=True):
        assert [c.trace.text for c in a.candidates] == [c.trace.text for c in b.candidates]


def test_every_path_that_ends_takes_one_off_the_width_for_good() -> None:
    options = {"": ["!1", "a", "b", "c"], "a": ["d", "!2", "e"], "ad": ["!3"], "ae": ["!4"]}
    marks = {
        "a": 0.9,
        "b": 0.1,
        "c": 0.1,
        "!1": 0.1,
        "a!2": 0.3,
        "ad": 0.2,
        "ae": 0.2,
        "ad!3": 0.1,
        "ae!4": 0.1,
    }
    s = run(Rebase(4, 0.05), options, marks)
    assert asked(s) == {"": 4, "a": 3, "ae": 1, "ad": 1}, "4, then 3 without !1, then 2 without !1 and a!2"
    assert sorted(c.answer or "" for c in s.candidates) == ["1", "2", "3", "4"]
    assert paths(s)["b"] == "pruned"


def test_a_cut_step_takes_its_place_off_the_width_and_a_long_path_is_cut() -> None:
    options = {"": ["a", "a step that is longer than all others", "b"], "a": ["c"], "b": ["c"], "ac": ["!1"]}
    marks = {"a": 0.6, "b": 0.5, "ac": 0.5, "bc": 0.5, "ac!1": 0.5}
    strategy = Rebase(3, sampling=Sampling(max_tokens=12))
    s = run(strategy, options, marks)
    assert asked(s)[""] == 3
    assert sum(n for at, n in asked(s).items() if len(at) == 1) == 2
    capped = run(
        Rebase(2, max_path_tokens=14), {"": ["a", "!9"], "a": ["c"], "ac": ["!1"]}, marks | {"!9": 0.1}
    )
    assert paths(capped)["ac"] == "cut"
    assert any(n.data.get("why") == "14 tokens in its path" for n in capped.tree.nodes)


def test_only_the_top_share_of_a_level_takes_part() -> None:
    options = {"": ["a", "b", "c", "d"], **{x: ["!1"] for x in "abcd"}}
    marks = {"a": 0.5, "b": 0.5, "c": 0.4, "d": 0.3, **{f"{x}!1": 0.5 for x in "abcd"}}
    assert asked(run(Rebase(4, 1e12), options, marks)) == {"": 4, "a": 1, "b": 1, "c": 1, "d": 1}
    assert asked(run(Rebase(4, 1e12, top=0.5), options, marks)) == {"": 4, "a": 2, "b": 2}


def test_an_unscored_prefix_gets_nothing_beside_a_scored_one() -> None:
    options = {"": ["a", "b"], "a": ["!1"], "b": ["!2"]}
    assert asked(run(Rebase(2), options, {"b": 0.1, "b!2": 0.1})) == {"": 2, "b": 2}
    assert asked(run(Rebase(2), options, {})) == {"": 2, "a": 1, "b": 1}


def test_the_width_narrows_as_a_budget_ends() -> None:
    for s in solve(TreePolicy(), problems(6), Rebase(6), Oracle(), Budget(tokens=75)).solutions:
        assert s.answer is not None
        assert s.ledger.policy.generated <= 75
