"""Labels from trees that branch where the policy is unsure (EDU-PRM).

    anchors.py    where a text is cut: entropies to anchors, and a trace to its steps between them (`recut`)
    tree.py       one tree of greedy continuations, grown in rounds
    edu.py        `EduPRM`: trees of whole problems, and labels of given traces

Entropies and runners-up come from `preceptor.policy.next_tokens.Brancher`: a local model.
"""

from preceptor.annotate.entropy.anchors import anchors, recut
from preceptor.annotate.entropy.edu import EduPRM, EntropyTree

__all__ = ["EduPRM", "EntropyTree", "anchors", "recut"]
