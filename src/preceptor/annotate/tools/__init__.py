"""Labels that need no rollout: exact truth, checks by tools, and what a trace carries with it.

    oracle.py       `WorldOracle`: the exact truth of the problem's world
    calculator.py   `CalculatorNotes`: calculator notes and outcomes of real GSM8K solutions
    confidence.py   `StepConfidence`: the policy's own confidence in each step
    step_tools.py   one step's claims checked: sums, equations; code_run.py: by a program
    turn_oracle.py  `TurnOracle`: a world's reward for every turn; `turn_advantages`
    grounded.py     `Grounded`: tool signs and outcomes in a step search

To add a method: a frozen dataclass with `source`, `question` and `score`, and a line in `ANNOTATORS`.
"""

from preceptor.annotate.tools.calculator import CalculatorNotes
from preceptor.annotate.tools.code_run import CodeRun
from preceptor.annotate.tools.confidence import StepConfidence
from preceptor.annotate.tools.grounded import Grounded
from preceptor.annotate.tools.oracle import WorldOracle
from preceptor.annotate.tools.step_tools import Calculator, Check, Claim, StepTool, Symbolic, checked
from preceptor.annotate.tools.turn_oracle import TurnOracle, turn_advantages

__all__ = [
    "Calculator",
    "CalculatorNotes",
    "Check",
    "Claim",
    "CodeRun",
    "Grounded",
    "StepConfidence",
    "StepTool",
    "Symbolic",
    "TurnOracle",
    "WorldOracle",
    "checked",
    "turn_advantages",
]
