"""Where did each attempt go wrong? Exact inference over the forest of attempts.

Each node is in one of three states: sound (no error yet), spoiled, or mended (an error was made up for). A step
spoils a sound state with probability h and mends a spoiled one with probability r, both from its features; an
attempt comes out right in a sound or mended state and wrong in a spoiled one, but for a small noise. Different
steps after the same sound beginning are rivals with a learned probability: then at most one of them is sound.
Each problem has its own difficulty, one number added to the log-odds of h, integrated over a grid. On trees the
posterior is exact: one pass up, one pass down, all problems and grid points at once. Cost: O(nodes x grid).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from preceptor.annotate.adaptive.forest import Arrays, Floats, Ints

NOISE = 1e-3
"""Probability that an attempt's outcome contradicts its state (grader errors, coincidences)."""
SOUND, SPOILED, MENDED = 0, 1, 2


@dataclass(frozen=True)
class Chances:
    """What inference needs to know of steps."""

    spoil: Floats
    """(N,): log-odds of h at difficulty 0."""
    mend: Floats
    """(N,): log-odds of r."""
    grid: Floats
    """(G,): difficulties."""
    weights: Floats
    """(G,): their prior."""
    rivalry: float
    """Probability that the steps after one beginning are rivals."""


@dataclass(frozen=True)
class Posterior:
    """Beliefs per node given all outcomes; (N,) unless told."""

    sound: Floats
    """No error up to and with this step."""
    first_error: Floats
    """This step is the first error."""
    mended: Floats
    """This step mends."""
    erred_again: Floats
    """This step spoils a mended state."""
    sound_before: Floats
    spoiled_before: Floats
    mended_before: Floats
    sound_by_grid: Floats
    """(N, G): `sound` for each difficulty."""
    difficulty: Floats
    """(P, G): posterior of the difficulty of each problem."""
    mended_after: Floats
    """An error was made before this step and made up for by now."""
    rivals: Floats
    """The steps after this node are rivals, given that it is sound."""
    evidence: float
    """Log-probability of all outcomes."""


def infer(arrays: Arrays, chances: Chances) -> Posterior:
    """All beliefs at once. Problems do not see each other but through `chances`."""
    steps = _Steps.of(arrays, chances)
    levels = arrays.levels()
    up, families = _upward(arrays, levels, steps)
    roots = levels[0][np.argsort(arrays.problem[levels[0]])]
    by_problem = up[roots, SOUND] + np.log(chances.weights)
    top = by_problem.max(1, keepdims=True)
    evidence = top[:, 0] + np.log(np.exp(by_problem - top).sum(1))
    difficulty = np.exp(by_problem - evidence[:, None])
    joint = _downward(arrays, levels, up, families, steps)
    given = np.exp(joint - up[roots, SOUND][arrays.problem][:, None])
    mean = np.einsum("nkg,ng->kn", given, difficulty[arrays.problem])
    stay, first, mend, again, still, fine = mean
    return Posterior(
        sound=stay,
        first_error=first,
        mended=mend,
        erred_again=again,
        sound_before=stay + first,
        spoiled_before=mend + still,
        mended_before=again + fine,
        sound_by_grid=given[:, 0],
        mended_after=mend + fine,
        difficulty=difficulty,
        rivals=np.einsum("ng,ng->n", families.rivals, difficulty[arrays.problem]),
        evidence=float(evidence.sum()),
    )


@dataclass(frozen=True)
class _Steps:
    """Logarithms of what a step may do, (N, G) each; and of being the one sound rival."""

    spoil: Floats
    keep: Floats
    mend: Floats
    stay: Floats
    chosen: Floats
    """This step is the sound one of its family of rivals."""
    none: Floats
    """(N, G) by parent: none of the family is."""
    rivalry: float

    @classmethod
    def of(cls, arrays: Arrays, chances: Chances) -> _Steps:
        h = _sigmoid(chances.spoil[:, None] + chances.grid)
        r = _sigmoid(chances.mend[:, None] + 0 * chances.grid)
        inner = arrays.parent >= 0
        h[~inner] = r[~inner] = 0.0
        total = np.zeros_like(h)
        np.add.at(total, arrays.parent[inner], 1 - h[inner])
        scale = np.maximum(total, 1.0)
        with np.errstate(divide="ignore"):
            chosen = np.log1p(-h) - np.log(scale[arrays.parent])
            none = np.log(np.maximum(1 - total / scale, 1e-9))
            return cls(
                np.log(h),
                np.log1p(-h),
                np.log(r),
                np.log1p(-r),
                chosen,
                none,
                float(np.clip(chances.rivalry, 1e-6, 1 - 1e-6)),
            )


