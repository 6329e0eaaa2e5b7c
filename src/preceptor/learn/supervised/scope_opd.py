"""SCOPE distillation: learn from own right answers, from the teacher where they are wrong (abstract index 129).

A prompt's rollouts are split by correctness. With lS, lT the mean log-probabilities of student and teacher over the
tokens that train:

    right: w_i = n_c softmax_i(-lS_i / tau)    unsure right answers count more       loss: w_i NLL
    wrong: w_i = n_w softmax_i(lT_i / tau)     where the teacher finds it plausible  loss: w_i reverse KL to the teacher

Weights average 1 in each part of a prompt. Each part has its own denominator: the tokens of right, and of wrong,
rollouts of the batch. Reverse KL by its policy gradient, token advantage log pi_T - log pi_S (the k1 form). tau = 1,
n = 8 (repo). The repo's flags named "ppl_positive" multiply the log-probability, which favours low perplexity; these
are the paper's formulas. Left out: the top-k KL. A wrong rollout that the teacher could not read is not trained on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from preceptor.errors import InputError
from preceptor.learn.data.hooks import Item
from preceptor.learn.data.rows import Row, token_row
from preceptor.learn.supervised.losses import weighted_nll
from preceptor.learn.supervised.reading import Logps

RIGHT, WRONG = "right", "wrong"


def scope_weights(
    student: Sequence[float],
    teacher: Sequence[float | None],
    correct: Sequence[bool],
    groups: Sequence[str],
    tau: float = 1.0,
) -> NDArray[np.float64]:
    """(N,) from mean token log-probabilities; NaN for a wrong rollout without a teacher's.

    >>> scope_weights([-1.0, -2.0, -3.0], [0.0, 0.0, None], [True, True, False], ["a"] * 3, tau=float("inf"))
    array([ 1.,  1., nan])
    """
    if not tau > 0:
        raise InputError(f"scope: got tau={tau}, expected a number above 0.")
    signal = [
        -s if c else np.nan if t is None else t for s, t, c in zip(student, teacher, correct, strict=True)
    ]
    out = np.full(len(signal), np.nan)
    for key in dict.fromkeys(zip(groups, correct, strict=True)):
        mine = [
            i for i, k in enumerate(zip(groups, correct, strict=True)) if k == key and not np.isnan(signal[i])
        ]
        if mine:
            z = np.array([signal[i] for i in mine]) / tau
            e = np.exp(z - z.max())
            out[mine] = len(mine) * e / e.sum()
    return out


def scope_rows(
    items: Sequence[Item], student: Sequence[Logps], teacher: Sequence[Logps], tau: float = 1.0
) -> list[Row]:
    """Rows for one update of `train_supervised`; items without an outcome give none. The student's log-probabilities
    must be those of the weights that are updated."""
    known = [
        k
        for k, x in enumerate(items)
        if x.outcome is not None and student[k] and x.trace.token_ids is not None and x.rollout.mask.any()
    ]
    masks = {k: items[k].rollout.mask for k in known}
    means = [float(np.mean(np.array(student[k])[masks[k]])) for k in known]
    taught = [None if not (t := teacher[k]) else float(np.mean(np.array(t)[masks[k]])) for k in known]
    right = [(items[k].outcome or 0.0) >= 1 for k in known]
    weights = scope_weights(means, taught, right, [items[k].group for k in known], tau)
    rows = []
    for k, w, good in zip(known, weights, right, strict=True):
        own, other, item = student[k] or (), teacher[k] or (), items[k]
        if good:
            rows.append(token_row(item.trace, [w] * len(own), masks[k].tolist(), RIGHT))
        elif not np.isnan(w):
            gaps = [w * (t - s) for s, t in zip(own, other, strict=True)]
            rows.append(token_row(item.trace, gaps, masks[k].tolist(), WRONG))
    return rows


def scope_loss(logps: Tensor, teacher: Tensor, weights: Tensor, correct: Tensor, mask: Tensor) -> Tensor:
    """The same on tensors: `logps`, `teacher`, `mask` (B, L), `weights`, `correct` (B,)."""
    right = correct.bool().unsqueeze(1) & mask.bool()
    wrong = ~correct.bool().unsqueeze(1) & mask.bool()
    w = torch.nan_to_num(weights).unsqueeze(1)
    gap = (teacher - logps).detach()
    return weighted_nll(logps, w, right) + weighted_nll(logps, w * gap, wrong)
