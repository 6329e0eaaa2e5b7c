"""Searches that grow a tree from the root, choosing again and again where to go on.

    vanilla_mcts.py    OpenR: paths down to an end by PUCT, the mean of their ends backed up
    alphamath_mcts.py  AlphaMath Almost Zero: PUCT over open children, values summed
    rest_mcts.py       ReST-MCTS*: visit-weighted means of children, greedy roll-outs from the best new step
    propa.py           PROPA: UCT with a written score; the path of best mean score
    rstar.py           rStar: kinds of reasoning (rstar_actions.py), then the answer that a second model comes to as
                       well (rstar_consistency.py)
    selection.py       what they share: PUCT, UCT, backing up, priors

Every turn expands one node of every problem, so a batch is as wide as there are problems. Trees are made of steps; a
step that the tree has tried stays in it with what became of it.

To add one: walk with `best`, sift what was sampled, back up, and test its numbers by hand on a small tree.
"""

from preceptor.search.trees.alphamath_mcts import AlphaMathMcts
from preceptor.search.trees.propa import Propa
from preceptor.search.trees.rest_mcts import RestMcts
from preceptor.search.trees.rstar import RStar
from preceptor.search.trees.vanilla_mcts import VanillaMcts

__all__ = ["AlphaMathMcts", "Propa", "RStar", "RestMcts", "VanillaMcts"]
