"""Stored samples as a policy and their step scores as a scorer, so that any strategy over samples runs on real pools.

Draw i of a problem is its i-th stored candidate (in the order of `seed`; None: as stored), at the cost of its stored
tokens; a limit below that cuts the text there, a draw beyond the pool fails with "pool-empty". Pools read answers by
rules of their own ("so she has 18 eggs left"): where the problem's grader reads another answer, the stored one is put
behind the text. Prefixes cannot be continued: the error says so. Left out: verdicts on solutions (none are stored).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from preceptor.errors import ItemError
from preceptor.generation import Continuation, Request
from preceptor.judgement import Judgement, Question, Source
from preceptor.search.answers import extract
from preceptor.trace import Finish, Problem, Trace, content_id, stream_seed
from preceptor.usage import Ledger, Usage
from preceptor.worlds.readers import Candidate, Pool, joined


@dataclass(frozen=True)
class Replay:
    """Policy and scorer over the same pools; `model` names the reward model whose scores are given."""

    pools: tuple[Pool, ...]
    model: str = ""
    seed: int | None = None

    question = Question.QUALITY

    @property
    def problems(self) -> list[Problem]:
        return [pool.problem for pool in self.pools]

    @property
    def fingerprint(self) -> str:
        return content_id("replay", [p.id for p in self.problems], self.seed)

    @property
    def source(self) -> Source:
        return Source.of("replay", model=self.model)

    @cached_property
    def _stored(self) -> dict[str, list[tuple[Candidate, str]]]:
        """Candidates in the order of the draws, each with its text."""
        found = {}
        for pool in self.pools:
            order = list(range(len(pool.candidates)))
            if self.seed is not None:
                stream = np.random.default_rng(stream_seed("replay", self.seed, pool.problem.id))
                order = stream.permutation(order).tolist()
            found[pool.problem.id] = [(c, told(pool.problem, c)) for c in (pool.candidates[i] for i in order)]
        return found

    @cached_property
    def _scores(self) -> dict[tuple[str, str], list[tuple[int, float]]]:
        """By problem and text: where each stored step ends, and its score."""
        found = {}
        for pool in self.pools:
            for c, text in self._stored[pool.problem.id]:
                ends = [step.end for step in joined(pool.problem, c.steps).steps]
                found[pool.problem.id, text] = list(
                    zip(ends, c.step_scores.get(self.model, ()), strict=False)
                )
        return found

    def generate(self, requests: Sequence[Request]) -> list[Continuation]:
        return [self._one(request) for request in requests]

    def _one(self, request: Request) -> Continuation:
        stored = self._stored.get(request.problem.id, [])
        if request.prefix or request.draw >= len(stored):
            kind = "prefix" if request.prefix else "pool-empty"
            return Continuation.failed(
                kind, f"{len(stored)} stored samples, none for this request", Usage(calls=1)
            )
        (candidate, text), limit = stored[request.draw], request.sampling.max_tokens
        if candidate.num_tokens > limit:
            cut = text[: len(text) * limit // candidate.num_tokens]
            return Continuation(cut, Finish.LENGTH, usage=Usage(generated=limit, calls=1))
        return Continuation(text, Finish.STOP, usage=Usage(generated=candidate.num_tokens, calls=1))

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        return [self._judge(trace) for trace in traces]

    def _judge(self, trace: Trace) -> Judgement:
        known = self._scores.get((trace.problem.id, trace.text), [])
        scores: list[float | None] = [None] * len(trace.steps)
        for end, score in known:  # the search may cut more finely than the pool
            at = next((t for t, step in enumerate(trace.steps) if step.end >= end), None)
            if at is not None:
                scores[at] = score
        usage = Ledger(scorer=Usage(calls=1))
        if any(s is not None for s in scores):
            return Judgement(trace.id, self.question, self.source, tuple(scores), usage=usage)
        error = ItemError("no-scores", f"no scores of {self.model!r} are stored for this text")
        return Judgement(trace.id, self.question, self.source, None, usage=usage, error=error)


def told(problem: Problem, candidate: Candidate) -> str:
    """The candidate's text, from which the problem's grader reads the stored answer if it can be brought to."""
    text = joined(problem, candidate.steps).text
    if candidate.answer is None:
        return text
    forms = (text, f"{text}\n\nAnswer: {candidate.answer}", f"{text}\n\n\\boxed{{{candidate.answer}}}")
    return next((form for form in forms if extract(problem, form)[0] == candidate.answer), text)
