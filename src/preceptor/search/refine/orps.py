r"""ORPS: outcome-refining process supervision for code.

R rounds (5). In each, every node that is kept gets n (20) programs, written in sight of the problem, the visible tests
and the attempts before (code, analysis, critique), under prompts that take turns. Each program is run on the visible
tests (`VisibleTests`, passed as `scorer`); a critic, by default the policy itself, reads code and analysis and ends
with `$$score$$`, 1 to 5. The k (3) best of the round by (critic, S) go on; `<|good|>` in a critique ends a branch
early. The answer is taken from *all* programs of all rounds: most visible tests passed, then the shorter time, then S.
Hidden tests play no part. Formula of S: `code_metrics.py`.

Deviations: a critic's score that cannot be read drops a program from expansion and leaves it in the final choice, which
does not use it; the last round is not criticized, nothing would follow. Prompts and their variants are ours.
Cost: n + (R-1) k n programs and as many critiques less the last round's.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from preceptor.annotate.judges.verdict import check_template
from preceptor.generation import Sampling
from preceptor.search.refine.asking import reply, reworded
from preceptor.search.refine.orps_text import (
    CRITIC,
    GOOD,
    PROGRAM,
    VARIANTS,
    Attempt,
    critic_prompt,
    critic_score,
    program_prompt,
)
from preceptor.search.refine.visible_tests import visible
from preceptor.search.state import Search
from preceptor.search.strategy import Ask, Strategy, elect
from preceptor.search.tree import Node, Status
from preceptor.trace import Finish, Problem


@dataclass(frozen=True)
class Orps(Strategy):
    """The program that does best on the visible tests, over rounds of criticism."""

    needs_scorer: ClassVar[bool] = True
    helpers: ClassVar[tuple[str, ...]] = ("critic",)
    n: int = 20
    """Programs for every kept node."""
    rounds: int = 5
    keep: int = 3
    sampling: Sampling = field(
        default_factory=lambda: Sampling(temperature=0.5, max_tokens=1500), kw_only=True
    )
    """Of programs and critiques."""
    variants: tuple[str, ...] = field(default=VARIANTS, kw_only=True)
    """Ways to ask, in turn."""
    program: str = field(default=PROGRAM, kw_only=True)
    """With the slots {problem}, {tests}, {history} and {variant}."""
    critic: str = field(default=CRITIC, kw_only=True)
    """With the slots {problem}, {attempt} and {analysis}."""

    def __post_init__(self) -> None:
        check_template(self.program, "problem", "tests", "history", "variant")
        check_template(self.critic, "problem", "attempt", "analysis")
        if min(self.n, self.rounds, self.keep, len(self.variants)) < 1:
            raise ValueError(f"ORPS: got {self!r:.200}, expected n, rounds, keep >= 1 and a variant")

    @property
    def asked(self) -> int:
        return self.n * (1 + (self.rounds - 1) * self.keep)

    def select(self, search: Search) -> list[Ask]:
        written, criticized = divmod(search.round, 2)
        if criticized:
            fresh = [search.tree[i] for i in search.memory.pop("fresh", [])]
            return [self._critique(search, n) for n in fresh] if written + 1 < self.rounds else []
        kept = [search.tree[i] for i in search.memory.pop("kept", [0] if search.round == 0 else [])]
        return [ask for node in kept for ask in self._programs(search, node)]

    def _programs(self, search: Search, node: Node) -> list[Ask]:
        turns = Counter(self.variants[i % len(self.variants)] for i in range(self.n))
        return [
            Ask(
                node,
                count,
                self.sampling,
                role="solution",
                start=0,
                problem=self._asked(search, node, variant),
            )
            for variant, count in turns.items()
        ]

    def _asked(self, search: Search, node: Node, variant: str) -> Problem:
        history = [_attempt(n) for n in search.tree.lineage(node) if n.role == "solution"][::-1]
        tests = visible(search.problem).tests
        return reworded(
            search.problem, program_prompt(self.program, search.problem.prompt, tests, history, variant)
        )

    def _critique(self, search: Search, node: Node) -> Ask:
        prompt = critic_prompt(self.critic, search.problem.prompt, _attempt(node))
        asked = reworded(search.problem, prompt)
        return Ask(node, 1, self.sampling, role="critique", start=0, problem=asked, by="critic")

    def to_score(self, search: Search, kids: Sequence[Node]) -> list[Node]:
        return [k for k in kids if k.role == "solution" and k.status is Status.DONE]

    def prune(self, search: Search, kids: Sequence[Node]) -> None:
        fresh = [k.id for k in kids if k.role == "solution" and k.status is Status.DONE]
        if fresh:
            search.memory["fresh"] = fresh
        critiques = [k for k in kids if k.role == "critique"]
        if critiques:
            self._keep(search, critiques)

    def _keep(self, search: Search, critiques: Sequence[Node]) -> None:
        standing: list[tuple[int, float, Node]] = []
        for critique in critiques:
            node, text = search.tree[critique.parent or 0], reply(critique)
            mark = None if text is None else critic_score(text)
            node.data |= {"critique": text, "critic_score": mark, "good": text is not None and GOOD in text}
            if mark is None:
                _drop(node, "the critic's score cannot be read")
            elif not node.data["good"]:
                standing.append((mark, _score(node), node))
        order = [node for *_, node in sorted(standing, key=lambda row: (-row[0], -row[1], row[2].id))]
        for node in order[self.keep :]:
            _drop(node, f"not among the best {self.keep} of its round")
        search.memory["kept"] = [node.id for node in order[: self.keep]]

    def candidates(self, search: Search) -> list[Node]:
        """Those that were dropped from expansion included."""
        return [n for n in search.tree.nodes if n.role == "solution" and n.finish is Finish.STOP]

    def choose(self, search: Search) -> Node | None:
        nodes = self.candidates(search)
        run = [n for n in nodes if n.canon is not None and "success" in _judged(n)]
        return min(run, key=_rank) if run else elect(nodes, "bon")


def _attempt(node: Node) -> Attempt:
    return Attempt(node.text, _judged(node), node.data.get("critique") or "")


def _judged(node: Node) -> dict[str, Any]:
    """What `VisibleTests` found."""
    return node.data.get("judged") or {}


def _score(node: Node) -> float:
    return -1.0 if not node.scores or node.scores[-1] is None else node.scores[-1]


def _rank(node: Node) -> tuple[float, float, float, int]:
    judged = _judged(node)
    seconds = math.inf if judged["seconds"] is None else judged["seconds"]
    return -judged["success"], seconds, -_score(node), node.id


def _drop(node: Node, why: str) -> None:
    node.status, node.data["why"] = Status.PRUNED, why
