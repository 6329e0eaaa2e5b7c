"""Labels from rollouts: continue a prefix, grade what comes, count.

    montecarlo.py      `MonteCarlo`: draws at prefixes through the store; `Prefix`, `Rollout`, `Evidence`
    base.py            `RolloutAnnotator`: what all methods here have in common
    math_shepherd.py   K rollouts at every step, hard or soft
    sequential.py      the same up to the first zero
    bisection.py       OmegaPRM's binary search for the first error of a wrong trace
    scan.py            SCAN: wrong traces of problems the policy is good at, soft labels near the error
    sorm.py            SORM: any rollout that uses the step succeeds
    unprm.py           UnPRM: steps by the jump of uncertainty (order and search in jump_search.py)
    relative_progress.py  GenPRM's labels by the ratio of success rates
    prover_advantage.py   PAV: the change of success under a prover
    rounds.py          the bare problem once; walks to the first zero

To add a method: a subclass of `RolloutAnnotator` with `name`, `cost` and `judge`, and a line in `ANNOTATORS`.
"""

from preceptor.annotate.rollout.base import RolloutAnnotator
from preceptor.annotate.rollout.bisection import Bisection, OmegaBisection, monotone_violation
from preceptor.annotate.rollout.jump_search import JumpSearch
from preceptor.annotate.rollout.math_shepherd import MathShepherd
from preceptor.annotate.rollout.montecarlo import Evidence, MonteCarlo, Prefix, Rollout
from preceptor.annotate.rollout.prover_advantage import ProverAdvantage
from preceptor.annotate.rollout.relative_progress import RelativeProgress
from preceptor.annotate.rollout.scan import Scan
from preceptor.annotate.rollout.sequential import StopAtZero
from preceptor.annotate.rollout.sorm import StepwiseORM
from preceptor.annotate.rollout.unprm import UnPRM

__all__ = [
    "Bisection",
    "Evidence",
    "JumpSearch",
    "MathShepherd",
    "MonteCarlo",
    "OmegaBisection",
    "Prefix",
    "ProverAdvantage",
    "RelativeProgress",
    "Rollout",
    "RolloutAnnotator",
    "Scan",
    "StepwiseORM",
    "StopAtZero",
    "UnPRM",
    "monotone_violation",
]
