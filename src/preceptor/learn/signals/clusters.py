"""SIOP: the answers of a group as its own references, and how much each prefix supports them (abstract index 142).

Answers of one problem that say the same are a cluster: equal canonical forms, or, with a `relation` (an NLI model),
mutual entailment. A trace's references are up to `references` distinct answers of its own cluster, as written;
`p_t`, the mean over them of exp(mean log p), is the score of step t and `p_0`, on the prompt alone, the start.
`reliability`: the mean entailment of the references' first by the trace's observations (each cut to 2,000
characters), None without an entailment model or observation. The cluster's weight q_c is the method's to compute, from
`Rollout.answer`: equal strings are one cluster. `clusters(traces)` has the strings, `weights` the q_c.

A trace without an answer has no references and no scores. Cost: one pass a distinct (prefix, reference), in one call.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import ClassVar

from preceptor.credit import Signals
from preceptor.errors import InputError
from preceptor.generation import Reader
from preceptor.grade import canonical
from preceptor.learn.signals.base import Producer, Row, by_problem
from preceptor.learn.signals.probe import Ask, Read, ask
from preceptor.reward.likelihood.answers import own_answer
from preceptor.reward.likelihood.reading import shown
from preceptor.search.voting.clusters import Relation, cluster_weights, clustered
from preceptor.trace import Trace

Entails = Callable[[str, str], "float | None"]
"""(observation, answer) -> how well the first entails the second, in [0, 1]; None: not known."""
LONGEST_PREMISE = 2000


@dataclass(eq=False)
class AnswerSupport(Producer):
    name: ClassVar[str] = "answer-support"
    gives: ClassVar[frozenset[str]] = frozenset({"scores", "start", "scalars.reliability"})

    reader: Reader
    references: int = 3
    closing: str = "Answer: "
    ending: str = ""
    relation: Callable[[str], Relation] | None = None
    """Prompt -> what one answer says of another, given it."""
    strict: bool = True
    entails: Entails | None = None

    def __post_init__(self) -> None:
        if self.references < 1:
            raise InputError(f"answer-support: got references={self.references}, expected 1 or more.")

    def signals(self, traces: Sequence[Trace]) -> Signals:
        self.begin()
        refs = self._references(traces)
        asked = [
            Ask(trace.problem, shown(trace, t), answer, self.closing, self.ending)
            for trace, own in zip(traces, refs, strict=True)
            if own
            for t in range(len(trace.steps) + 1)
            for answer in own
        ]
        found = iter(ask(self.reader, asked))
        rows: list[Row] = []
        start: list[float | None] = []
        for trace, own in zip(traces, refs, strict=True):
            places = len(trace.steps) + 1 if own else 0
            values = [self._support([next(found) for _ in own]) for _ in range(places)]
            start.append(values[0] if values else None)
            rows.append(tuple(values[1:]) if any(v is not None for v in values[1:]) else None)
        reliability = tuple(self._reliability(t, own) for t, own in zip(traces, refs, strict=True))
        return Signals(tuple(rows), self.question, start=tuple(start), scalars={"reliability": reliability})

    def clusters(self, traces: Sequence[Trace]) -> list[str | None]:
        """The cluster of each trace's answer, named by a member; None without an answer."""
        out: list[str | None] = [None] * len(traces)
        for members in by_problem(traces):
            names = [_class(traces[i]) for i in members]
            if self.relation is not None:
                names = clustered(names, self.relation(traces[members[0]].problem.prompt), self.strict)
            for i, name in zip(members, names, strict=True):
                out[i] = name
        return out

    def weights(
        self, traces: Sequence[Trace], reliability: Sequence[float | None], eta: float = 1.0
    ) -> list[float]:
        """q_c of each trace's cluster: softmax of log mass + eta * mean reliability; 0 without an answer."""
        names, out = self.clusters(traces), [0.0] * len(traces)
        for members in by_problem(traces):
            own: dict[str, list[float]] = {}
            for i in members:
                name, known = names[i], reliability[i]
                if name is not None and known is not None:
                    own.setdefault(name, []).append(known)
            means = {name: math.fsum(x) / len(x) for name, x in own.items()}
            q = cluster_weights([names[i] for i in members], means, eta)
            for i in members:
                out[i] = q.get(names[i] or "", 0.0)
        return out

    def _references(self, traces: Sequence[Trace]) -> list[list[str]]:
        names = self.clusters(traces)
        out: list[list[str]] = [[] for _ in traces]
        for members in by_problem(traces):
            said: dict[str, dict[str, None]] = {}
            for i in members:
                answer, name = own_answer(traces[i]), names[i]
                if answer and name is not None:
                    said.setdefault(name, {})[answer.strip()] = None
            for i in members:
                name, error = names[i], traces[i].error
                out[i] = [] if name is None else list(said.get(name, ()))[: self.references]
                if not out[i]:
                    self.failed["no-answer" if error is None else error.kind] += 1
        return out

    def _support(self, reads: Sequence[Read]) -> float | None:
        """None where a reference could not be read: a mean over fewer would not be comparable with the others."""
        self.pay(r.usage for r in reads)
        values = [r.form("prob_geo") for r in reads]
        for r in reads:
            if r.error is not None:
                self.failed[r.error.kind] += 1
        known = [v for v in values if v is not None]
        return math.fsum(known) / len(known) if known and len(known) == len(values) else None

    def _reliability(self, trace: Trace, refs: Sequence[str]) -> float | None:
        if self.entails is None or not refs:
            return None
        seen = [*(s.observation for s in trace.steps if s.observation), *_replies(trace)]
        found = [v for o in seen if (v := self.entails(o[:LONGEST_PREMISE], refs[0])) is not None]
        return math.fsum(found) / len(found) if found else None


def _replies(trace: Trace) -> list[str]:
    """What an environment wrote into the text itself (`learn.episodes`), reply by reply."""
    if trace.sampled is None or trace.token_ends is None:
        return []
    found, start = [], 0
    for own, run in groupby(zip(trace.sampled, trace.token_ends, strict=True), key=lambda x: x[0]):
        end = [e for _, e in run][-1]
        if not own and end > start:
            found.append(trace.text[start:end])
        start = end
    return found


def _class(trace: Trace) -> str | None:
    answer = None if trace.error is not None else own_answer(trace)
    return canonical(trace.problem, answer.strip()) if answer and answer.strip() else None
