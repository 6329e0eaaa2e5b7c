"""Labelling methods: each a `Scorer` in one file, run over traces by `label`.

    label.py     `label`: any scorer over any traces, resumable; `Labels`, its result
    rollout/     what continuations of prefixes show: shared evidence, and one file a method
    judges/      language models as judges: one file a method
    tools/       truth and checks that cost no rollout: oracles, calculators, code, formal tools
    rules/       pure functions from counts, values, ratings and outcomes to training targets

To add a method: one file with a frozen dataclass that has `source`, `question` and `score` (see
`preceptor.judgement.Scorer`), and one line in `ANNOTATORS`. Methods that roll out extend
`rollout.base.RolloutAnnotator`, so that they share what the store holds.
"""

from preceptor.annotate.label import Labels, label
from preceptor.annotate.rollout.bisection import Bisection, OmegaBisection, monotone_violation
from preceptor.annotate.rollout.math_shepherd import MathShepherd
from preceptor.annotate.rollout.montecarlo import Evidence, MonteCarlo
from preceptor.annotate.tools.calculator import CalculatorNotes
from preceptor.annotate.tools.confidence import StepConfidence
from preceptor.annotate.tools.oracle import WorldOracle

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
