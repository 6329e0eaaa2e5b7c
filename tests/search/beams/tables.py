"""Written-out trees: a policy whose draw k writes option k, a scorer with a number for every text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import log

from preceptor.errors import ItemError
from preceptor.generation import Continuation, Request, Sampling
from preceptor.judgement import Judgement, Question, Source
from preceptor.search import Strategy, solve
from preceptor.search.result import Solution
from preceptor.segment import segment
from preceptor.trace import Finish, Trace
from preceptor.usage import Budget, Ledger, Usage
from tests.search.toy import Oracle, TreePolicy, p_left, problem, walked


@dataclass
class Table:
    """`options[path]` are the next lines after a path; "!1" is the answer 1, "?" none, and both end the text.

    Draw k takes option k, round and round; temperature 0 takes the first. A character is a token.
    """

    options: Mapping[str, Sequence[str]]
    fingerprint: str = "table"
    sent: list[list[Request]] = field(default_factory=list)

    def generate(self, requests: Sequence[Request]) -> list[Continuation]:
        self.sent.append(list(requests))
        return [self._one(r) for r in requests]

    def _one(self, request: Request) -> Continuation:
        text, finish = request.prefix[: request.prefix.rfind("\n") + 1], Finish.BOUNDARY
        whole = len(text)
        while finish is Finish.BOUNDARY:
            options = self.options[path(text)]
            line = options[0 if request.sampling.temperature == 0 else request.draw % len(options)]
            if line[0] in "!?":
                text += f"Answer: {line[1:]}" if line[0] == "!" else "I give up."
                finish = Finish.STOP
            else:
                text += f"step {line}\n"
            if request.sampling.stop:
                break
        text = text[len(request.prefix) :]
        assert whole <= len(request.prefix)
        if len(text) > request.sampling.max_tokens:
            text, finish = text[: request.sampling.max_tokens], Finish.LENGTH
        usage = Usage(generated=len(text), calls=1)
        ends = tuple(range(1, len(text) + 1))
        return Continuation(text, finish, tuple(map(ord, text)), ends, tuple(-0.5 for _ in text), usage)


def path(text: str) -> str:
    """ "step a", "step b", "Answer: 1" -> "ab!1"."""
    lines = [line for line in text.split("\n") if line]
    return "".join(
        f"!{x[8:]}" if x.startswith("Answer: ") else "?" if x == "I give up." else x[5:] for x in lines
    )


@dataclass
class Marks:
    """`marks[path]` for each prefix that is a whole path; others have no score."""

    marks: Mapping[str, float]
    question: Question = Question.VALUE
    source: Source = field(default_factory=lambda: Source("marks"))
    sent: list[Trace] = field(default_factory=list)

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        self.sent += traces
        return [self._one(t) for t in traces]

    def _one(self, trace: Trace) -> Judgement:
        scores = tuple(self.marks.get(path(trace.prefix(t + 1))) for t in range(len(trace.steps)))
        usage = Ledger(scorer=Usage(scored=len(trace.text), calls=1))
        if all(s is None for s in scores):
            why = ItemError("unknown", "not in the table")
            return Judgement(trace.id, self.question, self.source, None, usage=usage, error=why)
        return Judgement(trace.id, self.question, self.source, scores, usage=usage)


def run(
    strategy: Strategy,
    options: Mapping[str, Sequence[str]],
    marks: Mapping[str, float],
    budget: Budget | None = None,
) -> Solution:
    return solve(Table(options), [problem()], strategy, Marks(marks), budget).solutions[0]


def paths(solution: Solution) -> dict[str, str]:
    """Path -> status of its (last) node."""
    tree = solution.tree
    return {path(tree.path(n).text): n.status.value for n in tree.nodes[1:]}


def asked(solution: Solution, role: str = "step") -> dict[str, int]:
    """Path -> how many continuations of this role it was given."""
    counts: dict[str, int] = {}
    for node in solution.tree.nodes[1:]:
        if node.role == role:
            before = path(solution.tree.path(solution.tree[node.parent or 0]).text)
            counts[before] = counts.get(before, 0) + 1
    return counts


def best_of_m(name: str, m: int, seed: int = 0) -> str:
    """Step-level best of m on the tree of `toy.py`, written out: the text that stands at the end."""
    policy, oracle, p = TreePolicy(), Oracle(), problem(name)
    text, draw = "", 0
    while True:
        draws = [draw, *(d for d in range(m) if d != draw)][:m]
        tries = []
        for d in draws:
            request = Request(p, text, draw=d, seed=seed, sampling=Sampling(temperature=0.8, stop=("\n",)))
            got = policy.generate([request])[0]
            whole = text + got.text
            scores = oracle.score([Trace(p, whole, segment(p, whole))])[0].scores
            assert scores is not None
            tries.append((scores[-1] or 0.0, d, whole, got.finish))
        top = max(t[0] for t in tries)
        _, draw, text, finish = next(t for t in tries if t[0] == top)
        if finish is Finish.STOP:
            return text


class Likely(TreePolicy):
    """The tree policy with the log-probability of each step on its last character."""

    def _one(self, request: Request) -> Continuation:
        got = super()._one(request)
        logs, before = [], request.prefix
        for char in got.text:
            logs.append(0.0)
            before += char
            if char == "\n":
                node = walked(before)
                p = p_left(request.problem, node[:-1])
                logs[-1] = log(p if node[-1] == "a" else 1 - p)
        return replace(got, logprobs=tuple(logs))
