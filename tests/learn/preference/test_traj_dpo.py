"""Specifies trajectory DPO's pairs: outcome first, then score gaps among right answers."""

from __future__ import annotations

import pytest

from preceptor.errors import InputError
from preceptor.learn.preference import class_value, traj_dpo_pairs
from tests.learn.preference.toys import END, judged, trace

RIGHT = [trace(f"{w}\nAnswer: 42\n", draw=i) for i, w in enumerate(["good", "fair", "poor"])]
WRONG = [trace(f"{w}\nAnswer: 41\n", draw=9 + i) for i, w in enumerate(["bad", "worse"])]
TRACES = [*RIGHT, *WRONG]
SCORES = [(1.0, 1.0), (0.5, 0.9), (0.1, 0.1), (0.2, 0.5), (0.0, 1.0)]
JUDGED = [judged(t, s) for t, s in zip(TRACES, SCORES)]


def texts(built, kind: str) -> list[tuple[str, str]]:
    return [
        (p.chosen.text.split()[0], p.rejected.text.split()[0])
        for p in built.records
        if p.meta["kind"] == kind
    ]


def test_margin_one_leaves_only_outcome_pairs() -> None:
    built = traj_dpo_pairs(TRACES, JUDGED, margin=1.0)
    assert texts(built, "process") == []
    assert sorted(texts(built, "outcome")) == sorted(
        (r, w) for r in ("good", "fair", "poor") for w in ("bad", "worse")
    )


def test_among_right_answers_only_gaps_above_the_margin_make_pairs() -> None:
    # products: 1, 0.45, 0.01
    assert texts(traj_dpo_pairs(TRACES, JUDGED, margin=0.5), "process") == [
        ("good", "poor"),
        ("good", "fair"),
    ]
    assert texts(traj_dpo_pairs(TRACES, JUDGED, margin=0.55), "process") == [("good", "poor")]
    # least: 1, 0.5, 0.1
    built = traj_dpo_pairs(TRACES, JUDGED, margin=0.45, aggregate="min")
    assert texts(built, "process") == [("good", "poor"), ("good", "fair")]


def test_wrong_opponents_are_limited_to_the_widest_gaps() -> None:
    # products of the wrong ones: 0.1 and 0
    built = traj_dpo_pairs(TRACES, JUDGED, margin=1.0, max_wrong=1)
    assert set(texts(built, "outcome")) == {("good", "worse"), ("fair", "worse"), ("poor", "worse")}


def test_whole_answers_are_compared_with_their_sampled_end() -> None:
    for pair in traj_dpo_pairs(TRACES, JUDGED).records:
        assert pair.prefix.ids == ()
        assert pair.chosen.ids[-1] == pair.rejected.ids[-1] == END
        assert pair.weight == 1.0


def test_equal_answers_count_once_and_undecided_ones_not_at_all() -> None:
    again = trace(RIGHT[0].text, draw=5)
    given = [*TRACES, again]
    built = traj_dpo_pairs(given, [*JUDGED, judged(again, (0.0, 0.0))], margin=1.0)
    assert len(built) == 6
    unknown = [judged(t, None) for t in TRACES]
    built = traj_dpo_pairs(TRACES, unknown, margin=0.0)
    assert texts(built, "process") == []
    assert built.dropped["unscored"] == 3


def test_a_step_is_worth_the_probability_of_the_chosen_classes() -> None:
    assert class_value([0.1, 0.2, 0.3, 0.4]) == pytest.approx(0.9)
    assert class_value([0.1, 0.2, 0.3, 0.4], {2, 3}) == pytest.approx(0.7)


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(InputError, match="at least 0"):
        traj_dpo_pairs(TRACES, JUDGED, margin=-0.1)
    with pytest.raises(InputError, match="expected one of"):
        traj_dpo_pairs(TRACES, JUDGED, aggregate="sum")
