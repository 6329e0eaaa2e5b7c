"""How a step looks before anybody rolls out: cheap signals as features of the two curves.

A signal is any `Scorer` whose step scores are probabilities of being right: the policy's confidence (free), a
reward model in training, a calculator. Its surprise, log((1 - score) / score), enters in two parts, below and
above even odds, because policies are calibrated differently when they are sure. A signal that says nothing of a
step counts as a bias of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from preceptor.annotate.adaptive.hazards import Hazards, Prior
from preceptor.judgement import Scorer
from preceptor.trace import Trace
from preceptor.usage import Ledger

LIMIT = 7.0
"""Surprise, in log-odds, beyond which more does not count."""
PER_SIGNAL = 4


def features(
    signals: Sequence[Scorer], traces: Sequence[Trace]
) -> tuple[list[list[list[float]]], list[Ledger]]:
    """Per trace and step the features (1 + 4 per signal, at least one), and what each trace's signals cost."""
    judged = [signal.score(traces) for signal in signals]
    rows, spent = [], []
    for k, trace in enumerate(traces):
        n = len(trace.steps)
        scores = [j[k].scores or (None,) * n for j in judged] or [(None,) * n]
        rows.append([_row([s[t] for s in scores], t == n - 1) for t in range(n)])
        spent.append(sum((j[k].usage for j in judged), Ledger()))
    return rows, spent


def width(signals: Sequence[Scorer]) -> int:
    return 1 + PER_SIGNAL * max(1, len(signals))


def _row(scores: Sequence[float | None], last: bool) -> list[float]:
    row = [float(last)]
    for score in scores:
        if score is None:
            row += [1.0, 0.0, 0.0, 0.0]
            continue
        p = min(max(score, 1e-4), 1 - 1e-4)
        surprise = float(np.clip(np.log((1 - p) / p), -LIMIT, LIMIT))
        row += [0.0, 1.0, min(surprise, 0.0), max(surprise, 0.0)]
    return row


def prior(count: int) -> Prior:
    """What is believed before any outcome: a signal means what it says, a step without one errs at 1 in 8.

    The precisions are worth some ten to a hundred observed steps; both are our choice.
    """
    n = max(1, count)
    spoil = [0.0, *[-2.0 / n, 0.0, 1.0 / n, 1.0 / n] * n]
    mend = [0.0, *[-3.0 / n, -3.0 / n, 0.0, 0.0] * n]
    return Prior(
        start=Hazards(np.array(spoil), np.array(mend)),
        spoil=np.array([4.0, *[1.0, 4.0, 20.0, 20.0] * n]),
        mend=np.array([4.0, *[20.0, 20.0, 20.0, 20.0] * n]),
    )
