"""Labelling methods: each a `Scorer` in one file, run over traces by `label`.

    label.py           `label`: any scorer over any traces, resumable; `Labels`, its result
    math_shepherd.py   rollouts at every step
    omegaprm.py        bisection for the first error
    oracle.py          the exact truth of the problem's world
    calculator.py      calculator notes and outcomes of real GSM8K solutions
    confidence.py      the policy's own confidence in each step
    montecarlo.py      evidence by rollouts, shared by the above through the store

To add a method: one file with a frozen dataclass that has `source`, `question` and `score` (see
`preceptor.judgement.Scorer`), and one line in `ANNOTATORS`. Methods that roll out ask
`montecarlo.MonteCarlo`, so that they share what the store holds.
"""

from preceptor.annotate.calculator import CalculatorNotes
from preceptor.annotate.confidence import StepConfidence
from preceptor.annotate.label import Labels, label
from preceptor.annotate.math_shepherd import MathShepherd
from preceptor.annotate.montecarlo import Evidence, MonteCarlo
from preceptor.annotate.omegaprm import Bisection, OmegaBisection, monotone_violation
from preceptor.annotate.oracle import WorldOracle

ANNOTATORS = {
    "calculator-notes": CalculatorNotes,
    "math-shepherd": MathShepherd,
    "omega-bisection": OmegaBisection,
    "step-confidence": StepConfidence,
    "world-oracle": WorldOracle,
}

__all__ = [
    "ANNOTATORS",
    "Bisection",
    "CalculatorNotes",
    "Evidence",
    "Labels",
    "MathShepherd",
    "MonteCarlo",
    "OmegaBisection",
    "StepConfidence",
    "WorldOracle",
    "label",
    "monotone_violation",
]
