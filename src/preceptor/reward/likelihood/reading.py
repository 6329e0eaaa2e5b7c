"""What every likelihood scorer needs: one checked, deduplicated call of a reader, and which tokens are whose.

A token belongs to the step it ends in. Where steps end among the tokens is found by character offsets in one
encoding of the whole text, so cutting a trace into more or fewer steps moves no token over a boundary they
share (the published boundary trap renders every prefix anew). Tokens that only begin a character belong with
the one that completes it; an end-of-text token belongs to no step.

What an environment answered to a step (`Step.observation`) stands in the text that is read, directly behind
its step, and in no step's tokens.
"""

from __future__ import annotations

import math
import time
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

from preceptor.errors import BackendError, ItemError
from preceptor.generation import Likelihood, Reader, Request
from preceptor.judgement import Judgement, Scorer
from preceptor.trace import Trace
from preceptor.usage import Ledger, Usage

NO_STEPS = ItemError("no-steps", "the trace has no steps")


@dataclass(frozen=True)
class Layout:
    """The text as a model saw it, observations included, and where each step stands in it."""

    text: str
    spans: tuple[tuple[int, int], ...]
    """Per step: start and end in `text`, without its observation."""


def layout(trace: Trace) -> Layout:
    text, spans = "", []
    for step, own in zip(trace.steps, trace.step_texts, strict=True):
        spans.append((len(text), len(text) + len(own)))
        text += own + (step.observation or "")
    return Layout(text, tuple(spans))


def shown(trace: Trace, t: int) -> str:
    """What stands behind the prompt after `t` steps, observations included."""
    parts = zip(trace.steps[:t], trace.step_texts[:t], strict=True)
    return "".join(own + (step.observation or "") for step, own in parts)


def tokens_before(token_ends: Sequence[int], end: int) -> int:
    """How many tokens make up the first `end` characters: the fewest that do; a token that goes on beyond
    `end` is not one of them."""
    if end <= 0:
        return 0
    at = bisect_left(token_ends, end)
    return at + 1 if at < len(token_ends) and token_ends[at] == end else at


def step_tokens(token_ends: Sequence[int], spans: Sequence[tuple[int, int]]) -> list[slice]:
    """The tokens of each `[start, end)` in characters; an empty slice where no token ends in it."""
    return [slice(tokens_before(token_ends, a), tokens_before(token_ends, b)) for a, b in spans]


def span_tokens(token_ends: Sequence[int], start: int, end: int) -> slice:
    """Tokens that touch `[start, end)`: from the first that ends behind `start` to the last that begins
    before `end`."""
    first = bisect_right(token_ends, start)
    last = bisect_left(token_ends, end)
    return slice(first, min(last + 1, len(token_ends)) if end > start else first)


def read(reader: Reader, requests: Sequence[Request], texts: Sequence[str]) -> list[Likelihood]:
    """`reader.likelihood` with equal questions asked once; the first asker pays, the others reuse.

    Empty texts are not sent: their likelihood has no tokens. BackendError when the reader does not answer
    in order.
    """
    first: dict[tuple[Request, str], int] = {}
    for k, (request, text) in enumerate(zip(requests, texts, strict=True)):
        if text:
            first.setdefault((request, text), k)
    asked = list(first)
    begin = time.perf_counter()
    answers = reader.likelihood([r for r, _ in asked], [x for _, x in asked]) if asked else []
    share = (time.perf_counter() - begin) / max(1, len(asked))
    if len(answers) != len(asked):
        raise BackendError(f"likelihood: got {len(answers)} answers, expected one for each of {len(asked)}")
    found = dict(zip(asked, answers, strict=True))
    out = []
    for k, (request, text) in enumerate(zip(requests, texts, strict=True)):
        if not text:
            out.append(Likelihood(entropies=()))
            continue
        answer = found[request, text]
        usage = answer.usage if answer.usage.seconds else replace(answer.usage, seconds=share)
        if first[request, text] != k:
            usage = Usage(reused=usage.scored + usage.prefilled + usage.reused, calls=usage.calls)
        out.append(replace(answer, usage=usage))
    return out


def written_by(trace: Trace, reader: Reader) -> bool:
    """Whether the trace carries this very reader's log-probability of each of its tokens."""
    known = trace.logprobs is not None and trace.token_ends is not None and trace.token_ids is not None
    return known and trace.policy == reader.fingerprint


def stored(trace: Trace) -> Likelihood:
    """The log-probabilities a trace carries, at temperature 1; no pass is computed. Offsets are those of its
    `layout`."""
    ends = trace.token_ends or ()
    if any(s.observation for s in trace.steps):
        spans, bounds = layout(trace).spans, [s.end for s in trace.steps]
        owners = [bisect_left(bounds, end) for end in ends]
        ends = tuple(spans[t][0] + end - trace.steps[t].start for t, end in zip(owners, ends, strict=True))
    return Likelihood(
        trace.token_ids or (),
        ends,
        trace.logprobs or (),
        usage=Usage(reused=len(trace.token_ids or ()), calls=1),
    )


def whole_texts(reader: Reader | None, traces: Sequence[Trace], *, fresh: bool = False) -> list[Likelihood]:
    """The likelihood of every trace's text after its prompt: stored where this reader wrote it (unless
    `fresh`), else one pass. Without a reader: stored, or the error `"no-logprobs"`."""
    out: list[Likelihood | None] = [None] * len(traces)
    ask: list[int] = []
    for k, trace in enumerate(traces):
        if reader is None:
            if trace.logprobs is None or trace.token_ends is None:
                why = "the trace has no log-probabilities: give a reader, or sample with a local policy"
                out[k] = Likelihood(error=ItemError("no-logprobs", why))
            else:
                out[k] = stored(trace)
        elif not fresh and written_by(trace, reader):
            out[k] = stored(trace)
        else:
            ask.append(k)
    if reader is not None:
        answers = read(
            reader, [Request(traces[k].problem) for k in ask], [layout(traces[k]).text for k in ask]
        )
        for k, answer in zip(ask, answers, strict=True):
            out[k] = answer
    return [answer for answer in out if answer is not None]


def judged(
    scorer: Scorer,
    trace: Trace,
    scores: Sequence[float | None] | None,
    usage: Usage,
    *,
    flags: tuple[str, ...] = (),
    error: ItemError | None = None,
    first_error: int | None = None,
) -> Judgement:
    """A judgement in which a score that is no finite number is None and `error` names its step."""
    if scores is not None:
        broken = [t for t, s in enumerate(scores) if s is not None and not math.isfinite(s)]
        if broken:
            error = ItemError("not-finite", f"steps {broken[:5]} hold a token of probability zero or NaN")
            scores = [None if t in broken else s for t, s in enumerate(scores)]
        if error is not None and all(s is None for s in scores):
            scores = None
    return Judgement(
        trace=trace.id,
        question=scorer.question,
        source=scorer.source,
        scores=None if scores is None else tuple(scores),
        first_error=first_error,
        flags=flags,
        usage=Ledger(scorer=usage),
        error=error,
    )


def on_last(trace: Trace, score: float, place: str = "last") -> tuple[float | None, ...]:
    """A solution's score as step scores: on the last step and nowhere else, or (`"all"`) on every step."""
    steps = len(trace.steps)
    return (score,) * steps if place == "all" else (*(None,) * (steps - 1), score)
