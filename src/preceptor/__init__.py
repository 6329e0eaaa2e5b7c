"""Preceptor: process supervision of LLM reasoning.

Cut traces into steps, label the steps, train reward models from the labels, use them at test time and in
policy training, and measure all of it. The rooms are modules of this package (`preceptor.annotate`,
`preceptor.search`, ...); the verbs and nouns used most are names of it. Nothing heavy is imported before it
is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from preceptor import (
        annotate,
        bench,
        credit,
        grade,
        learn,
        policy,
        reward,
        search,
        segment,
        store,
        view,
        worlds,
    )
    from preceptor.annotate import label  # type: ignore[no-redef]
    from preceptor.generation import Sampling
    from preceptor.judgement import Judgement, Question
    from preceptor.policy import load_policy, sample  # type: ignore[no-redef]
    from preceptor.reward import load_scorer, train
    from preceptor.search import solve
    from preceptor.store import Store
    from preceptor.trace import Problem, Step, Trace
    from preceptor.usage import Budget
    from preceptor.worlds import load_problems

_ROOMS = (
    "annotate", "bench", "credit", "grade", "learn", "policy", "reward", "search", "segment", "store", "view", "worlds",
)  # fmt: skip
_NAMES = {
    "Budget": "usage",
    "Judgement": "judgement",
    "Problem": "trace",
    "Question": "judgement",
    "Sampling": "generation",
    "Step": "trace",
    "Store": "store",
    "Trace": "trace",
    "label": "annotate",
    "load_policy": "policy",
    "load_problems": "worlds",
    "load_scorer": "reward",
    "sample": "policy",
    "solve": "search",
    "train": "reward",
}

__all__ = [
    "Budget",
    "Judgement",
    "Problem",
    "Question",
    "Sampling",
    "Step",
    "Store",
    "Trace",
    "annotate",
    "bench",
    "credit",
    "grade",
    "label",
    "learn",
    "load_policy",
    "load_problems",
    "load_scorer",
    "policy",
    "reward",
    "sample",
    "search",
    "segment",
    "solve",
    "store",
    "train",
    "view",
    "worlds",
]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"preceptor.{name}")
    if name in _NAMES:
        return getattr(import_module(f"preceptor.{_NAMES[name]}"), name)
    raise AttributeError(f"module 'preceptor' has no attribute {name!r}")
