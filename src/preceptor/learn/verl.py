"""The methods of `preceptor.credit` as advantage estimators of verl, and a reward function for it.

    from preceptor.learn import verl
    verl.register()                # then: algorithm.adv_estimator=preceptor_rloo, preceptor_pure_marked, ...

verl calls an estimator with `token_level_rewards (bs, L)`, `response_mask (bs, L)` (1: sampled by the policy),
`config` and `index` (the prompts' uids), and with nothing else; its own estimators of groups sum the rewards of a
row first. All that a method reads must therefore lie in that one tensor. Two layouts:

- `preceptor_NAME`: rewards of turns as environments give them. A turn is a run of 1 in `response_mask`; the
  sum of a turn's rewards is its score, that of the last turn the outcome (and a score, for methods
  without an outcome);
- `preceptor_NAME_marked`: what `pack` wrote, for steps inside one turn. Scores stand at the steps' last
  tokens, shifted by `MARK` so that a score of 0 is not lost; the outcome at the first token that ends no step.
  Sums of such rewards in verl's own metrics mean nothing, and a KL penalty in the reward destroys them: use
  a KL loss.

What cannot be expressed there: a rollout that is not trained on gets advantage 0 but stays in the loss's
denominator; clip ranges a token; an outcome nobody could decide, with the first layout (`compute_score` says 0
and `undecided` 1); token scores beside an outcome; answers, tree nodes, critiques, named numbers; steps without a
token of their own; of a response in which every token ends a step, the first step.
Registered are the methods that read outcomes and step scores alone. Tested on tensors of verl's shapes, not
inside verl.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preceptor.credit import METHODS, CreditConfig, Rollout, Signals, compute
from preceptor.errors import InputError
from preceptor.grade import grade
from preceptor.judgement import Question
from preceptor.trace import Finish, Problem

MARK = 8.0
"""Added to a score; scores must lie in (-4, 4). Twice this: a step that was not judged."""
_UNDECIDED = -2 * MARK

Floats = NDArray[np.float32]
Estimator = Callable[..., tuple[Any, Any]]


def register(question: Question = Question.VALUE) -> list[str]:
    """Make the methods known to verl; the names. `question`: what the step scores answer."""
    try:
        from verl.trainer.ppo.core_algos import register_adv_est
    except ImportError as error:
        raise InputError(
            "verl: got no such package, expected verl.trainer.ppo.core_algos. verl is no extra of this package: "
            "install it as its own documentation says."
        ) from error
    known = {
        _name(name, marked): estimator(METHODS[name], marked, question) for name, marked in registrable()
    }
    for name, function in known.items():
        register_adv_est(name)(function)
    return list(known)


def registrable() -> list[tuple[str, bool]]:
    """(method, layout is `marked`) of what is registered; an outcome alone needs no marks."""
    found = [
        (name, credit.needs) for name, credit in METHODS.items() if credit.needs <= {"outcome", "scores"}
    ]
    return [
        (name, marked) for name, needs in found for marked in (False, True) if "scores" in needs or not marked
    ]


@cache  # verl refuses to register another function under a known name
def estimator(credit: CreditConfig, marked: bool = False, question: Question = Question.VALUE) -> Estimator:
    """`(token_level_rewards, response_mask, index) -> (advantages, returns)`, `(bs, L)` each.

    There is no critic, so returns are the advantages."""

    def advantages(
        token_level_rewards: Any, response_mask: Any, index: Any = None, **_: Any
    ) -> tuple[Any, Any]:
        import torch

        if index is None:
            raise InputError("index: got none, expected the prompts' uids: without them there are no groups.")
        rewards = token_level_rewards.detach().float().cpu().numpy()
        mask = response_mask.detach().cpu().numpy() > 0
        read = unpack if marked else turns
        rollouts, signals = read(rewards, mask, [str(i) for i in index], credit, question)
        batch = compute(rollouts, signals, credit)
        out = np.zeros(rewards.shape, dtype=np.float32)
        for i, (a, w) in enumerate(zip(batch.advantages, batch.token_weights, strict=True)):
            out[i, : len(a)] = a * w
        found = torch.from_numpy(out).to(token_level_rewards)
        return found, found.clone()

    return advantages


def turns(
    rewards: Floats, mask: NDArray[np.bool_], index: Sequence[str], credit: CreditConfig, question: Question
) -> tuple[list[Rollout], Signals]:
    """Steps are the runs of 1 in the mask, each with the observation behind it; see the module."""
    rollouts, scores = [], list[tuple[float | None, ...] | None]()
    for reward, own, prompt in zip(rewards, mask, index, strict=True):
        size = int(np.flatnonzero(own).max(initial=-1)) + 1
        starts = [t for t in range(size) if own[t] and (t == 0 or not own[t - 1])]
        spans = tuple(zip([0, *starts[1:]], [*starts[1:], size], strict=True)) if starts else ()
        # verl puts the score at the last token of a response, which may be an observation's
        edges = [*(a for a, _ in spans), len(reward)]
        sums = [float(reward[a:b].sum()) for a, b in pairwise(edges)]
        rollouts.append(_rollout(prompt, own[:size], sums[-1] if sums else None, spans))
        scores.append((*sums[:-1], None) if sums and "outcome" in credit.needs else tuple(sums))
    return rollouts, Signals(tuple(scores), question)


def pack(rollouts: Sequence[Rollout], signals: Signals, width: int) -> Floats:
    """`(N, width)`: outcomes and step scores in one tensor, for a reward manager to return."""
    out = np.zeros((len(rollouts), width), dtype=np.float32)
    given = signals.scores or (None,) * len(rollouts)
    for row, rollout, scores in zip(out, rollouts, given, strict=True):
        if rollout.length > width:
            raise InputError(f"width: got {width}, expected room for a response of {rollout.length} tokens.")
        for (a, b), score in zip(rollout.spans, scores or (None,) * len(rollout.spans), strict=True):
            if score is not None and not -MARK / 2 < score < MARK / 2:
                raise InputError(
                    f"score: got {score}, expected one in (-{MARK / 2:g}, {MARK / 2:g}). Scale scores before packing."
                )
            if b > a:
                row[b - 1] = 2 * MARK if score is None else MARK + score
        free = np.flatnonzero(row[: rollout.length] == 0)
        at = int(free[0]) if len(free) else 0
        if rollout.length:
            row[at] = _UNDECIDED if rollout.outcome is None else rollout.outcome
    return out


def unpack(
    rewards: Floats, mask: NDArray[np.bool_], index: Sequence[str], credit: CreditConfig, question: Question
) -> tuple[list[Rollout], Signals]:
    """What `pack` was given, as far as it can be expressed."""
    rollouts, scores = [], list[tuple[float | None, ...] | None]()
    for reward, own, prompt in zip(rewards, mask, index, strict=True):
        size = int(np.flatnonzero(own).max(initial=-1)) + 1
        row = reward[:size]
        ends = np.flatnonzero(row > MARK / 2)
        free = np.flatnonzero(row <= MARK / 2)
        value = float(row[free[0]]) if len(free) else None
        outcome = None if value is None or value == _UNDECIDED else value
        edges = [0, *(int(e) + 1 for e in ends[:-1]), size]
        spans = tuple(pairwise(edges)) if len(ends) else ()
        rollouts.append(_rollout(prompt, own[:size], outcome, spans))
        scores.append(tuple(None if row[e] > 1.75 * MARK else float(row[e] - MARK) for e in ends))
    return rollouts, Signals(tuple(scores), question)


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str | None,
    extra_info: Mapping[str, Any] | None = None,
    **_: Any,
) -> dict[str, Any]:
    """verl's `custom_reward_function`: graded as everywhere here. `extra_info["grader"]`: the grader's name."""
    about = extra_info or {}
    problem = Problem(str(about.get("question", "")), ground_truth, grader=str(about.get("grader", "math")))
    found = grade(problem, solution_str, finish=Finish.STOP)
    return {
        "score": float(found.correct),
        "undecided": float(not found.decided),
        "answer": found.answer or "",
        "reason": found.reason,
    }


def _rollout(
    prompt: str, own: NDArray[np.bool_], outcome: float | None, spans: tuple[tuple[int, int], ...]
) -> Rollout:
    return Rollout(prompt, len(own), outcome, spans, tuple(bool(x) for x in own))


def _name(method: str, marked: bool) -> str:
    return f"preceptor_{method}_marked" if marked else f"preceptor_{method}"
