"""Labels that need no rollout: exact truth, checks by tools, and what a trace carries with it.

    oracle.py       `WorldOracle`: the exact truth of the problem's world
    calculator.py   `CalculatorNotes`: calculator notes and outcomes of real GSM8K solutions
    confidence.py   `StepConfidence`: the policy's own confidence in each step

To add a method: a frozen dataclass with `source`, `question` and `score`, and a line in `ANNOTATORS`.
"""

from preceptor.annotate.tools.calculator import CalculatorNotes
from preceptor.annotate.tools.confidence import StepConfidence
from preceptor.annotate.tools.oracle import WorldOracle

__all__ = ["CalculatorNotes", "StepConfidence", "WorldOracle"]
