"""Training examples of probes: binary step labels, split by problem, and the figures of the held-out part.

A split by step or by trace would show the probe the problems it is tested on. Which part a problem falls in
depends on its id and the seed alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from preceptor.errors import InputError
from preceptor.judgement import Judgement, Question
from preceptor.reward.metrics import auroc
from preceptor.reward.probes.states import OpenPolicy, Tokens, tokens_of
from preceptor.reward.targets import TargetConfig, step_targets
from preceptor.trace import Trace, stream_seed

HARD = TargetConfig(objective="hard")


@dataclass(frozen=True)
class Example:
    """One trace with labels: True good, False bad, None unknown."""

    tokens: Tokens
    labels: tuple[bool | None, ...]
    problem: str
    held_out: bool


@dataclass(frozen=True)
class Labelled:
    examples: tuple[Example, ...]
    question: Question
    dropped: int
    """Traces without labels, or that the model cannot read."""

    @property
    def train(self) -> list[Example]:
        return [x for x in self.examples if not x.held_out]

    @property
    def test(self) -> list[Example]:
        return [x for x in self.examples if x.held_out]


def labelled(
    policy: OpenPolicy,
    pairs: Iterable[tuple[Trace, Judgement]],
    *,
    held_out: float,
    seed: int,
    targets: TargetConfig = HARD,
) -> Labelled:
    """InputError when the pairs mix questions, or when the training part lacks good or bad steps."""
    examples: list[Example] = []
    questions: set[Question] = set()
    dropped = 0
    for trace, judgement in pairs:
        if trace.id != judgement.trace:
            raise InputError(f"labels: got a judgement of trace {judgement.trace} beside trace {trace.id}")
        values = step_targets(judgement, targets)
        tokens = tokens_of(policy, trace)
        if not any(v is not None for v in values) or not isinstance(tokens, Tokens):
            dropped += 1
            continue
        questions.add(judgement.question)
        labels = tuple(None if v is None else v >= 0.5 for v in values)
        examples.append(
            Example(tokens, labels, trace.problem.id, _falls_out(trace.problem.id, held_out, seed))
        )
    if len(questions) > 1:
        shown = sorted(q.value for q in questions)
        raise InputError(f"labels: got judgements of several questions {shown}, expected one")
    found = {label for x in examples if not x.held_out for label in x.labels} - {None}
    if len(found) < 2:
        raise InputError(
            f"labels: got {len(examples)} labelled traces whose training part has {len(found)} class(es) of "
            "steps, expected good and bad ones. Label more problems, or hold out less."
        )
    return Labelled(tuple(examples), questions.pop(), dropped)


def figures(data: Labelled, scores: Sequence[Sequence[float | None]]) -> dict[str, Any]:
    """Held-out figures of the steps that have a label and a score; None where they are not defined."""
    pairs = [
        (s, y)
        for x, row in zip(data.test, scores, strict=True)
        for s, y in zip(row, x.labels, strict=True)
        if s is not None and y is not None
    ]
    values = np.array([s for s, _ in pairs], dtype=float)
    good = np.array([y for _, y in pairs], dtype=bool)
    both = bool(good.any()) and not bool(good.all())
    balanced = ((values[good] >= 0.5).mean() + (values[~good] < 0.5).mean()) / 2 if both else None
    return {
        "problems": len({x.problem for x in data.test}),
        "traces": len(data.test),
        "steps": len(pairs),
        "auroc": auroc(values, good) if len(pairs) else None,
        "balanced_accuracy": None if balanced is None else float(balanced),
        "dropped": data.dropped,
    }


def _falls_out(problem: str, fraction: float, seed: int) -> bool:
    return stream_seed("probe-split", seed, problem) % 10**6 < fraction * 10**6