@dataclass(frozen=True)
class _Families:
    """What the steps after each sound node say together, (N, G) by parent, and each step's part, by step."""

    free: Floats
    """Log-likelihood of all of them when each goes its own way."""
    all_spoiled: Floats
    any_sound: Floats
    """log(none + sum of chosen x likelihood ratio): rivals, relative to `all_spoiled`."""
    both: Floats
    """Mixture of the two."""
    rivals: Floats
    message: Floats
    """(N, 3, G), by step: likelihood of the step and what follows, by the state before it."""


def _upward(arrays: Arrays, levels: list[Ints], s: _Steps) -> tuple[Floats, _Families]:
    """(N, 3, G): log-likelihood of everything below each node by its state."""
    n, g = s.spoil.shape
    up = np.zeros((n, 3, g))
    up[arrays.outcome == 1] += np.log([1 - NOISE, NOISE, 1 - NOISE])[None, :, None]
    up[arrays.outcome == 0] += np.log([NOISE, 1 - NOISE, NOISE])[None, :, None]
    free, spoiled, none, both, rivals = (np.zeros((n, g)) for _ in range(5))
    f = _Families(free, spoiled, none, both, rivals, np.zeros((n, 3, g)))
    f.any_sound[:] = s.none
    for nodes in reversed(levels[1:]):
        u, p = up[nodes], arrays.parent[nodes]
        m = f.message
        m[nodes, SOUND] = np.logaddexp(s.keep[nodes] + u[:, SOUND], s.spoil[nodes] + u[:, SPOILED])
        m[nodes, SPOILED] = np.logaddexp(s.stay[nodes] + u[:, SPOILED], s.mend[nodes] + u[:, MENDED])
        m[nodes, MENDED] = np.logaddexp(s.keep[nodes] + u[:, MENDED], s.spoil[nodes] + u[:, SPOILED])
        np.add.at(f.free, p, m[nodes, SOUND])
        np.add.at(f.all_spoiled, p, u[:, SPOILED])
        np.logaddexp.at(f.any_sound, p, s.chosen[nodes] + u[:, SOUND] - u[:, SPOILED])
        up[:, SPOILED] += _sums(m[nodes, SPOILED], p, n)
        up[:, MENDED] += _sums(m[nodes, MENDED], p, n)
        parents = np.unique(p)
        free = np.log1p(-s.rivalry) + f.free[parents]
        rival = np.log(s.rivalry) + f.all_spoiled[parents] + f.any_sound[parents]
        f.both[parents] = np.logaddexp(free, rival)
        f.rivals[parents] = np.exp(rival - f.both[parents])
        up[parents, SOUND] += f.both[parents]
    return up, f


def _downward(arrays: Arrays, levels: list[Ints], up: Floats, f: _Families, s: _Steps) -> Floats:
    """(N, 6, G) log joint of the evidence and each way through a node: stay sound, first error, mend, err
    again, stay spoiled, stay mended."""
    n, g = s.spoil.shape
    out = np.full((n, 3, g), -np.inf)
    out[levels[0], SOUND] = 0.0
    ways = np.full((n, 6, g), -np.inf)
    ways[levels[0], 0] = up[levels[0], SOUND]
    for nodes in levels[1:]:
        p, u = arrays.parent[nodes], up[nodes]
        around = out[p, SOUND] + up[p, SOUND] - f.both[p]
        free = np.log1p(-s.rivalry) + f.free[p] - f.message[nodes, SOUND]
        rest = np.log(s.rivalry) + f.all_spoiled[p] - u[:, SPOILED]
        others = _log_minus(f.any_sound[p], s.chosen[nodes] + u[:, SOUND] - u[:, SPOILED], s.none[p])
        spoiled, mended = (out[p, k] + up[p, k] - f.message[nodes, k] for k in (SPOILED, MENDED))
        into = np.stack(
            [
                around + np.logaddexp(free + s.keep[nodes], rest + s.chosen[nodes]),
                around + np.logaddexp(free + s.spoil[nodes], rest + others),
                spoiled + s.mend[nodes],
                mended + s.spoil[nodes],
                spoiled + s.stay[nodes],
                mended + s.keep[nodes],
            ],
            axis=1,
        )
        out[nodes, SOUND] = into[:, 0]
        out[nodes, SPOILED] = np.logaddexp(np.logaddexp(into[:, 1], into[:, 3]), into[:, 4])
        out[nodes, MENDED] = np.logaddexp(into[:, 2], into[:, 5])
        ways[nodes] = into + u[:, [SOUND, SPOILED, MENDED, SPOILED, SPOILED, MENDED]]
    return ways


def _sums(values: Floats, at: Ints, n: int) -> Floats:
    total = np.zeros((n, values.shape[1]))
    np.add.at(total, at, values)
    return total


def _log_minus(total: Floats, part: Floats, least: Floats) -> Floats:
    """log(exp(total) - exp(part)), not below `least`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.maximum(total + np.log1p(-np.exp(np.minimum(part - total, -1e-12))), least)


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -30, 30))))
