"""TreePS-RAG: outcomes alone, credited to the reasoning and search steps of a tree (Tree-based process supervision for
agentic RAG).

A step earns `[(V - V_root) + (V - V_parent)] / sqrt(leaves below)`: better than the problem's average, and better than
where it started from. Under the root both differences are the same one, which counts once, so that every step of
an unbranched chain gets its outcome less the root's value. `local` is the simpler `V - V_parent`.

A node's tokens are trained once. Left out: growing the tree (N0 chains, then branching at existing nodes; the branching
rule is not found, default uniform over non-terminal nodes), which is a sampler's work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from preceptor.credit.batch import Batch
from preceptor.credit.config import Source
from preceptor.credit.ops.trees import paths
from preceptor.credit.types import Level, Ragged


@dataclass(frozen=True)
class NodeAdvantage(Source):
    """Advantage of each step's node, `(T_i,)` each; each step is a node."""

    level: ClassVar[Level] = "step"
    reads: ClassVar[frozenset[str]] = frozenset({"nodes", "outcome"})
    form: Literal["global_local", "local"] = "global_local"

    def __call__(self, batch: Batch) -> Ragged:
        out = []
        for value, above, leaves, root in paths(batch):
            local = value - above
            if self.form == "local":
                out.append(local)
                continue
            local[:1] *= 0.0
            out.append((value - root + local) / np.sqrt(np.maximum(leaves, 1.0)))
        return out
