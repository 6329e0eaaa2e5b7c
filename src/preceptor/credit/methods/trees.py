"""Rollouts that share prefixes: what is compared is what branches off, and no text is trained on twice."""

from __future__ import annotations

from preceptor.credit.baseline import Center
from preceptor.credit.config import CreditConfig, Stream
from preceptor.credit.ops.attnrl import SegmentAdvantage
from preceptor.credit.ops.slate import SampledStep
from preceptor.credit.ops.treeps_rag import NodeAdvantage
from preceptor.credit.sources import StepScore

METHODS: dict[str, CreditConfig] = {
    # Siblings after one prefix; no verified outcome is read. `ops.slate.truncated` takes the prefix out of the loss.
    "slate": CreditConfig(
        (Stream(StepScore(), SampledStep(), Center("node", "mean", "std")),), keep="judged", shared="once"
    ),
    "treeps_rag": CreditConfig((Stream(NodeAdvantage()),), shared="once"),
    # The simpler option: V(node) - V(parent).
    "treeps_rag_local": CreditConfig((Stream(NodeAdvantage("local")),), shared="once"),
    "attnrl": CreditConfig((Stream(SegmentAdvantage()),), keep="informative", shared="once"),
}

MARKS: dict[str, tuple[str, ...]] = {
    "slate": ("k 5, at most 4 steps: not confirmed", "goes on with the best sibling: not found, ours"),
    "treeps_rag": ("branching and form of the advantage: not found, ours",),
    "treeps_rag_local": ("branching and form of the advantage: not found, ours",),
    "attnrl": (
        "offset of the influence: not found, ours",
        "form of the moving average: not found, ours",
        "whole prompts are kept or dropped: ours",
    ),
}
