"""Labelling methods: each a `Scorer` in one file, run over traces by `label`.

    label.py     `label`: any scorer over any traces, resumable; `Labels`, its result
    methods.py   `ANNOTATORS`: every method by name
    adaptive/    our own: the first error as inference, rollouts bought where they tell most
    rollout/     what continuations of prefixes show: shared evidence, and one file a method
    tree/        a tree of prefixes per problem: OmegaPRM, MCTS, merged steps; samples read off it
    entropy/     trees that branch where the policy is unsure (EDU-PRM)
    judges/      language models as judges: one file a method
    tools/       truth and checks that cost no rollout: oracles, calculators, symbolic algebra
    code/        lines of code by running tests
    formal/      steps proved or refuted by z3
    combine/     labels made from labels: label models, consensus, active selection, copies of the outcome
    human/       tasks for people, and their answers
    rules/       pure functions from counts, values, ratings and outcomes to training targets
    formats/     files of step labels, read and written as streams

To add a method: one file with a frozen dataclass that has `name`, `cost`, `question`, `source` and `score` (see
`preceptor.judgement.Scorer`), and one line in `methods.py`. Methods that roll out extend
`rollout.base.RolloutAnnotator`, so that they share what the store holds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from preceptor.annotate.label import Labels, label
from preceptor.annotate.methods import ANNOTATORS, annotator

if TYPE_CHECKING:
    from preceptor.annotate.adaptive import FirstErrorSearch
    from preceptor.annotate.code import CodeMutation, PRLCoder
    from preceptor.annotate.combine import ActiveJudge, Consensus, FreePRM, OutcomeCopy, WeakSupervision
    from preceptor.annotate.entropy import EduPRM
    from preceptor.annotate.formal import FoVer
    from preceptor.annotate.rollout import (
        Bisection,
        Evidence,
        MathShepherd,
        MonteCarlo,
        OmegaBisection,
        ProverAdvantage,
        RelativeProgress,
        Scan,
        StepwiseORM,
        StopAtZero,
        UnPRM,
        monotone_violation,
    )
    from preceptor.annotate.tools import CalculatorNotes, Grounded, StepConfidence, WorldOracle
    from preceptor.annotate.tree import MCTSRelative, OmegaPRM, Tree

_HOMES = {
    "ActiveJudge": "combine",
    "Bisection": "rollout",
    "CalculatorNotes": "tools",
    "CodeMutation": "code",
    "Consensus": "combine",
    "EduPRM": "entropy",
    "Evidence": "rollout",
    "FirstErrorSearch": "adaptive",
    "FoVer": "formal",
    "FreePRM": "combine",
    "Grounded": "tools",
    "MCTSRelative": "tree",
    "MathShepherd": "rollout",
    "MonteCarlo": "rollout",
    "OmegaBisection": "rollout",
    "OmegaPRM": "tree",
    "OutcomeCopy": "combine",
    "PRLCoder": "code",
    "ProverAdvantage": "rollout",
    "RelativeProgress": "rollout",
    "Scan": "rollout",
    "StepConfidence": "tools",
    "StepwiseORM": "rollout",
    "StopAtZero": "rollout",
    "Tree": "tree",
    "UnPRM": "rollout",
    "WeakSupervision": "combine",
    "WorldOracle": "tools",
    "monotone_violation": "rollout",
}

__all__ = [
    "ANNOTATORS",
    "ActiveJudge",
    "Bisection",
    "CalculatorNotes",
    "CodeMutation",
    "Consensus",
    "EduPRM",
    "Evidence",
    "FirstErrorSearch",
    "FoVer",
    "FreePRM",
    "Grounded",
    "Labels",
    "MCTSRelative",
    "MathShepherd",
    "MonteCarlo",
    "OmegaBisection",
    "OmegaPRM",
    "OutcomeCopy",
    "PRLCoder",
    "ProverAdvantage",
    "RelativeProgress",
    "Scan",
    "StepConfidence",
    "StepwiseORM",
    "StopAtZero",
    "Tree",
    "UnPRM",
    "WeakSupervision",
    "WorldOracle",
    "annotator",
    "label",
    "monotone_violation",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
