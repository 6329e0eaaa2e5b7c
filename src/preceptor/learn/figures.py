"""What is watched of a batch of completions: a figure a trace, then their means.

Each figure is a number that a policy can push up without getting better. Pure: no trainer, no tensor.
A figure that does not exist for a batch (no scorer, no verdict, one group member) is absent, never 0.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from preceptor.credit import Rollout
from preceptor.trace import Finish, Trace

NGRAM = 4
"""Tokens of the runs that are looked for twice (not found, ours)."""
_ANSWER = re.compile(
    r"\\boxed\b|####|(?:^|\n)[ \t]*(?:the |so the )?(?:final )?answer\b ?(?:is|:|=)", re.IGNORECASE
)

Figures = Mapping[str, float]
"""One batch. The keys are those of `of_batch`."""


@dataclass(frozen=True)
class Written:
    """What the policy wrote of one completion; small, so that processes can exchange it."""

    tokens: int
    steps: int
    repetition: float
    """Share of its runs of `NGRAM` tokens that it has written before."""
    repeated_steps: float
    """Share of its steps whose text it has written before."""
    answers: int
    """Places that announce an answer: a box, `####`, a line that begins with "Answer:"."""
    cut: bool
    failed: bool


def written(trace: Trace) -> Written:
    tokens: Sequence[Hashable] = trace.text.split() if trace.token_ids is None else trace.token_ids
    if trace.sampled is not None:
        tokens = [token for token, own in zip(tokens, trace.sampled, strict=True) if own]
    runs = [tuple(tokens[i : i + NGRAM]) for i in range(len(tokens) - NGRAM + 1)]
    return Written(
        tokens=len(tokens),
        steps=len(trace.steps),
        repetition=repeated(runs),
        repeated_steps=repeated([t.strip() for t in trace.step_texts if t.strip()]),
        answers=sum(1 for _ in _ANSWER.finditer(trace.text)),
        cut=trace.finish is Finish.LENGTH,
        failed=trace.error is not None,
    )


def repeated(items: Sequence[Hashable]) -> float:
    """Share of the items that stood earlier in the list; 0 for none.

    >>> repeated(["a", "b", "a", "a"])
    0.5
    """
    return 1.0 - len(set(items)) / len(items) if items else 0.0


def of_batch(
    texts: Sequence[Written],
    rollouts: Sequence[Rollout],
    scores: Sequence[Sequence[float | None] | None] | None = None,
    kl: float | None = None,
) -> dict[str, float]:
    """`texts`, `rollouts` and `scores` (step scores, None where nothing was judged): one entry a completion.

    Scores enter as the mean over a completion's judged steps, so that more steps alone raise nothing here.
    """
    made = [t for t in texts if not t.failed]
    found = {
        "length": _mean([t.tokens for t in made]),
        "steps": _mean([t.steps for t in made]),
        "separators": _ratio(100.0 * sum(t.steps for t in made), sum(t.tokens for t in made)),
        "repetition": _mean([t.repetition for t in made]),
        "repeated_steps": _mean([t.repeated_steps for t in made]),
        "answers": _mean([t.answers for t in made]),
        "kl": kl,
        **_outcomes(rollouts),
        **({} if scores is None else _scores(rollouts, scores)),
    }
    return {k: v for k, v in found.items() if v is not None}


def _outcomes(rollouts: Sequence[Rollout]) -> dict[str, float | None]:
    groups: dict[str, list[float]] = {}
    for r in rollouts:
        if r.outcome is not None:
            groups.setdefault(r.prompt_id, []).append(r.outcome)
    wide = [g for g in groups.values() if len(g) > 1]
    return {
        "outcome": _mean([x for g in groups.values() for x in g]),
        "group_std": _mean([float(np.std(g, ddof=1)) for g in wide]),
        "flat_groups": _mean([float(len(set(g)) == 1) for g in wide]),
    }


def _scores(
    rollouts: Sequence[Rollout], scores: Sequence[Sequence[float | None] | None]
) -> dict[str, float | None]:
    means = [_mean([s for s in row or () if s is not None]) for row in scores]
    known = [m for m in means if m is not None]
    right = [m for m, r in zip(means, rollouts, strict=True) if m is not None and r.outcome == 1.0]
    wrong = [m for m, r in zip(means, rollouts, strict=True) if m is not None and r.outcome == 0.0]
    return {
        "score": _mean(known),
        "score_std": float(np.std(known)) if len(known) > 1 else None,
        "score_right": _mean(right),
        "score_wrong": _mean(wrong),
    }


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _ratio(a: float, b: float) -> float | None:
    return a / b if b else None
