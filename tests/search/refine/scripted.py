"""Helpers for the tests of refinement: critics and writers that read their prompt and write text that is parsed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from preceptor.generation import Continuation, Policy, Request
from preceptor.judgement import Scorer
from preceptor.search import Strategy, solve
from preceptor.search.result import SolveResult
from preceptor.trace import Finish, Problem
from preceptor.usage import Budget, Usage
from tests.search.toy import TreePolicy, problem, value, walked

BUDGETS = (0, 7, 30, 55, 90, 200, 600)


@dataclass
class Scripted:
    """A policy that writes `says(request)`; one character is one token."""

    says: Callable[[Request], str]
    fingerprint: str = "scripted"
    sent: list[Request] = field(default_factory=list)

    def generate(self, requests: Sequence[Request]) -> list[Continuation]:
        self.sent += requests
        return [spoken(self.says(r), r) for r in requests]


def spoken(text: str, request: Request, logprobs: Sequence[float] | None = None) -> Continuation:
    finish = Finish.STOP
    for stop in request.sampling.stop:
        if stop in text:
            text, finish = text[: text.index(stop) + len(stop)], Finish.BOUNDARY
    if len(text) > request.sampling.max_tokens:
        text, finish = text[: request.sampling.max_tokens], Finish.LENGTH
    return Continuation(
        text=text,
        finish=finish,
        token_ids=tuple(map(ord, text)),
        token_ends=tuple(range(1, len(text) + 1)),
        logprobs=tuple((logprobs or [-0.5] * len(text))[: len(text)]),
        usage=Usage(generated=len(text), calls=1),
    )


def tree_of(request: Request) -> Problem:
    """The toy problem that a prompt is about."""
    found = re.search(r"Walk the tree (\S+)\.", request.problem.prompt)
    assert found is not None
    return problem(found[1])


def shown(request: Request) -> list[str]:
    """The numbered paragraphs of a prompt."""
    return [
        m[2] for m in re.finditer(r"<paragraph_(\d+)>\n(.*?)\n</paragraph_\1>", request.problem.prompt, re.S)
    ]


def first_dead(tree: Problem, steps: Sequence[str]) -> int:
    """The first step from which the right answer cannot be reached any more; -1 for none."""
    path = ""
    for t, step in enumerate(steps):
        path += walked(step)
        if value(tree, path) == 0:
            return t
    return -1


def review(request: Request) -> str:
    """What a critic who knows the tree writes about numbered paragraphs."""
    steps = shown(request)
    wrong = first_dead(tree_of(request), steps)
    if wrong < 0:
        return "Every step can still lead to the answer. \\boxed{-1}"
    other = "go b" if steps[wrong] == "go a" else "go a"
    return f"Step {wrong} leads nowhere.\n<corrected>{other}</corrected>\n\\boxed{{{wrong}}}"


def content(request: Request) -> str:
    return "I see nothing wrong. <answer>[]</answer> \\boxed{-1}"


def writes(text: str) -> Callable[[Request], str]:
    return lambda request: text


def outcome(result: SolveResult) -> dict[str, object]:
    """Answers, trees and ends, without what only a clock says."""
    return {s.problem.id: (s.answer, _timeless(s.tree.to_record()), s.stop) for s in result.solutions}


def _timeless(value: object) -> object:
    if isinstance(value, dict):
        return {k: _timeless(v) for k, v in value.items() if k != "seconds"}
    return [_timeless(v) for v in value] if isinstance(value, list) else value


def check_house_rules(
    strategy: Strategy,
    problems: Sequence[Problem],
    scorer: Callable[[], Scorer] | None = None,
    helpers: Mapping[str, Callable[[Request], str]] | None = None,
    policy: Callable[[], Policy] = TreePolicy,
    budgets: Sequence[int] = BUDGETS,
) -> None:
    """Batches and order change nothing; every token is in the ledger; a budget is never exceeded."""

    def run(some: Sequence[Problem], budget: Budget | None = None) -> SolveResult:
        speaking = {name: Scripted(says) for name, says in (helpers or {}).items()}
        return solve(policy(), some, strategy, scorer() if scorer else None, budget, helpers=speaking)

    for budget in (None, Budget(tokens=budgets[len(budgets) // 2])):
        together = outcome(run(problems, budget))
        apart: dict[str, object] = {}
        for one in problems:
            apart |= outcome(run([one], budget))
        assert together == outcome(run(problems[::-1], budget)) == apart
    for tokens in (None, *budgets):
        for s in run(problems, None if tokens is None else Budget(tokens=tokens)).solutions:
            assert s.ledger == s.tree.ledger
            assert s.ledger.policy.generated == sum(n.usage.generated for n in s.tree.nodes)
            assert tokens is None or s.ledger.policy.generated <= tokens
            assert all(c.trace.finish is Finish.STOP for c in s.candidates)
            assert all(s.tree[c.node].role not in ("critique", "rationale") for c in s.candidates)
