"""Specifies what every method of the table must keep, whatever the batch.

Run with `python -m pytest tests/credit/test_invariants.py`.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preceptor.credit import METHODS, Rollout, Signals, compute
from preceptor.judgement import Question

Batch = tuple[list[Rollout], Signals]
SCORES = st.floats(0, 1, width=16)


@st.composite
def rollout_and_scores(
    draw: st.DrawFn, prompts: str = "abc"
) -> tuple[Rollout, tuple[float | None, ...] | None]:
    sizes = draw(st.lists(st.integers(0, 4), max_size=5))
    ends = np.cumsum([0, *sizes]).tolist()
    length = ends[-1] + (0 if sizes else draw(st.integers(0, 4)))
    mask = draw(st.one_of(st.none(), st.lists(st.booleans(), min_size=length, max_size=length).map(tuple)))
    outcome = draw(st.one_of(st.none(), st.sampled_from([0.0, 1.0]), SCORES))
    spans = tuple(pairwise(ends))
    rollout = Rollout(draw(st.sampled_from(prompts)), length, outcome, spans, mask)
    n = len(sizes)
    scores = draw(
        st.one_of(st.none(), st.lists(st.one_of(st.none(), SCORES), min_size=n, max_size=n).map(tuple))
    )
    return rollout, scores


@st.composite
def batches(draw: st.DrawFn, questions: tuple[Question, ...] = (Question.VALUE, Question.VALIDITY)) -> Batch:
    rows = draw(st.lists(rollout_and_scores(), max_size=9))
    return [r for r, _ in rows], Signals(tuple(s for _, s in rows), draw(st.sampled_from(questions)))


def pick(batch: Batch, order: list[int]) -> Batch:
    rollouts, signals = batch
    return [rollouts[i] for i in order], replace(signals, scores=tuple(signals.scores[i] for i in order))


few = settings(max_examples=40, deadline=None)
every_method = pytest.mark.parametrize("name", METHODS)


@every_method
@few
@given(batch=batches())
def test_tokens_that_the_policy_did_not_sample_get_advantage_and_weight_zero(name: str, batch: Batch) -> None:
    out = compute(*batch, METHODS[name])
    for rollout, a, w in zip(batch[0], out.advantages, out.token_weights, strict=True):
        assert a.shape == w.shape == (rollout.length,)
        assert not a[~rollout.mask].any()
        assert not w[~rollout.mask].any()


@every_method
@few
@given(batch=batches())
def test_a_group_depends_on_nothing_but_itself(name: str, batch: Batch) -> None:
    whole = compute(*batch, METHODS[name]).advantages
    own = [i for i, r in enumerate(batch[0]) if r.prompt_id == "a"]
    alone = compute(*pick(batch, own), METHODS[name]).advantages
    for i, a in zip(own, alone, strict=True):
        np.testing.assert_array_equal(whole[i], a)


@every_method
@few
@given(batch=batches(), seed=st.integers(0, 99))
def test_reordering_the_rollouts_reorders_the_advantages(name: str, batch: Batch, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(batch[0])).tolist()
    straight = compute(*batch, METHODS[name])
    mixed = compute(*pick(batch, order), METHODS[name])
    for at, i in enumerate(order):
        np.testing.assert_allclose(mixed.advantages[at], straight.advantages[i], atol=1e-9)
        assert mixed.keep[at] == straight.keep[i]


@every_method
@few
@given(outcomes=st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=2, max_size=6), length=st.integers(1, 5))
def test_one_step_whose_score_is_the_outcome_gives_the_plain_outcome_method(
    name: str, outcomes: list[float], length: int
) -> None:
    config = METHODS[name]
    assert config.outcome is not None
    rollouts = [Rollout("q", length, r, ((0, length),)) for r in outcomes]
    signals = Signals(tuple((r,) for r in outcomes), start=(0.0,) * len(outcomes))
    combined = compute(rollouts, signals, config).advantages
    plain = compute(rollouts, None, replace(METHODS["outcome"], outcome=config.outcome)).advantages
    scale = {"none": 0.0, "identity": 1.0, "signed": 2.0}[
        "none" if config.step_reward == "none" else config.transform
    ]
    for got, want in zip(combined, plain, strict=True):
        np.testing.assert_allclose(got, (1 + config.step_weight * scale) * want, atol=1e-9)


@every_method
@few
@given(batch=batches(questions=(Question.VALUE,)), shift=st.floats(-3, 3, width=16))
def test_a_constant_added_to_every_outcome_and_every_potential_changes_nothing(
    name: str, batch: Batch, shift: float
) -> None:
    rollouts, signals = batch
    signals = replace(signals, start=(0.25,) * len(rollouts))
    moved_rollouts = [r if r.outcome is None else replace(r, outcome=r.outcome + shift) for r in rollouts]
    moved_scores = tuple(
        s if s is None else tuple(x if x is None else x + shift for x in s) for s in signals.scores
    )
    moved = replace(signals, scores=moved_scores, start=(0.25 + shift,) * len(rollouts))
    before, after = (compute(r, s, METHODS[name]) for r, s in ((rollouts, signals), (moved_rollouts, moved)))
    for a, b in zip(before.advantages, after.advantages, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-8)


@every_method
@settings(max_examples=100, deadline=None)
@given(batch=batches())
def test_no_batch_gives_nan_or_an_exploding_advantage(name: str, batch: Batch) -> None:
    out = compute(*batch, METHODS[name])
    for a in out.advantages:
        assert np.isfinite(a).all()
        assert np.abs(a).max(initial=0.0) < 10
    assert all(np.isfinite(v) for v in out.stats.values())


@every_method
@pytest.mark.parametrize(
    "rollouts",
    [
        [],
        [Rollout("q", 3, 1.0, ((0, 3),))],
        [Rollout("q", 2, 1.0), Rollout("q", 2, 0.0)],
        [Rollout("q", 0, 1.0), Rollout("q", 0, 0.0)],
        [Rollout("q", 3, 1.0, ((0, 1), (1, 3)))] * 4,
        [Rollout("q", 2, float(i), ((0, 2),), (False, False)) for i in range(2)],
        [Rollout("q", 2, None, ((0, 2),))] * 3,
    ],
    ids=["empty", "group-of-one", "no-steps", "no-tokens", "all-equal", "all-masked", "all-undecided"],
)
def test_degenerate_groups_are_finite_and_groups_without_contrast_are_zero(
    name: str, rollouts: list[Rollout]
) -> None:
    signals = Signals(tuple((0.5,) * len(r.spans) for r in rollouts))
    out = compute(rollouts, signals, METHODS[name])
    assert all(np.isfinite(a).all() for a in out.advantages)
    if len(rollouts) < 2 or rollouts[0].outcome is None:
        assert not any(a.any() for a in out.advantages)


@every_method
@few
@given(batch=batches())
def test_an_undecided_rollout_changes_nobody_elses_advantage_and_is_not_trained_on(
    name: str, batch: Batch
) -> None:
    rollouts, _ = batch
    out = compute(*batch, METHODS[name])
    decided = [i for i, r in enumerate(rollouts) if r.outcome is not None]
    without = compute(*pick(batch, decided), METHODS[name]).advantages
    for i, a in zip(decided, without, strict=True):
        np.testing.assert_array_equal(out.advantages[i], a)
    for i in set(range(len(rollouts))) - set(decided):
        assert not out.keep[i]
        assert not out.advantages[i].any()
        assert not out.token_weights[i].any()
    assert out.stats["undecided"] == len(rollouts) - len(decided)
