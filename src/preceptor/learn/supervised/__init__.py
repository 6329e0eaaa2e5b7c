"""Supervised training: weighted likelihood and distillation, one call for all of them.

    train.py      `train_supervised`: rows of `learn.data` to a trained policy, resumable
    trainer.py    the part that is `transformers.Trainer`; encode.py: rows to ids; value.py: a value head on a policy
    losses.py     weighted likelihood, values, shaping of off-policy tokens, OPMD, as functions of tensors
    echo.py       an auxiliary loss on what the environment answered
    scope_opd.py  own right answers and the teacher's word on wrong ones, weighted by perplexity
    uni_opd.py    teacher log-ratios with calibrated margins
    reading.py    log-probabilities of sampled tokens under a teacher
    rounds.py     rounds of search and training; DAgger

A new method of data is a builder in `learn.data`; a new loss is a function in a file of its own here, and, where it
is a likelihood with weights, a builder of rows in streams beside it.
"""

from typing import TYPE_CHECKING, Any

from preceptor.learn.supervised.train import SupervisedResult, train_supervised

if TYPE_CHECKING:
    from preceptor.learn.supervised.value import ValueScorer

__all__ = ["SupervisedResult", "ValueScorer", "train_supervised"]


def __getattr__(name: str) -> Any:
    if name == "ValueScorer":
        from preceptor.learn.supervised.value import ValueScorer

        return ValueScorer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
