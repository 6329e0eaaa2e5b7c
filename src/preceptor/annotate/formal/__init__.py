"""Labels by formal tools (FoVer): exact, local, and only for steps that can be read as logic.

    logic.py     formulas: a strict reader into a tree of our own
    steps.py     steps `fact1 & int2 -> int3: FORMULA`, facts and hypothesis of a problem
    solver.py    entailment by z3 (the extra `formal`)
    fover.py     `FoVer`: a label for each step of a formal proof
    proofs.py    `proof_labels`: the run protocol of a proof assistant, over any `Prover`
    merge.py     `merge_steps`: random merge of neighbouring steps
    balance.py   last-step balanced prefixes and a balanced pool of traces

To add a tool: a `Prover` for `proof_labels`, or a scorer of its own beside `FoVer`.
"""

from preceptor.annotate.formal.balance import Shown, balanced_pool, last_step_balanced
from preceptor.annotate.formal.fover import FoVer
from preceptor.annotate.formal.logic import LogicError, parse
from preceptor.annotate.formal.merge import merge_groups, merge_steps
from preceptor.annotate.formal.proofs import Method, ProofLabels, Prover, Run, proof_labels
from preceptor.annotate.formal.solver import entails, equivalent

__all__ = [
    "FoVer",
    "LogicError",
    "Method",
    "ProofLabels",
    "Prover",
    "Run",
    "Shown",
    "balanced_pool",
    "entails",
    "equivalent",
    "last_step_balanced",
    "merge_groups",
    "merge_steps",
    "parse",
    "proof_labels",
]
