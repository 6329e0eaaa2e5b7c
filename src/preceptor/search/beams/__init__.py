"""Beams and other searches over steps, guided by step scores. Each goes back to another one in a limit its test states.

    alphamath_beam.py       AlphaMath's step-level beam: finished solutions use up the beam
    best_first.py           A*, Q*, uniform cost: always the most promising open prefix
    dvts.py                 diverse verifier tree search: subtrees that do not compete
    early_rejection.py      steps scored after a few tokens, only the survivors completed
    greedy_backtracking.py  HGS-PRM: one path, a sample at a time, back where nothing holds
    lookahead.py            a beam that scores where greedy steps lead to
    ovm_beam.py             OVM: finished sequences stay in the pool and compete
    pav_beam.py             process advantage verifiers: value and progress under a prover
    rearter.py              ReARTeR: look-ahead backed up on logits, a poor step criticized and written again
                            (its prompts in rearter_text.py)
    rebase.py               continuations in proportion to the softmax of scores
    finished.py             finished solutions that a beam drops
    paired.py               `Paired`: two scorers as one, for those that rank by two numbers

The plain beam is `search/step_beam.py`. To add one: override a hook of `StepBeam` where the loop is the same, else
derive from `Strategy`; drop nodes with `finished.drop`, so that the tree says why.
"""

from preceptor.search.beams.alphamath_beam import AlphaMathBeam
from preceptor.search.beams.best_first import BestFirst
from preceptor.search.beams.dvts import Dvts
from preceptor.search.beams.early_rejection import EarlyRejection
from preceptor.search.beams.greedy_backtracking import GreedyBacktracking
from preceptor.search.beams.lookahead import LookAheadBeam
from preceptor.search.beams.ovm_beam import OvmBeam
from preceptor.search.beams.paired import Paired
from preceptor.search.beams.pav_beam import PavBeam
from preceptor.search.beams.rearter import Rearter
from preceptor.search.beams.rebase import Rebase

__all__ = [
    "AlphaMathBeam",
    "BestFirst",
    "Dvts",
    "EarlyRejection",
    "GreedyBacktracking",
    "LookAheadBeam",
    "OvmBeam",
    "Paired",
    "PavBeam",
    "Rearter",
    "Rebase",
]
