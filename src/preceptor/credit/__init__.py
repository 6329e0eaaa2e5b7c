"""Credit assignment: graded traces and step scores in, per-token advantages out. Pure NumPy.

    types.py          Rollout, Signals, CreditConfig, AdvantageBatch
    spans.py          character offsets -> token spans of the steps
    from_traces.py    Trace -> Rollout, Judgement -> Signals
    step_reward.py    1. scores -> step rewards            transform.py   2. reshape them
    mix.py            3. where the outcome enters          returns.py     4. what a step answers for
    baseline.py       5. compared with what                broadcast.py   6. steps -> tokens
    filter.py         7. what is trained on                stats.py       what to log
    pipeline.py       compute(): the stages in order       methods.py     METHODS: one row a method

To add a method, add a row to `METHODS`. If a stage lacks a variant, write it as a pure function in that
stage's file, name it in the stage's dict and in the `Literal` of `CreditConfig`. The invariant tests run
over the whole table.
"""

from preceptor.credit.from_traces import rollout_of, signals_of
from preceptor.credit.methods import METHODS
from preceptor.credit.pipeline import compute
from preceptor.credit.spans import token_spans
from preceptor.credit.types import AdvantageBatch, Baseline, CreditConfig, Rollout, Signals

__all__ = [
    "METHODS",
    "AdvantageBatch",
    "Baseline",
    "CreditConfig",
    "Rollout",
    "Signals",
    "compute",
    "rollout_of",
    "signals_of",
    "token_spans",
]
