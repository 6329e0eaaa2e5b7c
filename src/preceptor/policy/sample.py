"""Whole traces from bare problems, and traces from continuations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from preceptor.generation import Continuation, Policy, Request, Sampling
from preceptor.progress import Progress, silent
from preceptor.store.rollouts import complete
from preceptor.trace import Finish, Grade, Problem, Step, Trace, Verdict

if TYPE_CHECKING:
    from preceptor.store import Store

UNIT = 512
"""Traces sampled, and stored, at a time."""


def sample(
    policy: Policy,
    problems: Sequence[Problem],
    samples: int = 8,
    seed: int = 0,
    sampling: Sampling | None = None,
    store: Store | None = None,
    progress: Progress = silent,
) -> list[Trace]:
    """`samples` graded traces per problem, problem by problem.

    With a store, draws that it already holds are read instead of sampled. A draw that failed is a trace
    with `Finish.ERROR`, its error, and an undecided grade.
    """
    if samples < 1:
        raise ValueError(f"samples: got {samples}, expected a number >= 1")
    sampling = sampling or Sampling()
    requests = [
        Request(problem, draw=draw, seed=seed, sampling=sampling)
        for problem in problems
        for draw in range(samples)
    ]
    answers = complete(policy, requests, store, unit=UNIT, progress=progress)
    traces = [
        trace_of(r.problem, a, policy=policy.fingerprint, seed=seed, draw=r.draw)
        for r, a in zip(requests, answers, strict=True)
    ]
    correct = sum(t.grade is not None and t.grade.correct for t in traces)
    progress(len(requests), len(requests), f"correct {correct}/{len(traces)}")
    return traces


def trace_of(
    problem: Problem,
    continuation: Continuation,
    prefix: str = "",
    *,
    earlier: Trace | None = None,
    policy: str = "",
    seed: int | None = None,
    draw: int | None = None,
) -> Trace:
    """The trace of `prefix` and its continuation, cut into steps and graded.

    `earlier` is the trace that the prefix was taken from: it becomes the parent, and gives the prefix's
    tokens. Token fields are None unless they are known for the whole text.
    """
    from preceptor.grade import grade
    from preceptor.segment import segment

    parent = None if earlier is None else earlier.id
    if continuation.error is not None or continuation.finish is Finish.ERROR:
        why = "backend error" if continuation.error is None else continuation.error.kind
        return Trace(
            problem,
            prefix,
            (Step(0, len(prefix)),) if prefix else (),
            Finish.ERROR,
            Grade(Verdict.UNDECIDED, f"not sampled: {why}"),
            policy,
            seed,
            draw,
            parent=parent,
            usage=continuation.usage,
            error=continuation.error,
        )
    text = prefix + continuation.text
    ids, ends, logprobs = _tokens(continuation, prefix, earlier)
    return Trace(
        problem,
        text,
        tuple(segment(problem, text)),
        continuation.finish,
        grade(problem, text, finish=continuation.finish),
        policy,
        seed,
        draw,
        ids,
        ends,
        logprobs,
        parent,
        continuation.usage,
        sampled=_sampled(len(ids or ()), len(continuation.token_ids or ()), earlier),
    )


def tokens_until(trace: Trace, end: int) -> int | None:
    """How many sampled tokens of `trace` make up its first `end` characters; None if a token straddles
    `end` or ids are unknown. The fewest such tokens: neither an end-of-text token nor the first bytes of
    the next character belong to the text before."""
    if end == 0:
        return 0
    if trace.token_ids is None or trace.token_ends is None:
        return None
    for k, at in enumerate(trace.token_ends):
        if at >= end:
            return k + 1 if at == end else None
    return None


_Fields = tuple[tuple[int, ...] | None, tuple[int, ...] | None, tuple[float, ...] | None]


def _sampled(length: int, own: int, earlier: Trace | None) -> tuple[bool, ...] | None:
    """An environment's tokens in the prefix stay marked; the last `own` of `length` tokens are the continuation's."""
    if earlier is None or earlier.sampled is None or length <= own:
        return None
    return (*earlier.sampled[: length - own], *(True,) * own)


def _tokens(continuation: Continuation, prefix: str, earlier: Trace | None) -> _Fields:
    """Ids, ends and log-probabilities of prefix and continuation; each None unless complete."""
    ids, ends, logprobs = continuation.token_ids, continuation.token_ends, continuation.logprobs
    if not prefix:
        return ids, ends, logprobs
    if earlier is None or not earlier.text.startswith(prefix):
        return None, None, None
    count = tokens_until(earlier, len(prefix))
    if count is None or ids is None or ends is None:
        return None, None, None
    if earlier.token_ids is None or earlier.token_ends is None:
        return None, None, None
    all_ids = (*earlier.token_ids[:count], *ids)
    all_ends = (*earlier.token_ends[:count], *(len(prefix) + e for e in ends))
    if earlier.logprobs is None or logprobs is None:
        return all_ids, all_ends, None
    return all_ids, all_ends, (*earlier.logprobs[:count], *logprobs)
