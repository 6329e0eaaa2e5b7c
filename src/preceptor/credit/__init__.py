"""Credit assignment: graded traces and signals in, per-token advantages out. Pure NumPy.

    types.py          Rollout, Signals, AdvantageBatch     batch.py       Batch: what a part is called with
    config.py         Source, Op, Stream, CreditConfig     pipeline.py    compute(): the stages in order
    spans.py          character offsets -> token spans     from_traces.py Trace -> Rollout, Judgement -> Signals
    sources.py        where the numbers come from          transform.py   the same at another scale or shape
    mix.py            where the outcome enters             returns.py     what a step answers for
    baseline.py       compared with what                   pool.py        tokens -> steps -> rollouts
    broadcast.py      rollouts -> steps -> tokens          filter.py      what is trained on
    spread.py         any level -> tokens                  stats.py       what to log
    ops/              operations of one method             methods/       METHODS: one row a method
    bias.py           what a method pays for besides       hack_world.py  what a policy learns from a method
    synthetic.py      texts made up for these two

A method is a sum of streams; a stream is a source followed by operations, in the method's own order. To add a
method, add a row to its family's file in `methods/`. If no operation does what it needs, write one: a frozen
dataclass called with (values, batch), in `ops/` when only that method has it. The invariant tests run over
the whole table.
"""

from preceptor.credit.baseline import Center
from preceptor.credit.batch import Batch
from preceptor.credit.config import CreditConfig, Op, Source, Stream
from preceptor.credit.from_traces import rollout_of, signals_of
from preceptor.credit.methods import MARKS, METHODS
from preceptor.credit.pipeline import compute
from preceptor.credit.sources import Outcome, Progress, Scalar, StepScore, TokenScore
from preceptor.credit.spans import token_spans
from preceptor.credit.types import AdvantageBatch, Rollout, Signals

__all__ = [
    "MARKS",
    "METHODS",
    "AdvantageBatch",
    "Batch",
    "Center",
    "CreditConfig",
    "Op",
    "Outcome",
    "Progress",
    "Rollout",
    "Scalar",
    "Signals",
    "Source",
    "StepScore",
    "Stream",
    "TokenScore",
    "compute",
    "rollout_of",
    "signals_of",
    "token_spans",
]
