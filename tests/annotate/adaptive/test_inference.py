"""Specifies the inference over a forest of attempts: it equals the sum over all possibilities, exactly.

Run: python -m pytest tests/annotate/adaptive
"""

from __future__ import annotations

from itertools import product
from math import log

import numpy as np
import pytest

from preceptor.annotate.adaptive.forest import Arrays, Forest
from preceptor.annotate.adaptive.inference import NOISE, Chances, infer

SOUND, SPOILED, MENDED = range(3)


def grown(seed: int, nodes: int = 7, problems: int = 1) -> Arrays:
    """Random small trees with outcomes at all leaves and some inner nodes."""
    draw, forest = np.random.default_rng(seed), Forest()
    for k in range(problems):
        at = [forest.root(f"q{k}", [0.0])]
        for n in range(nodes - 1):
            path = forest.add(int(draw.choice(at)), [f"step {n}"], [[draw.normal()]], [3], None)
            at += path
        leaves = [v for v in at if v not in forest.parent]
        for v in leaves:
            forest.outcome[v] = float(draw.random() < 0.5)
    return forest.arrays()


def summed(arrays: Arrays, h: np.ndarray, r: np.ndarray, rivalry: float):
    """The same by enumeration of all states of one problem: (evidence, sound, first error, mended)."""
    n = len(arrays.parent)
    children = [np.flatnonzero(arrays.parent == v) for v in range(n)]
    total, sound, first, mended = 0.0, np.zeros(n), np.zeros(n), np.zeros(n)
    for rest in product(range(3), repeat=n - 1):
        state = (SOUND, *rest)
        weight = 1.0
        for v in range(n):
            outcome = arrays.outcome[v]
            if not np.isnan(outcome):
                fits = (state[v] != SPOILED) == (outcome == 1)
                weight *= 1 - NOISE if fits else NOISE
            weight *= family(state, v, children[v], h, r, rivalry)
            if weight == 0:
                break
        total += weight
        for v in range(1, n):
            before = state[arrays.parent[v]]
            sound[v] += weight * (state[v] == SOUND)
            first[v] += weight * (before == SOUND and state[v] == SPOILED)
            mended[v] += weight * (before == SPOILED and state[v] == MENDED)
    return total, sound / total, first / total, mended / total


def family(state, v, children, h, r, rivalry) -> float:
    """Probability of the children's states given their parent's."""
    if state[v] == SPOILED:
        return float(np.prod([{SPOILED: 1 - r[c], MENDED: r[c]}.get(state[c], 0.0) for c in children]))
    if state[v] == MENDED:
        return float(np.prod([{MENDED: 1 - h[c], SPOILED: h[c]}.get(state[c], 0.0) for c in children]))
    free = np.prod([{SOUND: 1 - h[c], SPOILED: h[c]}.get(state[c], 0.0) for c in children])
    if not len(children):
        return 1.0
    scale = max(1.0, sum(1 - h[c] for c in children))
    good = [c for c in children if state[c] == SOUND]
    if any(state[c] == MENDED for c in children) or len(good) > 1:
        one = 0.0
    elif good:
        one = (1 - h[good[0]]) / scale
    else:
        one = max(1 - sum(1 - h[c] for c in children) / scale, 1e-9)
    return float((1 - rivalry) * free + rivalry * one)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("rivalry", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("seed", range(6))
def test_it_equals_enumeration(seed: int, rivalry: float):
    arrays = grown(seed)
    draw = np.random.default_rng(100 + seed)
    spoil, mend = draw.normal(size=7), draw.normal(-1, 1, size=7)
    found = infer(arrays, Chances(spoil, mend, np.array([0.0]), np.array([1.0]), max(rivalry, 1e-6)))
    total, sound, first, mended = summed(arrays, sigmoid(spoil), sigmoid(mend), max(rivalry, 1e-6))
    assert found.evidence == pytest.approx(log(total), abs=1e-6)
    assert found.sound[1:] == pytest.approx(sound[1:], abs=1e-6)
    assert found.first_error[1:] == pytest.approx(first[1:], abs=1e-6)
    assert found.mended[1:] == pytest.approx(mended[1:], abs=1e-6)


def test_the_first_error_of_a_path_is_somewhere_or_nowhere():
    arrays = grown(3, nodes=20)
    found = infer(
        arrays, Chances(np.zeros(20), np.full(20, -2.0), np.array([-1.0, 1.0]), np.array([0.5, 0.5]), 0.5)
    )
    for leaf in np.flatnonzero(~np.isnan(arrays.outcome)):
        path, v = [], int(leaf)
        while arrays.parent[v] >= 0:
            path.append(v)
            v = int(arrays.parent[v])
        assert found.first_error[path].sum() + found.sound[leaf] == pytest.approx(1.0)


def test_problems_do_not_see_each_other_and_difficulty_is_integrated():
    both = grown(4, nodes=6, problems=2)
    grid, weights = np.array([-1.0, 0.0, 2.0]), np.array([0.2, 0.5, 0.3])
    spoil, mend = np.linspace(-1, 1, 12), np.full(12, -2.0)
    found = infer(both, Chances(spoil, mend, grid, weights, 0.4))
    for k in range(2):
        mine = both.problem == k
        alone = Arrays(
            both.parent[mine] - 6 * k * (both.parent[mine] >= 0),
            both.depth[mine],
            np.zeros(6, dtype=np.int64),
            both.features[mine],
            both.outcome[mine],
        )
        total, sound = 0.0, np.zeros(6)
        for x, w in zip(grid, weights, strict=True):
            evidence, given, _, _ = summed(alone, sigmoid(spoil[mine] + x), sigmoid(mend[mine]), 0.4)
            total, sound = total + w * evidence, sound + w * evidence * given
        assert found.sound[mine][1:] == pytest.approx((sound / total)[1:], abs=1e-6)
        assert found.difficulty[k].sum() == pytest.approx(1.0)


def test_an_attempt_written_twice_is_one_attempt():
    forest = Forest()
    root = forest.root("q", [0.0])
    once = forest.add(root, ["a", "b"], [[0.0], [0.0]], [1, 1], False)
    again = forest.add(root, ["a", "b"], [[9.0], [9.0]], [1, 1], False)
    other = forest.add(root, ["a", "c"], [[0.0], [0.0]], [1, 1], True)
    assert once == again
    assert other[0] == once[0]
    assert other[1] != once[1]
    assert [forest.written[v] for v in (*once, other[1])] == [3, 2, 1]
    assert forest.features[once[1]] == [0.0]
    assert len(forest.parent) == 4


def test_a_right_attempt_through_a_step_speaks_for_it_and_against_its_rival():
    forest = Forest()
    root = forest.root("q", [0.0])
    right = forest.add(root, ["2+2=4", "so 8"], [[0.0]] * 2, [1, 1], True)
    wrong = forest.add(root, ["2+2=5", "so 10"], [[0.0]] * 2, [1, 1], False)
    spoil = np.array([0.0, 0.0, -4.0, 0.0, 0.0])

    def first(rivalry: float) -> np.ndarray:
        found = infer(forest.arrays(), Chances(spoil, np.full(5, -4.0), np.zeros(1), np.ones(1), rivalry))
        assert found.sound[right[0]] > 0.9
        return found.first_error[wrong]

    apart, rivals = first(1e-6), first(0.99)
    assert apart[0] < 0.7
    assert rivals[0] > 0.95
