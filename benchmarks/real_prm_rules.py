"""Scorers that know nothing of mathematics, for a reward model to beat: constants, positions, lengths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from preceptor.annotate.rules.first_error import first_error_targets
from preceptor.judgement import NO_ERROR, Judgement, Question, Source
from preceptor.trace import Trace, stream_seed
from preceptor.worlds.readers import LabelledTrace

SEED = 0


@dataclass(frozen=True)
class Rule:
    """A scorer that knows nothing of mathematics."""

    name: str
    judge: Callable[[Trace], Mapping[str, Any]]
    question: Question = Question.VALIDITY

    @property
    def source(self) -> Source:
        return Source.of(f"rule/{self.name}", seed=SEED)

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        return [
            Judgement(t.id, self.question, self.source, **{"scores": None, **self.judge(t)}) for t in traces
        ]


def index_features(trace: Trace) -> np.ndarray:
    """Which step it is, and nothing else."""
    at = np.minimum(np.arange(len(trace.steps)), 14)
    return np.eye(15)[at]


def length_features(trace: Trace) -> np.ndarray:
    """Characters of the step, of the text so far and of the problem."""
    own = [len(t) for t in trace.step_texts]
    so_far, prompt = np.cumsum(own), len(trace.problem.prompt)
    table = np.log1p(np.array([[a, b, prompt] for a, b in zip(own, so_far)], dtype=float))
    return np.concatenate([table, table**2, np.ones((len(own), 1))], axis=1)


def shape_features(trace: Trace) -> np.ndarray:
    """Both, and what a model that reads left to right cannot see: how many steps are to come."""
    n = len(trace.steps)
    left = np.minimum(n - 1 - np.arange(n), 9)
    return np.concatenate([index_features(trace), length_features(trace), np.eye(10)[left]], axis=1)


class Logistic:
    """P(step is right) from a step's features; labels as for the reward model, masked behind the first error."""

    def __init__(self, features: Callable[[Trace], np.ndarray], items: Sequence[LabelledTrace]):
        self.features = features
        known = [
            first_error_targets(i.judgement.first_error, len(i.trace.steps), policy="truncate") for i in items
        ]
        x = np.concatenate([features(i.trace)[: len(own)] for i, own in zip(items, known)])
        y = np.array([float(s or 0) for own in known for s in own])
        self.mean, self.scale = x.mean(0), x.std(0) + 1e-6
        # One-hot columns and the constant stay as they are.
        binary = ((x == 0) | (x == 1)).all(0)
        self.mean, self.scale = np.where(binary, 0, self.mean), np.where(binary, 1, self.scale)
        self.weights = newton((x - self.mean) / self.scale, y)

    def __call__(self, trace: Trace) -> dict[str, Any]:
        if not trace.steps:
            return {"scores": ()}
        z = ((self.features(trace) - self.mean) / self.scale) @ self.weights
        return {"scores": tuple((1 / (1 + np.exp(-z))).tolist())}


def newton(x: np.ndarray, y: np.ndarray, ridge: float = 1.0) -> np.ndarray:
    """Logistic regression; the ridge keeps it defined where a column has one class."""
    w = np.zeros(x.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-x @ w))
        gradient = x.T @ (p - y) + ridge * w
        step = np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x + ridge * np.eye(len(w)), gradient)
        w -= step
        if np.abs(step).max() < 1e-8:
            break
    return w


def rules(items: Sequence[LabelledTrace]) -> dict[str, Rule]:
    """All rules by name, those that have something to learn fitted on `items`."""
    errors = Counter(i.judgement.first_error for i in items if i.judgement.first_error != NO_ERROR)
    usual = min(errors, key=lambda e: (-errors[e], e))

    def chance(trace: Trace) -> dict[str, Any]:
        return {"scores": tuple(stream_seed(SEED, trace.id, t) / 2**63 for t in range(len(trace.steps)))}

    found = {
        "no-error": lambda t: {"first_error": NO_ERROR},
        "usual-position": lambda t: {"first_error": min(usual, len(t.steps) - 1)},
        "random": chance,
        "step-index": Logistic(index_features, items),
        "length": Logistic(length_features, items),
        "shape": Logistic(shape_features, items),
    }
    return {name: Rule(name, judge) for name, judge in found.items()}
