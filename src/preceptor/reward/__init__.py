"""Reward models: train them, open them, score traces with them; and everything else that scores steps.

A discriminative model is composed of small parts, each its own file:

    layout.py    problem and steps -> pieces of token ids, as data; render.py: pieces -> rows and readouts
    head.py      state at a readout -> outputs; link.py: outputs -> one score
    format.py    layout + head + link + facts: how a family is read; formats/: the public families
    model.py     backbone + head: build, open, save; scorer.py: `PRM`, one packed pass over all rows

Other models: two_pass.py (PathFinder), implicit.py (two language models), generative/ (verdicts that are
written), remote.py (behind a vLLM server).

Training: objective.py and objectives/ (what is trained; the targets are rules of `annotate.rules`), losses/,
examples.py (rows), trainer.py, training.py (`train`), language.py (models that are language models), metrics.py,
parity.py (serving gives the trained scores).

Scorers without training: likelihood/ (what a model makes of a given text), probes/ (small heads on frozen
states); judges live in `annotate.judges`. combine/: scorers made of scorers.

`load.py` opens any of them by name; `words.py` those that need a policy alone. To add a family of checkpoints: a
record in `formats/`. To add an objective: a file in `objectives/`. To add a way of rendering: a dataclass with
`pieces`. Each has its map.
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
