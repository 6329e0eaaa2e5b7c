"""Refinement: solutions that are looked at, cut, corrected and tried again, and steps picked by their rationale.

    refined_best_of_n.py    GM-PRM: a critic corrects the first wrong step, the policy goes on from there; best of all
    glore.py                GLoRe: a global and a local refinement of one draft, reranked
    revision.py             the loop of the two below: draft, review, cut, again
    truncate_regenerate.py  Perceval: cut before the first passage a critic quotes as wrong
    cut_regenerate.py       Search-R2: cut before the first step a critic names as wrong
    rationalyst.py          RATIONALYST: step by step, the candidate whose rationale (or which behind one) is likeliest
    orps.py                 ORPS: rounds of programs, run on the visible tests and criticized, the best go on;
                            orps_text.py: its prompts and the critic's score
    visible_tests.py        `VisibleTests`: the scorer of ORPS; code_metrics.py: how long and involved a program is
    asking.py               what they share: prompts about a draft, and replies

Reviews come from helpers of `solve` (`helpers={"critic": policy}`); without one the policy reviews itself. What a
review quotes, names or corrects is read by bounded patterns; one that cannot be read changes nothing, and the node
says so (`node.data["why"]`). No review is ever a candidate. Tokens of reviews count like all others.

To add one: fence what others wrote (`annotate.judges.verdict.fence`), give the question a problem of its own
(`asking.reworded`), read strictly, and test that a critic who is content leaves the draft as it is.

DataPRM's best of N is no search: `BestOfN(16, "mean")` with a scorer of turns.
"""

from preceptor.search.refine.cut_regenerate import CutRegenerate
from preceptor.search.refine.glore import Glore, StepsThenOutcome
from preceptor.search.refine.orps import Orps
from preceptor.search.refine.rationalyst import Rationalyst, RationalystGiven
from preceptor.search.refine.refined_best_of_n import RefinedBestOfN
from preceptor.search.refine.revision import Revision
from preceptor.search.refine.truncate_regenerate import TruncateRegenerate
from preceptor.search.refine.visible_tests import VisibleTests, with_visible_tests

__all__ = [
    "CutRegenerate",
    "Glore",
    "Orps",
    "Rationalyst",
    "RationalystGiven",
    "RefinedBestOfN",
    "Revision",
    "StepsThenOutcome",
    "TruncateRegenerate",
    "VisibleTests",
    "with_visible_tests",
]
