"""Toy material: traces of short sums whose step is bad exactly when its result ends in an odd digit."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from preceptor.judgement import Judgement, Question, Source
from preceptor.trace import Finish, Problem, Trace, steps_from_ends
from tests.tiny import save_tiny_policy

SOURCE = Source.of("toy-rule")


@dataclass
class ToyLabels:
    traces: list[Trace]
    judgements: list[Judgement]


def trace_of(problem: Problem, steps: list[str], finish: Finish = Finish.STOP) -> Trace:
    ends, at = [], 0
    for step in steps:
        at += len(step)
        ends.append(at)
    return Trace(problem, "".join(steps), steps_from_ends(ends), finish)


def judged(trace: Trace, scores: tuple[float | None, ...], **other: object) -> Judgement:
    return Judgement(trace.id, other.pop("question", Question.VALIDITY), SOURCE, scores, **other)


def good(step: str) -> bool:
    return int(step.strip()[-1]) % 2 == 0


def toy_labels(n_problems: int = 60, per_problem: int = 4, seed: int = 0) -> ToyLabels:
    """The last digit decides: a readout on the step's first token, or on the separator before it, sees
    nothing of it, and neighboring steps are independent."""
    rng = random.Random(seed)
    traces, judgements = [], []
    for p in range(n_problems):
        problem = Problem(f"Sums {p}?", id=f"p{p}")
        for _ in range(per_problem):
            lines = [
                f"{rng.randint(1, 9)}+{rng.randint(1, 9)}={rng.randint(10, 99)}\n"
                for _ in range(rng.randint(1, 5))
            ]
            trace = trace_of(problem, lines)
            traces.append(trace)
            judgements.append(judged(trace, tuple(float(good(line)) for line in lines)))
    return ToyLabels(traces, judgements)


def backbone(path: Path, **kwargs: int) -> Path:
    return save_tiny_policy(path, **kwargs)
