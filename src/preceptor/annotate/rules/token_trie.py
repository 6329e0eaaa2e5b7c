"""TVM (arXiv 2407.12863): the target of a token is the success rate of all samples that share the prefix up
to it.

Unlike copied outcomes (OVM) equal prefixes have equal targets. One pass over the tokens builds the counts;
prefixes are interned as integers, so memory is one entry per distinct prefix. Published: 100 samples per
problem (from memory).
"""

from __future__ import annotations

from collections.abc import Sequence

from preceptor.errors import InputError


def token_values(
    solutions: Sequence[Sequence[int]], outcomes: Sequence[float | None]
) -> list[tuple[float | None, ...]]:
    """One target per token of each solution *of one problem*, in order.

    `solutions` hold response tokens only, end of text included. A solution with an undecided outcome (None)
    counts in no rate; its tokens get the rate of the decided ones through the same prefix, or None.
    """
    if len(solutions) != len(outcomes):
        raise InputError(f"token_values: got {len(solutions)} solutions and {len(outcomes)} outcomes.")
    nodes: dict[tuple[int, int], int] = {}
    paths = []
    for tokens in solutions:
        at, path = 0, []
        for token in tokens:
            at = nodes.setdefault((at, token), len(nodes) + 1)
            path.append(at)
        paths.append(path)
    good, seen = [0.0] * (len(nodes) + 1), [0] * (len(nodes) + 1)
    for path, outcome in zip(paths, outcomes, strict=True):
        for node in path if outcome is not None else ():
            good[node] += outcome or 0.0
            seen[node] += 1
    return [tuple(good[n] / seen[n] if seen[n] else None for n in path) for path in paths]
