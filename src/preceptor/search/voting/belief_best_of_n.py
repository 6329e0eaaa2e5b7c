"""DEL-ToM: a trace of beliefs with a block per line of the story, each block scored by a process belief model.

The policy writes blocks `## Step k ##`, each stating who believes what, then `Final Answer: ...`. The score of a block
is that of the last step that ends in it, so any segmenter that does not cut across a heading will do; text before
the first block and the final answer are no blocks. The blocks' scores are aggregated by avg (`mean`), `last`, `min` or
`prod`; `vote="bon"` is the paper's vanilla choice, "weighted" its sum per answer. A trace without blocks numbered 1,
2, ... is unscored. Curves over N are exact in `bench/estimators.py` (the paper draws 10 subsets). Left out: the belief
model, any scorer whose labels a formal simulator gives. Cost: n solutions and n scored traces.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from preceptor.search.aggregate import Aggregate, aggregate, resolve
from preceptor.search.samples import Samples
from preceptor.search.state import Search
from preceptor.search.tree import Node
from preceptor.search.vote import VOTES

_HEADING = re.compile(r"^[ \t]*##[ \t]*Step[ \t]+([0-9]{1,4})[ \t]*##", re.MULTILINE)
_ANSWER = re.compile(r"^[ \t]*(?:##[ \t]*)?Final Answer[ \t]*:", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True)
class BeliefBestOfN(Samples):
    """The trace with the most believable beliefs."""

    needs_scorer: ClassVar[bool] = True
    n: int | None = 16
    aggregate: str | Aggregate = "mean"
    vote: str = field(default="bon", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        resolve(self.aggregate)
        if self.vote not in VOTES:
            raise ValueError(f"belief best of n: got vote={self.vote!r}, expected one of {sorted(VOTES)}")

    def choose(self, search: Search) -> Node | None:
        nodes = self.candidates(search)
        for node in nodes:
            path = search.tree.path(node)
            found = block_scores(path.text, path.ends, node.scores)
            node.data["score"] = None if found is None else aggregate(found, self.aggregate)
            if found is None:
                node.data["why"] = "no blocks numbered from 1"
        winner = VOTES[self.vote]([n.canon for n in nodes], [n.data["score"] for n in nodes])
        return None if winner is None else nodes[winner]


def block_ends(text: str) -> list[int] | None:
    """Where each block ends; None unless the blocks are numbered 1, 2, ... and there is one."""
    headings = list(_HEADING.finditer(text))
    if not headings or [int(h[1]) for h in headings] != list(range(1, len(headings) + 1)):
        return None
    answer = _ANSWER.search(text, headings[-1].end())
    return [h.start() for h in headings[1:]] + [answer.start() if answer else len(text)]


def block_scores(
    text: str, ends: Sequence[int], scores: Sequence[float | None] | None
) -> list[float | None] | None:
    """The score at the end of each block (None: not judged); None where the text has no blocks.

    >>> block_scores("## Step 1 ##\\nA\\n## Step 2 ##\\nB\\nFinal Answer: x", [13, 15, 28, 30, 45], [1, 0.9, 1, 0.4, 1])
    [0.9, 0.4]
    """
    blocks = block_ends(text)
    if blocks is None:
        return None
    found: list[float | None] = []
    start = 0
    for end in blocks:
        inside = [t for t, e in enumerate(ends) if start < e <= end]
        found.append(scores[inside[-1]] if inside and scores is not None else None)
        start = end
    return found
