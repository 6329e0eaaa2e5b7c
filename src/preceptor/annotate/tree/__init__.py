"""Labels from a tree per problem: what was tried at each place, and how it ended.

    tree.py           `Tree` and `Node`: prefixes with counts, made of whole solutions or grown by a search
    samples.py        training samples off a tree: points, sibling pairs, MM-PRM's paths; `as_labels`
    base.py           `TreeAnnotator`: one tree per problem, all problems in one batched call a round
    pool.py           OmegaPRM's candidates and their priority Q + U
    omegaprm.py       bisections of the most telling wrong rollouts
    mcts_relative.py  MCTS over steps; a step against its siblings
    node_merging.py   HRM and HNC: merged steps as more samples, balance per height

To add a method: a subclass of `TreeAnnotator` with `name`, `cost`, `begin` and `read`, whose search says what to
roll out next (`ask`) and takes what came (`take`), and a line in `ANNOTATORS`.
"""

from preceptor.annotate.tree.base import TreeAnnotator
from preceptor.annotate.tree.mcts_relative import MCTSRelative, relative_weights
from preceptor.annotate.tree.node_merging import (
    balanced,
    compressed,
    compressed_samples,
    merged,
    merged_labels,
    with_merged,
)
from preceptor.annotate.tree.omegaprm import OmegaPRM
from preceptor.annotate.tree.pool import Pool, quality
from preceptor.annotate.tree.samples import (
    Sample,
    SiblingPair,
    as_labels,
    path_samples,
    point_samples,
    sibling_pairs,
)
from preceptor.annotate.tree.tree import Node, Tree

__all__ = [
    "MCTSRelative",
    "Node",
    "OmegaPRM",
    "Pool",
    "Sample",
    "SiblingPair",
    "Tree",
    "TreeAnnotator",
    "as_labels",
    "balanced",
    "compressed",
    "compressed_samples",
    "merged",
    "merged_labels",
    "path_samples",
    "point_samples",
    "quality",
    "relative_weights",
    "sibling_pairs",
    "with_merged",
]
