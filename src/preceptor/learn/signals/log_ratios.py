"""Token log-ratios: an implicit reward model over its reference, or a teacher over the student.

x_l = log p(o_l) - log p_ref(o_l) for every sampled token, in `Signals.tokens`, and their sums over steps as scores.
`reference` None: the log-probabilities that the trace carries, which are the sampling policy's at temperature 1 (the
student). A trained, frozen implicit reward model; for one that learns along see `learn.online`.

A local model reads the sampled ids as they are, behind its own rendering of the prompt. Any other reader gets the text,
and its tokens must be the sampled ones: else the trace has no ratios. Such a reader cannot be asked for the end of
text: that token is NaN, "absent".

Cost: one forward pass a trace of each model that is asked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from preceptor.credit import Signals, rollout_of
from preceptor.errors import InputError, ItemError
from preceptor.generation import Reader, Request
from preceptor.judgement import Question
from preceptor.learn.signals.base import Producer, Row
from preceptor.reward.likelihood.reading import read
from preceptor.trace import Trace
from preceptor.usage import Usage


class Tokens(NamedTuple):
    """One trace as a model reads it: a number for every sampled token, or why not."""

    logps: tuple[float, ...] | None
    usage: Usage = Usage()
    error: ItemError | None = None


@dataclass(eq=False)
class LogRatios(Producer):
    name: ClassVar[str] = "log-ratios"
    gives: ClassVar[frozenset[str]] = frozenset({"tokens", "scores"})
    question: ClassVar[Question] = Question.PROGRESS

    model: Reader
    """The implicit reward model, or the teacher."""
    reference: Reader | None = None

    def __post_init__(self) -> None:
        own, other = (getattr(r, "tokenizer", None) for r in (self.model, self.reference))
        if own is not None and other is not None and own.get_vocab() != other.get_vocab():
            raise InputError("log-ratios: got two models with different vocabularies, expected the same.")

    def signals(self, traces: Sequence[Trace]) -> Signals:
        self.begin()
        own = token_logprobs(self.model, traces)
        other = carried(traces) if self.reference is None else token_logprobs(self.reference, traces)
        rows = [self._ratio(t, a, b) for t, a, b in zip(traces, own, other, strict=True)]
        return Signals(
            scores=tuple(_sums(t, row) for t, row in zip(traces, rows, strict=True)),
            question=self.question,
            tokens=tuple(rows),
        )

    def _ratio(self, trace: Trace, own: Tokens, other: Tokens) -> tuple[float, ...] | None:
        self.pay((own.usage, other.usage))
        ids = trace.token_ids or ()
        error = own.error or other.error
        if error is None and not len(own.logps or ()) == len(other.logps or ()) == len(ids):
            error = ItemError(
                "tokens-differ", f"got {len(own.logps or ())} and {len(other.logps or ())} of {len(ids)}"
            )
        if error is not None or own.logps is None or other.logps is None:
            self.failed["no-tokens" if error is None else error.kind] += 1
            return None
        gaps = [a - b for a, b in zip(own.logps, other.logps, strict=True)]
        return tuple(g if math.isfinite(g) else math.nan for g in gaps)


def token_logprobs(reader: Reader, traces: Sequence[Trace]) -> list[Tokens]:
    """One a trace, in order, from one batched call."""
    ask = [k for k, t in enumerate(traces) if t.error is None and t.token_ids]
    found = (_local if hasattr(reader, "engine") else _by_text)(reader, [traces[k] for k in ask])
    answers = dict(zip(ask, found, strict=True))
    return [answers.get(k) or Tokens(None, error=_no_tokens(t)) for k, t in enumerate(traces)]


def carried(traces: Sequence[Trace]) -> list[Tokens]:
    """The log-probabilities the traces were sampled with."""
    missing = ItemError(
        "no-logprobs", "the trace carries none: give a reference, or sample with a local policy"
    )
    return [
        Tokens(t.logprobs, error=_no_tokens(t) if not t.token_ids else None if t.logprobs else missing)
        for t in traces
    ]


def _local(policy: Any, traces: Sequence[Trace]) -> list[Tokens]:
    before = [policy.prefix(Request(t.problem)) for t in traces]
    context = policy.engine.context
    fits = [
        bool(p) and (context is None or len(p) + len(t.token_ids or ()) <= context)
        for p, t in zip(before, traces)
    ]
    live = [(p, t.token_ids or ()) for p, t, fine in zip(before, traces, fits) if fine]
    reads, cost = policy.reader.read(
        [(*p, *ids) for p, ids in live],
        [range(len(p) - 1, len(p) + len(ids) - 1) for p, ids in live],
        [[[i] for i in ids] for _, ids in live],
    )
    found = iter(zip(reads, cost.computed, cost.reused, strict=True))
    out = []
    for fine in fits:
        if not fine:
            out.append(Tokens(None, error=ItemError("too-long", f"the model's context is {context} tokens")))
            continue
        one, computed, reused = next(found)
        out.append(Tokens(tuple(one.logprobs[:, 0].tolist()), Usage(scored=computed, reused=reused, calls=1)))
    return out


def _by_text(reader: Reader, traces: Sequence[Trace]) -> list[Tokens]:
    out = []
    for trace, x in zip(
        traces, read(reader, [Request(t.problem) for t in traces], [t.text for t in traces]), strict=True
    ):
        ids = trace.token_ids or ()
        closes = len(ids) == len(x.token_ids) + 1  # by the end of text
        if x.error is not None:
            out.append(Tokens(None, x.usage, x.error))
        elif x.token_ids == ids or (closes and x.token_ids == ids[:-1]):
            out.append(Tokens((*x.logprobs, *[math.nan] * closes), x.usage))
        else:
            differ = ItemError(
                "tokens-differ", f"the reader has {len(x.token_ids)} tokens, the trace {len(ids)}"
            )
            out.append(Tokens(None, x.usage, differ))
    return out


def _no_tokens(trace: Trace) -> ItemError:
    return trace.error or ItemError("no-tokens", "the trace has no sampled token ids")


def _sums(trace: Trace, row: tuple[float, ...] | None) -> Row:
    if row is None:
        return None
    sums = [math.fsum(x for x in row[a:b] if not math.isnan(x)) for a, b in rollout_of(trace).spans]
    return tuple(sums)
