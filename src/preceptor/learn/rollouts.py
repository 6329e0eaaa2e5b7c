"""The seam between training and generation: problems in, graded traces out, with what they cost.

Everything a trainer trains on is sampled here and nowhere else, by the policy's own engine, so prompts are
rendered, texts are cut and answers are graded exactly as they are when the policy is used. The ids in a
trace are the sampled ones; nothing is encoded again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from preceptor.generation import Continuation, Request, Sampling
from preceptor.policy.render import prompt_ids
from preceptor.policy.sample import trace_of
from preceptor.trace import Problem, Trace, stream_seed
from preceptor.usage import Usage

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class TrainablePolicy(Protocol):
    """A policy whose model is at hand; `preceptor.policy.TransformersPolicy` is one."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase

    @property
    def fingerprint(self) -> str: ...

    def generate(self, requests: Sequence[Request]) -> list[Continuation]: ...

    def refresh(self) -> None: ...


@dataclass(frozen=True)
class Accuracy:
    """Outcome of sampling `n` completions. Undecided ones are in neither part of the share."""

    correct: int
    undecided: int
    n: int
    by_problem: tuple[float, ...] = ()
    """Share of correct among the decided completions of each problem that has one: what intervals resample."""

    @property
    def share(self) -> float | None:
        decided = self.n - self.undecided
        return self.correct / decided if decided else None


class RolloutSource:
    """Samples from the weights as they are now.

    The stream of a draw depends on (seed, purpose, round, problem, draw), so the same seed gives the same
    training data whatever the batch is split into. `usage` and `seconds` add up over the source's life.
    """

    def __init__(self, policy: TrainablePolicy, sampling: Sampling, seed: int):
        self.policy, self.sampling, self.seed = policy, sampling, seed
        self.usage = Usage()
        self.seconds: dict[str, float] = {"generation": 0.0, "grading": 0.0}
        self.name = policy.fingerprint
        self._prompt_ids = lru_cache(maxsize=4096)(lambda p: prompt_ids(policy.tokenizer, p))

    def prompt_ids(self, problem: Problem) -> list[int]:
        return list(self._prompt_ids(problem))

    def traces(
        self,
        problems: Sequence[Problem],
        draws: Sequence[int],
        purpose: str,
        round_: int,
        sampling: Sampling | None = None,
    ) -> list[Trace]:
        """One graded trace per (problem, draw), in order, in one batched call."""
        began = time.perf_counter()
        self.policy.refresh()
        seed = stream_seed(self.seed, purpose, round_)
        requests = [
            Request(p, draw=d, seed=seed, sampling=sampling or self.sampling)
            for p, d in zip(problems, draws, strict=True)
        ]
        answers = self.policy.generate(requests)
        sampled = time.perf_counter()
        writer = f"{self.name}@{purpose}-{round_}"
        traces = [
            trace_of(r.problem, a, policy=writer, seed=seed, draw=r.draw)
            for r, a in zip(requests, answers, strict=True)
        ]
        for trace in traces:
            self.usage += trace.usage
        self.seconds["generation"] += sampled - began
        self.seconds["grading"] += time.perf_counter() - sampled
        return traces

    def accuracy(self, problems: Sequence[Problem], samples: int = 0) -> Accuracy:
        """Greedy when `samples` is 0, else that many draws a problem. The draws are the same every time."""
        sampling = self.sampling if samples else replace(self.sampling, temperature=0.0)
        draws = range(samples or 1)
        asked = [(p, d) for p in problems for d in draws]
        traces = self.traces([p for p, _ in asked], [d for _, d in asked], "held-out", 0, sampling)
        own: dict[str, list[bool]] = {}
        for trace in traces:
            if trace.grade is not None and trace.grade.decided:
                own.setdefault(trace.problem.id, []).append(trace.grade.correct)
        decided = sum(map(len, own.values()))
        shares = tuple(sum(x) / len(x) for x in own.values())
        return Accuracy(sum(map(sum, own.values())), len(traces) - decided, len(traces), shares)
