"""Outcome-based process verifier at test time (OPV, catalogue index 203): verdicts on a summary of each long solution.

A summariser shortens each sample to the steps that lead to its answer; the verifier sees the summary only, and names
the first wrong step or none, M times. A summary that cannot be read or comes to another answer is discarded and its
solution stays unverified. Weighted vote by the share of verdicts without an error, ties by majority; N, M = 8 and the
vote are ours (not found). Reported: AIME2025 55.2 -> 73.3 for a distilled 32B policy. Prompts and grammar are those of
`annotate/judges/opv.py`. Helpers "summariser" and "verifier", the policy itself for one not given. Cost: n solutions,
n summaries, n * M verdicts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from preceptor.annotate.judges.checks import numbered
from preceptor.annotate.judges.opv import SUMMARISE, TAGS, VERIFY, read_index
from preceptor.annotate.judges.summary import read_summary
from preceptor.annotate.judges.verdict import fence, fill
from preceptor.generation import Sampling
from preceptor.judgement import NO_ERROR
from preceptor.search.state import Search
from preceptor.search.strategy import Ask
from preceptor.search.tree import Node
from preceptor.search.voting.pass_rate_vote import PassRateVote, about
from preceptor.trace import Finish, Problem


@dataclass(frozen=True)
class OPVVote(PassRateVote):
    """Weighted vote by verdicts on summaries."""

    helpers: ClassVar[tuple[str, ...]] = ("summariser", "verifier")
    summarising: Sampling = field(
        default_factory=lambda: Sampling(temperature=0.0, max_tokens=2048), kw_only=True
    )

    def question(self, problem: Problem, steps: Sequence[str]) -> str:
        return _shown(VERIFY, problem, steps)

    def accepts(self, reply: str, steps: int) -> bool | None:
        index = read_index(reply, steps)
        return None if index is None else index == NO_ERROR

    def subject(self, search: Search, node: Node) -> Sequence[str] | None:
        found: list[str] | None = node.data.get("summary")
        return found

    def verify(self, search: Search) -> list[Ask]:
        asks = []
        for node in self.candidates(search):
            if node.canon is not None and "summary" not in node.data:
                node.data["summary"] = None
                prompt = _shown(SUMMARISE, search.problem, search.tree.trace(node).step_texts)
                asked = about(search.problem, "summary", prompt)
                asks.append(
                    Ask(node, 1, self.summarising, "summary", start=0, problem=asked, by="summariser")
                )
        return asks or super().verify(search)

    def backup(self, search: Search, kids: Sequence[Node]) -> None:
        super().backup(search, kids)
        for kid in kids:
            if kid.role == "summary":
                _keep(search, search.tree[kid.parent or 0], kid)


def _keep(search: Search, owner: Node, kid: Node) -> None:
    """Put the key steps on the solution, or the reason why there are none on both."""
    trace = search.tree.trace(owner)
    blind = replace(trace, problem=replace(trace.problem, gold=None))  # so that only answers are compared
    ended = kid.finish in (Finish.STOP, Finish.BOUNDARY)
    summary = read_summary(kid.text, blind) if ended else None
    if summary is None:
        owner.data["why"] = kid.data["why"] = "the summary could not be read"
    elif not summary.keeps_answer:
        owner.data["why"] = kid.data["why"] = "the summary comes to another answer"
    else:
        owner.data["summary"] = list(summary.steps)


def _shown(template: str, problem: Problem, steps: Sequence[str]) -> str:
    asked, solution = fence(problem.prompt, TAGS), numbered(steps, TAGS)
    return fill(template, problem=asked.text, solution=solution.text)
