"""How a step looks before anybody rolls out: cheap signals as features of the two curves.

A signal is any `Scorer` whose step scores are probabilities of being right: the policy's confidence (free), a
reward model in training, a calculator. Its surprise, log((1 - score) / score), enters in two parts, below and
above even odds, because policies are calibrated differently when they are sure. Where no signal speaks of a step,
the share of draws that wrote it stands in: a policy that would have written something else was unsure.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from preceptor.annotate.adaptive.forest import Floats
from preceptor.annotate.adaptive.hazards import Hazards, Prior
from preceptor.judgement import Scorer
from preceptor.trace import Trace
from preceptor.usage import Ledger

LIMIT = 7.0
"""Surprise, in log-odds, beyond which more does not count."""
PER_SIGNAL = 3
"""The signal speaks; its surprise below and above even odds."""


def features(
    signals: Sequence[Scorer], traces: Sequence[Trace]
) -> tuple[list[list[list[float]]], list[Ledger]]:
    """Per trace and step a row of `width`, and what each trace's signals cost."""
    judged = [signal.score(traces) for signal in signals]
    rows, spent = [], []
    for k, trace in enumerate(traces):
        n = len(trace.steps)
        scores = [j[k].scores or (None,) * n for j in judged]
        rows.append([_row([s[t] for s in scores], t == n - 1) for t in range(n)])
        spent.append(sum((j[k].usage for j in judged), Ledger()))
    return rows, spent


def width(signals: Sequence[Scorer]) -> int:
    """Columns of a row of `features`."""
    return 2 + PER_SIGNAL * len(signals)


def completed(raw: Floats) -> Floats:
    """Rows of `features` with rarity and draws as last columns -> features of the curves, (N, 5 + 3 per signal)."""
    quiet = raw[:, 1:2]
    rarity, draws = np.clip(raw[:, -2:-1], -LIMIT, LIMIT) * quiet, raw[:, -1:] * quiet
    return np.concatenate(
        [raw[:, :2], np.minimum(rarity, 0), np.maximum(rarity, 0), draws, raw[:, 2:-2]], axis=1
    )


def _row(scores: Sequence[float | None], last: bool) -> list[float]:
    row = [float(last), float(all(s is None for s in scores))]
    for score in scores:
        if score is None:
            row += [0.0, 0.0, 0.0]
            continue
        p = min(max(score, 1e-4), 1 - 1e-4)
        surprise = float(np.clip(np.log((1 - p) / p), -LIMIT, LIMIT))
        row += [1.0, min(surprise, 0.0), max(surprise, 0.0)]
    return row


def prior(count: int) -> Prior:
    """What is believed before any outcome: surprises mean what they say, and few steps make up for an error, those
    that surprise rather than others, as they err themselves.

    The precisions are worth some ten to a hundred observed steps. Without them outcomes alone could not tell a
    policy that rarely errs from one that errs and mends; how often it mends is left to the outcomes, as some never
    do (Game of 24). All are our choice.
    """
    n = max(1, count)
    return Prior(
        start=Hazards(
            np.array([0.0, -1.0, 1.0, 1.0, 0.0, *[0.0, 1.0 / n, 1.0 / n] * count]),
            np.array([0.0, -5.5, 0.0, 0.0, 0.0, *[-4.0 / n, 0.5 / n, 0.5 / n] * count]),
        ),
        spoil=np.array([4.0, 4.0, 100.0, 100.0, 4.0, *[4.0, 20.0, 20.0] * count]),
        mend=np.array([1e4, 1e3, 1e4, 1e4, 1e4, *[1.0, 100.0, 100.0] * count]),
    )
