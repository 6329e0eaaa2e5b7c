"""The seam between training and generation: problems in, graded traces out, with what they cost.

Everything a trainer trains on is sampled here and nowhere else, by the policy's own engine, so prompts are
rendered, texts are cut and answers are graded exactly as they are when the policy is used. The ids in a
trace are the sampled ones; nothing is encoded again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from preceptor.credit import Rollout
from preceptor.errors import InputError, MissingExtra
from preceptor.generation import Continuation, Request, Sampling
from preceptor.policy.engine_text import text_of
from preceptor.policy.render import prompt_ids
from preceptor.policy.sample import trace_of
from preceptor.trace import Finish, Problem, Trace, stream_seed
from preceptor.usage import Usage

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


Engine = Callable[[list[list[int]]], Sequence[tuple[list[int], list[float]]]]
"""Prompts as ids -> sampled ids and their log-probabilities, one pair a prompt, in order."""


class TrainablePolicy(Protocol):
    """A policy whose model is at hand; `preceptor.policy.TransformersPolicy` is one."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase

    @property
    def fingerprint(self) -> str: ...

    def generate(self, requests: Sequence[Request]) -> list[Continuation]: ...

    def refresh(self) -> None: ...


def needs_trl(feature: str) -> None:
    """MissingExtra for `feature` without the extra `rl`."""
    try:
        import trl  # noqa: F401
    except ImportError as error:
        raise MissingExtra(feature, "rl") from error


def trainable(policy: str | Path | TrainablePolicy) -> TrainablePolicy:
    """What `load_policy` takes, loaded in full precision, or a loaded policy as it is. InputError where no weights
    are at hand."""
    found: Any = policy
    if isinstance(policy, str | Path):
        from preceptor.policy.load import load_policy

        options = {} if str(policy).startswith("openai:") else {"dtype": "float32"}
        found = load_policy(str(policy), **options)
    if not hasattr(found, "model") or not hasattr(found, "tokenizer"):
        raise InputError(
            f"policy: got a {type(found).__name__} without weights at hand, expected a Hugging Face directory or hub "
            "id, world:NAME, or a TransformersPolicy: a server's model cannot be trained from here."
        )
    loaded: TrainablePolicy = found
    return loaded


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

    def to_record(self) -> dict[str, Any]:
        return {**asdict(self), "by_problem": list(self.by_problem)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any] | None) -> Accuracy | None:
        return None if record is None else cls(**{**record, "by_problem": tuple(record["by_problem"])})


class RolloutSource:
    """Samples from the weights as they are now.

    The stream of a draw depends on (seed, purpose, round, problem, draw), so the same seed gives the same
    training data whatever the batch is split into. `usage` and `seconds` add up over the source's life.
    """

    observes: ClassVar[bool] = False
    """Its traces may hold what an environment wrote (`Trace.sampled`)."""

    def __init__(self, policy: TrainablePolicy, sampling: Sampling, seed: int):
        self.policy, self.sampling, self.seed = policy, sampling, seed
        self.usage = Usage()
        self.seconds: dict[str, float] = {"generation": 0.0, "grading": 0.0}
        self.name = policy.fingerprint
        self._prompt_ids = lru_cache(maxsize=4096)(lambda p: prompt_ids(policy.tokenizer, p))

    def prompt_ids(self, problem: Problem) -> list[int]:
        return list(self._prompt_ids(problem))

    def trained(self, rollout: Rollout) -> Rollout:
        """What credit is told of a sample of this source."""
        return rollout

    def traces(
        self,
        problems: Sequence[Problem],
        draws: Sequence[int],
        purpose: str,
        round_: int,
        sampling: Sampling | None = None,
        engine: Engine | None = None,
    ) -> list[Trace]:
        """One graded trace per (problem, draw), in order, in one batched call.

        `engine`: who samples instead of the policy itself; it must hold the same weights.
        """
        began = time.perf_counter()
        self.policy.refresh()
        seed, writer = self._stream(purpose, round_)
        requests = [
            Request(p, draw=d, seed=seed, sampling=sampling or self.sampling)
            for p, d in zip(problems, draws, strict=True)
        ]
        answers = self.policy.generate(requests) if engine is None else self._elsewhere(requests, engine)
        sampled = time.perf_counter()
        traces = [
            trace_of(r.problem, a, policy=writer, seed=seed, draw=r.draw)
            for r, a in zip(requests, answers, strict=True)
        ]
        for trace in traces:
            self.usage += trace.usage
        self.seconds["generation"] += sampled - began
        self.seconds["grading"] += time.perf_counter() - sampled
        return traces

    def _stream(self, purpose: str, round_: int) -> tuple[int, str]:
        """Seed and writer of what is sampled for a purpose in a round."""
        return stream_seed(self.seed, purpose, round_), f"{self.name}@{purpose}-{round_}"

    def _elsewhere(self, requests: Sequence[Request], engine: Engine) -> list[Continuation]:
        prompts = [self.prompt_ids(r.problem) for r in requests]
        text = text_of(self.policy.tokenizer)
        last = {self.policy.tokenizer.eos_token_id, *getattr(self.policy, "eos_ids", ())}
        answers = []
        for prompt, (ids, logprobs) in zip(prompts, engine(prompts), strict=True):
            stopped = bool(ids) and ids[-1] in last
            written, ends = text.decode(ids[:-1] if stopped else ids, prompt)
            answers.append(
                Continuation(
                    written,
                    Finish.STOP if stopped else Finish.LENGTH,
                    tuple(ids),
                    (*ends, len(written)) if stopped else tuple(ends),
                    tuple(logprobs),
                    Usage(generated=len(ids), prefilled=len(prompt), calls=1),
                )
            )
        return answers

    def accuracy(
        self,
        problems: Sequence[Problem],
        samples: int = 0,
        share: tuple[int, int] = (0, 1),
        gather: Callable[[list[Any]], list[Any]] = list,
    ) -> Accuracy:
        """Greedy when `samples` is 0, else that many draws a problem. The draws are the same every time.

        `share` (i, n) and `gather`: this is process i of n, which measures its part and hears of the rest.
        """
        sampling = self.sampling if samples else replace(self.sampling, temperature=0.0)
        asked = [(k, p, d) for k, p in enumerate(problems) for d in range(samples or 1)]
        mine = asked[slice(share[0], None, share[1])]
        traces = self.traces([p for _, p, _ in mine], [d for _, _, d in mine], "held-out", 0, sampling)
        verdicts = [
            (k, d, t.grade.correct if t.grade is not None and t.grade.decided else None)
            for (k, _, d), t in zip(mine, traces, strict=True)
        ]
        own: dict[int, list[bool]] = {}
        for k, _, correct in sorted(gather(verdicts), key=lambda v: v[:2]):
            if correct is not None:
                own.setdefault(k, []).append(correct)
        decided = sum(map(len, own.values()))
        shares = tuple(sum(x) / len(x) for x in own.values())
        return Accuracy(sum(map(sum, own.values())), len(asked) - decided, len(asked), shares)
