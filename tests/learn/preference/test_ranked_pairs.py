"""Specifies the builders that rank whole answers: ORPO's, StepORLM's weights, CRew-DPO, DRM."""

from __future__ import annotations

from dataclasses import replace

import pytest

from preceptor.learn.preference import (
    best_worst_pairs,
    consistent,
    crew_dpo_pairs,
    fcp_attempts,
    orpo_pairs,
    step_kto_attempts,
    traj_dpo_pairs,
    w_dpo_pairs,
)
from tests.learn.preference.toys import judged, trace


def traces(*words: str):
    """`r...` are right, others wrong; two steps each."""
    return [trace(f"{w}\nAnswer: {42 if w[0] == 'r' else 41}\n", draw=i) for i, w in enumerate(words)]


def names(built) -> list[tuple[str, str]]:
    return [(p.chosen.text.split()[0], p.rejected.text.split()[0]) for p in built.records]


def test_orpo_pairs_the_best_by_mean_step_score_with_the_worst() -> None:
    given = traces("r1", "r2", "w1", "w2")
    scores = [(1, 1), (0.8, 0.2), (0.5, 0.7), (0, 0.1)]
    marks = [judged(t, s) for t, s in zip(given, scores)]
    assert names(orpo_pairs(given, marks)) == [("r1", "w2")]
    both = orpo_pairs(given, marks, per_problem=5)
    # second best is wrong (0.6), its partner right (0.5): never a wrong answer above a right one
    assert names(both) == [("r1", "w2")]
    assert both.dropped == {"outcome-against-process": 1}
    # by the least score r2 (0.2) is behind w1 (0.5) as well
    assert names(orpo_pairs(given[:2], marks[:2], aggregate="min")) == [("r1", "r2")]


def test_orpo_makes_no_pair_of_a_tie() -> None:
    given = traces("r1", "w1")
    built = orpo_pairs(given, [judged(t, (0.5, 0.5)) for t in given])
    assert len(built) == 0
    assert built.dropped == {"tie": 1}


def test_w_dpo_weighs_verdict_pairs_with_one_and_others_by_the_gap_of_good_steps() -> None:
    given = traces("r1", "r2", "w1", "w2")
    scores = [(1, 1), (1, 0), (1, 1), (0, 1)]
    built = w_dpo_pairs(given, [judged(t, s) for t, s in zip(given, scores)])
    found = {(p.chosen.text[:2], p.rejected.text[:2]): p.weight for p in built.records}
    assert found == {
        ("r1", "r2"): 0.5,
        ("r1", "w1"): 1.0,
        ("r1", "w2"): 1.0,
        ("r2", "w1"): 1.0,
        ("r2", "w2"): 1.0,
        ("w1", "w2"): 0.5,
    }


def test_w_dpo_never_makes_a_pair_of_equal_keys() -> None:
    given = traces("r1", "r2", "w1", "w2")
    built = w_dpo_pairs(given, [judged(t, (1, 0)) for t in given])
    assert len(built) == 4
    assert all(p.meta["kind"] == "verdict" for p in built.records)
    assert built.dropped == {"tie": 2}


def test_a_judgement_is_consistent_when_a_right_trace_is_all_good_and_a_wrong_one_is_not() -> None:
    right, wrong = traces("r", "w")
    assert consistent(right, judged(right, (1, 1))) is True
    assert consistent(right, judged(right, (1, 0))) is False
    assert consistent(wrong, judged(wrong, (1, 0))) is True
    assert consistent(wrong, judged(wrong, (1, 1))) is False
    assert consistent(wrong, judged(wrong, (1, None))) is None


def test_crew_dpo_pairs_the_most_confident_right_with_the_most_confident_wrong() -> None:
    given = traces("r1", "r2", "w1", "w2")
    marks = [judged(t, (None, s)) for t, s in zip(given, (0.4, 0.7, 0.9, 0.1))]
    assert names(crew_dpo_pairs(given, marks)) == [("r2", "w1")]
    assert names(crew_dpo_pairs(given, marks, among_right=True)) == [("r2", "w1"), ("r2", "r1")]
    one_sided = crew_dpo_pairs(given[:2], marks[:2])
    assert len(one_sided) == 0
    assert one_sided.dropped == {"one-sided": 1}


def test_drm_pairs_best_and_worst_without_reading_the_outcome_and_no_tie() -> None:
    given = traces("r1", "w1", "w2")
    marks = [judged(t, (None, s)) for t, s in zip(given, (-0.4, 0.9, 0.2))]
    assert names(best_worst_pairs(given, marks)) == [("w1", "r1")]
    tied = best_worst_pairs(given, [judged(t, (None, 0.0)) for t in given])
    assert len(tied) == 0
    assert tied.dropped == {"tie": 1}
    unscored = best_worst_pairs(given, [judged(t, None) for t in given])
    assert unscored.dropped == {"unscored": 3}


@pytest.mark.parametrize("shift, scale", [(0.0, 7.0), (3.0, 1.0), (-2.0, 0.1)])
def test_drm_pairs_do_not_depend_on_the_scale_of_a_reward(shift: float, scale: float) -> None:
    given = traces("r1", "w1", "w2")
    marks = [judged(t, (None, shift + scale * s)) for t, s in zip(given, (-0.4, 0.9, 0.2))]
    assert names(best_worst_pairs(given, marks)) == [("w1", "r1")]


def test_attempts_with_an_environments_words_in_them_are_dropped_by_every_builder() -> None:
    given = [
        replace(t, sampled=tuple(k > 3 for k in range(len(t.token_ids)))) for t in traces("r1", "r2", "w1")
    ]
    marks = [judged(t, s) for t, s in zip(given, [(1, 1), (0.5, 0.5), (0, 0)])]
    builders = (orpo_pairs, w_dpo_pairs, crew_dpo_pairs, best_worst_pairs, traj_dpo_pairs, step_kto_attempts)
    for build in builders:
        built = build(given, marks)
        assert len(built) == 0
        assert built.dropped["observations"] == 3
    assert fcp_attempts(given, ["good"] * 3).dropped == {"observations": 3}
