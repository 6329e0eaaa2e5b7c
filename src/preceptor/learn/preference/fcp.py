"""FCP (feedback-conditional policy): maximum likelihood of answers given the problem and a critique of them.

Offline: the critique of an answer stands in its prompt, and the answer is learned as it is, right or wrong, with
weight 1. Online: answers are sampled under a positive condition and critiqued afresh, and all of them are learned
under their fresh critiques. At test time the positive condition asks for good answers. Loss: `nll`, a token mean.

Published: 4 rollouts, batch 64, lr 1e-6, no KL, 4096 tokens. The delimiter is ours; a critique that contains it has
it taken out, or an answer's author could end the critique early.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from preceptor.errors import InputError
from preceptor.generation import Policy, Sampling
from preceptor.learn.preference.records import Attempt, Built, Piece
from preceptor.learn.preference.scoring import observed
from preceptor.policy.sample import sample
from preceptor.store import Store
from preceptor.trace import Problem, Trace

OPEN, CLOSE = "<feedback>", "</feedback>"
POSITIVE = "Correct and clear."
Critic = Callable[[Sequence[Trace]], Sequence[str | None]]
"""A critique of each trace; None where there is none."""


def conditioned(problem: Problem, feedback: str) -> Problem:
    """The problem as asked of a policy that is to earn this feedback.

    >>> conditioned(Problem("2+2?"), "Correct.").prompt
    '2+2?\\n<feedback>Correct.</feedback>'
    """
    while (plain := feedback.replace(OPEN, "").replace(CLOSE, "")) != feedback:
        feedback = plain
    return replace(problem, prompt=f"{problem.prompt}\n{OPEN}{plain.strip()}{CLOSE}")


def fcp_attempts(traces: Sequence[Trace], feedback: Sequence[str | None]) -> Built[Attempt]:
    """Every trace under its own critique, each with weight 1."""
    if len(traces) != len(feedback):
        raise InputError(f"feedback: got {len(feedback)}, expected one for each of {len(traces)} traces")
    dropped: Counter[str] = Counter()
    records = []
    for trace, said in zip(traces, feedback, strict=True):
        if trace.error is not None or not trace.text:
            dropped["failed"] += 1
        elif observed(trace):
            dropped["observations"] += 1
        elif not (said or "").strip():
            dropped["no-feedback"] += 1
        else:
            problem = conditioned(trace.problem, said or "")
            meta = {"trace": trace.id}
            records.append(Attempt(problem, Piece(trace.text, trace.token_ids), meta=meta))
    return Built(tuple(records), dropped)


def fcp_round(
    policy: Policy,
    problems: Sequence[Problem],
    critic: Critic,
    *,
    positive: str = POSITIVE,
    samples: int = 4,
    sampling: Sampling | None = None,
    seed: int = 0,
    store: Store | None = None,
) -> Built[Attempt]:
    """One online round: sampled under the positive condition, critiqued as answers to the bare problem."""
    bare = {conditioned(p, positive).prompt: p for p in problems}
    asked = [conditioned(p, positive) for p in problems]
    traces = [
        replace(t, problem=bare[t.problem.prompt])
        for t in sample(policy, asked, samples, seed, sampling, store)
    ]
    return fcp_attempts(traces, critic(traces))
