"""Reward models: train them, open them, score traces with them.

A model is composed of small parts, each its own file:

    render.py    trace -> token ids and the position at which each step is read
    readout.py   batches, the forward pass, the outputs at those positions
    head.py      backbone + linear head; saving and opening directories
    link.py      outputs -> one score per step, with the loss that fits
    targets.py   judgement -> training targets; loss.py: the losses
    format.py    the record in `config.json` that says how a model is read

`examples.py`, `training.py`, `trainer.py`, `metrics.py` train one; `parity.py` proves that serving gives the
trained scores; `scorer.py` is the scorer and `load.py` opens one by name.

To add a link: one function and one row in `link.LINKS`. To add a way of rendering: a class with
`__call__(trace) -> Rendered`. To add a family of public checkpoints: a `Format` that names its parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from preceptor.reward.load import load_scorer
    from preceptor.reward.scorer import PRM
    from preceptor.reward.training import TrainConfig, train

__all__ = ["PRM", "TrainConfig", "load_scorer", "train"]

_HOMES = {"PRM": "scorer", "TrainConfig": "training", "load_scorer": "load", "train": "training"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
