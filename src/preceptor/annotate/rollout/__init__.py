"""Labels from rollouts: continue a prefix, grade what comes, count.

    montecarlo.py      `MonteCarlo`: draws at prefixes through the store; `Prefix`, `Rollout`, `Evidence`
    base.py            `RolloutAnnotator`: what all methods here have in common
    math_shepherd.py   K rollouts at every step, hard or soft
    bisection.py       OmegaPRM's binary search for the first error of a wrong trace

To add a method: a subclass of `RolloutAnnotator` with `name`, `cost` and `judge`, and a line in `ANNOTATORS`.
"""

from preceptor.annotate.rollout.base import RolloutAnnotator
from preceptor.annotate.rollout.bisection import Bisection, OmegaBisection, monotone_violation
from preceptor.annotate.rollout.math_shepherd import MathShepherd
from preceptor.annotate.rollout.montecarlo import Evidence, MonteCarlo, Prefix, Rollout

__all__ = [
    "Bisection",
    "Evidence",
    "MathShepherd",
    "MonteCarlo",
    "OmegaBisection",
    "Prefix",
    "Rollout",
    "RolloutAnnotator",
    "monotone_violation",
]
