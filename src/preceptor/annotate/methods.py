"""Every labelling method by name, and where it lives. Nothing is imported before it is asked for.

A user's own method goes by its import path, `my_module:MyMethod`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from preceptor.errors import InputError

ANNOTATORS = {
    "active-judge": "combine:ActiveJudge",
    "calculator-notes": "tools:CalculatorNotes",
    "code-mutation": "code:CodeMutation",
    "consensus": "combine:Consensus",
    "critique": "judges:Critique",
    "dyve": "judges:ConsensusSteps",
    "edu-prm": "entropy:EduPRM",
    "first-error-search": "adaptive:FirstErrorSearch",
    "fover": "formal:FoVer",
    "freeprm": "combine:FreePRM",
    "grounded": "tools:Grounded",
    "math-shepherd": "rollout:MathShepherd",
    "mcts-relative": "tree:MCTSRelative",
    "natural-program": "judges:NaturalProgram",
    "omega-bisection": "rollout:OmegaBisection",
    "omegaprm": "tree:OmegaPRM",
    "opv": "judges:OPV",
    "outcome-copy": "combine:OutcomeCopy",
    "prlcoder": "code:PRLCoder",
    "prover-advantage": "rollout:ProverAdvantage",
    "relative-progress": "rollout:RelativeProgress",
    "rubric": "judges:RubricJudge",
    "scan": "rollout:Scan",
    "sorm": "rollout:StepwiseORM",
    "spare": "judges:Spare",
    "spark": "judges:Spark",
    "step-confidence": "tools:StepConfidence",
    "step-judge": "judges:StepJudge",
    "stop-at-zero": "rollout:StopAtZero",
    "turn-oracle": "tools.turn_oracle:TurnOracle",
    "unprm": "rollout:UnPRM",
    "weak-supervision": "combine:WeakSupervision",
    "world-oracle": "tools:WorldOracle",
}
"""Name -> room and class."""


def annotator(name: str) -> type[Any]:
    """The class of a method: a name of `ANNOTATORS`, or `module:class` for one's own. InputError otherwise."""
    home = ANNOTATORS.get(name)
    module, _, cls = (f"preceptor.annotate.{home}" if home else name).partition(":")
    if not module or not cls:
        raise InputError(f"method: got {name!r}, expected one of {sorted(ANNOTATORS)} or MODULE:CLASS")
    try:
        return getattr(import_module(module), cls)
    except (ImportError, AttributeError) as error:
        raise InputError(f"method {name!r}: cannot be imported ({error})") from error
