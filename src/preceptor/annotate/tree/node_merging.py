"""Hierarchical node compression (HRM, HNC): merge consecutive steps to get more labelled steps for free.

HNC moves children one level up a tree: the moved node's step is its old parent's and its own, the old parent's
value is recomputed without it (noise on purpose), all else stays. HRM adds, to every labelled step, the step
before and it as one, with the same label: a wrong step that its successor repairs may count as right. No
rollouts. Left out: the classifier and its prompt. Source: tengwang0318/hierarchial_reward_model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from random import Random

from preceptor.annotate.tree.samples import Sample, point_samples, shuffled
from preceptor.annotate.tree.tree import Node, Tree
from preceptor.errors import InputError
from preceptor.trace import Trace, stream_seed


def compressed(tree: Tree, *, probability: float = 0.5, min_children: int = 4, seed: int = 0) -> Tree:
    """A copy in which, breadth first, each node with at least `min_children` children and a parent passes at
    most one child to that parent, each with `probability` in turn. No node moves twice.

    Counts must be those of the solutions below (`Tree.of`, `MCTSRelative.trees`): InputError for a tree whose
    nodes have rollouts of their own (`OmegaPRM.trees`).
    """
    if not 0 <= probability <= 1 or min_children < 2:
        raise InputError(
            f"compressed: got probability={probability}, min_children={min_children}, expected a probability "
            "and at least 2 children: a parent must not become a leaf."
        )
    if not tree.nested:
        raise InputError(
            f"compressed: got {tree}, whose nodes have rollouts of their own, expected counts of the solutions "
            "below each node. Make the tree with `Tree.of`."
        )
    twin = tree.copy()
    for node in _breadth_first(twin.root):
        if node.parent is None or len(node.children) < min_children:
            continue
        draw = Random(stream_seed("hnc", seed, tree.problem.id, node.text))
        moved = next((child for child in node.children if draw.random() < probability), None)
        if moved is not None:
            _pass_up(moved, node, node.parent)
    return twin


def merged(sample: Sample) -> Sample | None:
    """The last two steps as one with the last one's target; None for a single step."""
    if len(sample.steps) < 2:
        return None
    *before, previous, last = sample.steps
    counts = None if sample.counts is None else (*sample.counts[:-2], sample.counts[-1])
    targets = (*sample.targets[:-2], sample.targets[-1])
    return replace(sample, steps=(*before, previous + last), targets=targets, counts=counts)


def with_merged(samples: Iterable[Sample]) -> list[Sample]:
    """HRM's samples: the given ones and the merged ones, each once."""
    fine = list(samples)
    coarse = [m for sample in fine if (m := merged(sample)) is not None]
    return list(dict.fromkeys([*fine, *coarse]))


def compressed_samples(tree: Tree, *, seed: int = 0) -> list[Sample]:
    """HNC's samples: one per node of the tree and of its compressed copy, as a set."""
    return list(dict.fromkeys([*point_samples(tree), *point_samples(compressed(tree, seed=seed))]))


def merged_labels(labelled: Iterable[tuple[Trace, Sequence[float | None]]]) -> list[Sample]:
    """HRM's samples of traces with a target per step: T fine and T - 1 coarse ones for T labelled steps.

    For ratings -1, 0, 1 give `rules.rating_targets(ratings, neutral="ignored")`: HRM drops neutral steps, which
    still stand before others and are merged into them.
    """
    fine = []
    for trace, targets in labelled:
        texts = tuple(trace.step_texts)
        if len(targets) != len(texts):
            raise InputError(
                f"labels of trace {trace.id}: got {len(targets)}, expected one (or None) for each of its "
                f"{len(texts)} steps."
            )
        for t, target in enumerate(targets):
            if target is not None:
                fine.append(Sample(trace.problem, texts[: t + 1], (*(None,) * t, target)))
    return with_merged(fine)


def balanced(samples: Iterable[Sample], *, only: int = 5, seed: int = 0) -> list[Sample]:
    """HRM's balance: at each height (number of steps), of each level of the target as many samples as the
    smallest level has or a tenth of its own, whichever is more; `only` where there is one level."""
    heights: dict[int, dict[float, list[Sample]]] = {}
    for sample in samples:
        if sample.target is not None:
            heights.setdefault(len(sample.steps), {}).setdefault(sample.target, []).append(sample)
    kept = []
    for _, levels in sorted(heights.items()):
        fewest = min(map(len, levels.values()))
        for _, level in sorted(levels.items()):
            count = only if len(levels) == 1 else max(fewest, len(level) // 10)
            kept += shuffled(level, seed)[:count]
    return kept


def _breadth_first(root: Node) -> list[Node]:
    order = [root]
    for node in order:
        order += node.children
    return order


def _pass_up(child: Node, parent: Node, grandparent: Node) -> None:
    parent.children.remove(child)
    parent.counts = (parent.counts[0] - child.counts[0], parent.counts[1] - child.counts[1])
    grandparent.children.append(child)
    child.parent = grandparent
