"""Specifies the random merge of steps and the two balances of FoVer's training data.

Run: python -m pytest tests/annotate/formal
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.annotate.formal import FoVer, balanced_pool, last_step_balanced, merge_groups, merge_steps
from preceptor.errors import InputError
from tests.annotate.formal.proofs import proofs


@given(st.integers(0, 30), st.floats(0, 1), st.integers(0, 99))
def test_groups_tile_the_steps_hold_at_most_two_and_leave_the_last_alone(steps, p, seed):
    groups = merge_groups(steps, p, random.Random(seed))
    assert list(itertools.chain(*groups)) == list(range(steps))
    assert all(len(g) <= 2 for g in groups)
    if steps:
        assert groups[-1] == (steps - 1,), "the final answer is never merged"
    if steps <= 2:
        assert len(groups) == steps


def test_a_fifth_of_the_chances_is_taken():
    groups = merge_groups(20_000, 0.2, random.Random(0))
    pairs = sum(len(g) == 2 for g in groups)
    assert pairs / len(groups) == pytest.approx(0.2, abs=0.02)


def test_merged_labels_are_the_labels_of_the_merged_text():
    """The AND of two labels is what FoVer says of the two statements as one step."""
    fover, merged, wrong = FoVer(), 0, 0
    for trace in proofs(40, seed=2):
        (before,) = fover.score([trace])
        shorter, after = merge_steps(trace, before, p=0.6)
        assert shorter.text == trace.text
        assert after.trace == shorter.id
        (own,) = fover.score([shorter])
        assert after.scores == own.scores
        assert after.first_error == own.first_error
        merged += len(trace.steps) - len(shorter.steps)
        wrong += after.scores.count(0.0)
        if len(trace.steps) <= 2:
            assert len(shorter.steps) == len(trace.steps)
    assert merged > 20
    assert wrong > 10


def test_every_trace_draws_for_itself_and_a_seed_repeats():
    """A draw by position alone would merge the same places of all traces."""
    places = set()
    for trace, judgement in zip(traces := proofs(60, seed=3), FoVer().score(traces)):
        shorter, after = merge_steps(trace, judgement, p=0.5)
        assert merge_steps(trace, judgement, p=0.5) == (shorter, after)
        if len(trace.steps) == 5:
            places.add(tuple(s.end in [t.end for t in shorter.steps] for s in trace.steps))
    assert len(places) > 1


def test_unknown_and_wrong_is_wrong_and_unknown_and_right_is_unknown():
    trace = next(t for t in proofs(20) if len(t.steps) == 4)
    (judgement,) = FoVer().score([trace])

    def merged(*scores):
        return merge_steps(trace, replace(judgement, scores=scores), p=1.0)[1].scores

    assert merged(None, 0.0, None, 1.0) == (0.0, None, 1.0)
    assert merged(None, 1.0, 1.0, None) == (None, 1.0, None)
    with pytest.raises(InputError, match="expected scores of trace"):
        merge_steps(trace, replace(judgement, trace="another"))


LABELS = st.lists(st.lists(st.sampled_from([0.0, 1.0, None]), max_size=6), max_size=12)


@given(LABELS, st.integers(0, 5))
def test_shown_prefixes_end_in_right_and_wrong_steps_equally_often(labels, seed):
    shown = last_step_balanced(labels, seed=seed)
    for final in (False, True):
        here = [s.label for s in shown if (s.steps == len(labels[s.trace])) is final]
        assert here.count(1.0) == here.count(0.0), "final answers and other steps are balanced apart"
        every = [y for row in labels for t, y in enumerate(row) if (t == len(row) - 1) is final]
        assert here.count(1.0) == min(every.count(1.0), every.count(0.0)), (
            "no more is thrown away than must be"
        )
    assert all(labels[s.trace][s.steps - 1] == s.label for s in shown)
    assert len(set(shown)) == len(shown)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_the_pool_has_each_verdict_equally_often_and_its_share_of_right_traces(share):
    rng = random.Random(0)
    verdicts = rng.choices(["PROVED", "DISPROVED", "UNKNOWN"], [6, 3, 1], k=600)
    right = [rng.random() < 0.6 for _ in verdicts]
    pool = balanced_pool(verdicts, right, right_share=share)
    assert len(set(pool)) == len(pool)
    sizes = Counter(verdicts[i] for i in pool)
    assert len(sizes) == 3
    assert len(set(sizes.values())) == 1
    assert sum(right[i] for i in pool) / len(pool) == pytest.approx(share, abs=0.02)
    assert len(pool) > 3 * 15, "as many as the rarest verdict allows"
    assert balanced_pool(["PROVED", "UNKNOWN"], [True, True]) == [], "no wrong trace to pair them with"
    with pytest.raises(InputError, match="pool"):
        balanced_pool(["PROVED"], [])
