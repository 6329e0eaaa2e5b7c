"""What changes the data of a training run rather than its loss: builders of rows, curricula, repairs.

    rows.py    `Row` and `Piece`: a text to train on, sampled ids where they exist, a mask and weights
    hooks.py   `Item`, and what a loop calls around sampling (below); trees.py: what builders read off search trees

Rows for `supervised.train_supervised`, from trees and failed attempts:

    mcts_nll.py       weights of steps relative to their siblings
    alphamath.py      values of a tree with known ends, for a policy with a value head
    rest_mcts.py      values of partial solutions, for a policy and a reward model
    intervention.py   the first wrong step written again
    dagger.py         the teacher's actions in the student's states

Hooks of a loop. `prepare(problems, step) -> problems` before sampling, one for one; `amend(items, source) -> items`
behind grading and before group statistics, `items_of(traces)` being what goes in:

    r3.py             prepare: starts inside a demonstration; amend: 0.2 for a well-formed wrong number
    h1.py             prepare: chains of problems; amend: records success, which the horizon follows
    srl.py            prepare: a prefix of an expert's solution; amend: similarity of the next step
    mr_rlvr.py        prepare: masked and reordered solutions; amend: their rewards
    scope_correct.py  amend: wrong attempts corrected from their first wrong step
    thinktuning.py    amend: a teacher's feedback inside attempts
    r3l.py            amend: retries from a pivot, reflections, in free places; `opmd_advantages`
    scrl.py           `task`: a problem with its subproblems; `correctness`, `recut`: credit by position; `SCRL`: all

To add one: a file with pure functions and, for a loop, a dataclass with `prepare` or `amend`, and a line in
`learn.hooks_by_name`, which names it for the command line. Nothing here needs torch. A hook that
keeps state says what to save; the others depend on their arguments and seed alone.
"""

from preceptor.learn.data.alphamath import AlphaMathTraining
from preceptor.learn.data.dagger import collect
from preceptor.learn.data.h1 import Horizon
from preceptor.learn.data.hooks import Amend, Item, Prepare, Source, items_of
from preceptor.learn.data.intervention import Interventions
from preceptor.learn.data.mr_rlvr import MRRLVR
from preceptor.learn.data.r3 import R3
from preceptor.learn.data.r3l import R3L, opmd_advantages
from preceptor.learn.data.rows import Piece, Row, step_pieces, token_row, whole_row
from preceptor.learn.data.scope_correct import ScopeCorrect
from preceptor.learn.data.scrl import SCRL
from preceptor.learn.data.srl import SRL
from preceptor.learn.data.thinktuning import ThinkTuning

__all__ = [
    "MRRLVR",
    "R3",
    "R3L",
    "SCRL",
    "SRL",
    "AlphaMathTraining",
    "Amend",
    "Horizon",
    "Interventions",
    "Item",
    "Piece",
    "Prepare",
    "Row",
    "ScopeCorrect",
    "Source",
    "ThinkTuning",
    "collect",
    "items_of",
    "opmd_advantages",
    "step_pieces",
    "token_row",
    "whole_row",
]
