"""One problem under search: its tree, its budget, and the requests that wait to be sent.

Budgets. Tokens and calls are never exceeded: a batch is only as large as what remains would pay for if every
continuation ran to its `max_tokens`; the others wait until it is known what those cost, and the last one is
given exactly what is left. Scored tokens are predicted from the largest price per byte seen so far (one token
a byte before any was seen). Seconds and FLOPs are looked at before each batch, so the last batch may overrun
them; the ledger says by how much.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from preceptor.errors import BackendError, ItemError
from preceptor.generation import Continuation, Request
from preceptor.judgement import Judgement
from preceptor.search.answers import extract
from preceptor.search.strategy import Ask, Strategy
from preceptor.search.tree import Node, Path, Status, Tree
from preceptor.segment import segment
from preceptor.trace import Finish, Problem, stream_seed
from preceptor.usage import Budget, Ledger

SCORE_MARGIN = 1.25


@dataclass(frozen=True)
class Job:
    """One request on its way, and the ask it came from."""

    ask: Ask
    request: Request
    before: Path
    capped: bool = False
    """The budget left less than the strategy asked for."""


@dataclass
class Search:
    """The state a strategy sees. `memory` and the statuses of nodes are the strategy's; the rest is not."""

    problem: Problem
    strategy: Strategy
    budget: Budget
    seed: int
    tree: Tree
    round: int = 0
    """Completed calls of `select`."""
    memory: dict[str, Any] = field(default_factory=dict)
    stopped: str | None = None
    """Why the search ended: "done", "budget:tokens", "failed", "stalled" or a strategy's own word."""
    error: ItemError | None = None
    unserved: int = 0
    """Continuations that were asked for and never sent, because the budget ended."""
    spent: Ledger = field(default_factory=Ledger)
    pending: list[Job] = field(default_factory=list)
    kids: list[Node] = field(default_factory=list)
    _used: dict[tuple[str, str], set[int]] = field(default_factory=lambda: defaultdict(set))
    _rate: float = 0.0

    @property
    def live(self) -> list[Node]:
        """Live nodes, those that have been continued included."""
        return self.tree.having(Status.LIVE)

    @property
    def leaves(self) -> list[Node]:
        """Live nodes that have not been continued yet."""
        continued = {n.parent for n in self.tree.nodes}
        return [n for n in self.live if n.id not in continued]

    @property
    def done(self) -> list[Node]:
        return self.tree.having(Status.DONE)

    def rng(self, *parts: Any) -> np.random.Generator:
        """The strategy's own randomness: depends on seed, problem and `parts`, not on the batch."""
        return np.random.default_rng(stream_seed(self.seed, self.problem.id, "strategy", *parts))

    def plan(self) -> None:
        """Ask the strategy what to do next, or end the search."""
        reason = self.strategy.stop(self)
        asks = [] if reason else [a for a in self.strategy.select(self) if a.count > 0]
        if not asks:
            self.stopped = reason or "done"
        for ask in asks:
            self.pending.extend(self._jobs(ask))

    def _jobs(self, ask: Ask) -> list[Job]:
        path = self.tree.path(ask.node)
        before = path if ask.start is None else path.cut(ask.start)
        prefix = before.text + ask.insert
        # another policy may have other tokens: it is given the text
        whole = not ask.insert and not ask.by and before.token_ids is not None
        ids = before.token_ids if whole and before.text else None
        return [
            Job(
                ask,
                Request(
                    problem=ask.problem or self.problem,
                    prefix=prefix,
                    prefix_ids=ids,
                    draw=self._draw(ask, prefix),
                    seed=self.seed,
                    sampling=ask.sampling,
                ),
                before,
            )
            for _ in range(ask.count)
        ]

    def _draw(self, ask: Ask, prefix: str) -> int:
        """A draw this prefix has not had: the parent's if it is free, else the smallest free one.

        Inheriting keeps a chain of steps on the draw of its first step, so an unpruned beam and independent
        samples read the same random streams. A branch from inside a path is another try: the draws that wrote the
        path count as used. Questions with a problem of their own have draws of their own.
        """
        used = self._used[(ask.problem or self.problem).id, prefix]
        inside = ask.start is not None and ask.start < len(self.tree.path(ask.node).text)
        if inside and ask.problem is None and not ask.insert:
            used |= {n.draw for n in self.tree.lineage(ask.node) if n.parent is not None}
        inherited = ask.node.draw
        draw = inherited if inherited not in used else next(d for d in range(len(used) + 1) if d not in used)
        used.add(draw)
        return draw

    def wave(self) -> list[Job]:
        """The pending requests that the budget can pay for whatever they come to cost."""
        name = self.budget.exceeded_by(self.spent)
        if self.pending and name is not None:
            self.stopped = f"budget:{name}"
        if self.stopped:
            self.unserved, self.pending = self.unserved + len(self.pending), []
            return []
        tokens, calls = self.budget.tokens, self.budget.calls
        left = None if tokens is None else tokens - self.spent.policy.generated
        free = len(self.pending) if calls is None else calls - self.spent.policy.calls
        out: list[Job] = []
        for job in self.pending[:free]:
            want = job.request.sampling.max_tokens
            if left is not None and want > left:
                if out:
                    break
                job = _capped(job, left)
                want = left
            left = None if left is None else left - want
            out.append(job)
        self.pending = self.pending[len(out) :]
        return out

    def grow(self, job: Job, got: Continuation) -> Node:
        """Put the answer of one request into the tree."""
        ask = job.ask
        usage = replace(
            got.usage,
            calls=max(got.usage.calls, 1),
            generated=max(got.usage.generated, len(got.token_ids or ())),
        )
        if got.text and not usage.generated and self.budget.tokens is not None:
            raise BackendError(
                "the policy returned text and counted no tokens, so a token budget cannot be kept. "
                "Report `usage.generated` or `token_ids`, or limit calls instead."
            )
        text = ask.insert + got.text
        aligned = got.token_ends is None or not got.token_ends or got.token_ends[-1] == len(got.text)
        node = Node(
            id=len(self.tree),
            parent=ask.node.id,
            text=text,
            start=len(job.before.text),
            inserted=len(ask.insert),
            token_ids=got.token_ids if aligned else None,
            token_ends=got.token_ends if aligned else None,
            logprobs=got.logprobs if aligned else None,
            draw=job.request.draw,
            role=ask.role,
            by=ask.by,
            status=_status(job, got),
            finish=got.finish,
            usage=usage,
            error=got.error,
            data={"policy": dict(got.extra)} if got.extra else {},
        )
        node.first_step, node.ends = self._steps(job, text)
        self.tree.nodes.append(node)
        self.spent += Ledger(policy=usage)
        if node.status is Status.DONE:
            node.answer, node.canon = extract(
                ask.problem or self.problem, self.tree.path(node).text, got.finish
            )
        self.kids.append(node)
        return node

    def conclude(self, node: Node) -> None:
        """Count a live node as a solution: by the strategy's own rule its text is complete."""
        node.status = Status.DONE
        node.answer, node.canon = extract(self.problem, self.tree.path(node).text)

    def _steps(self, job: Job, text: str) -> tuple[int, tuple[int, ...]]:
        """Index of the first new step, and the new ends: steps tile the path and none is blank."""
        before, node = job.before, job.ask.node
        if not text:
            return len(before.ends), ()
        one = bool(job.request.sampling.stop) and not job.ask.insert
        blank = not text.strip() if one else text[0].isspace()
        unit = job.ask.resume and not job.request.sampling.stop and not job.ask.insert
        resumed = job.ask.start is None and (unit or node.finish is Finish.LENGTH)
        inside = len(before.text) not in self.tree.path(node).ends
        first = len(before.ends)
        if first and (blank or resumed or inside or not before.text.strip()):
            first -= 1
        at = before.ends[first - 1] if first else 0
        new = before.text[at:] + text
        ends = [len(new)] if one else [s.end for s in segment(self.problem, new)]
        return first, tuple(at + e for e in ends)

    def admit(self, nodes: Sequence[Node]) -> list[Node]:
        """The nodes among `nodes` that can be scored within the budget."""
        fit: list[Node] = []
        limit = self.budget.scored
        left = None if limit is None else float(limit - self.spent.scorer.scored)
        for node in nodes:
            if node.status is Status.FAILED or not self.tree.path(node).ends:
                continue
            if left is not None:
                left -= self._size(node) * (self._rate * SCORE_MARGIN if self._rate else 1.0)
                if left < 0:
                    self.stopped = self.stopped or "budget:scored"
                    break
            fit.append(node)
        return fit

    def _size(self, node: Node) -> int:
        return len((self.problem.prompt + self.tree.path(node).text).encode())

    def judge(self, node: Node, got: Judgement) -> None:
        """Record what the scorer said of a node; absent scores keep what the parent's path had."""
        path = self.tree.path(node)
        cost = got.usage.policy + got.usage.scorer  # rollouts an annotator samples are the scorer's cost
        node.judged = replace(cost, calls=max(cost.calls, 1))
        self.spent += Ledger(scorer=node.judged)
        self._rate = max(self._rate, node.judged.scored / max(self._size(node), 1))
        if got.extra:
            node.data["judged"] = dict(got.extra)
        if got.error is not None or got.scores is None:
            node.score_error = got.error or ItemError(
                "no-scores", f"{got.source} gave no scores and no reason"
            )
        elif len(got.scores) != len(path.ends):
            why = f"{got.source} gave {len(got.scores)} scores for {len(path.ends)} steps"
            node.score_error = ItemError("score-count", why)
        else:
            old = self.tree[node.parent or 0].scores or ()
            kept = [*old[: node.first_step], *[None] * len(path.ends)]
            node.scores = tuple(k if s is None else s for s, k in zip(got.scores, kept, strict=False))

    def settle(self) -> None:
        """Let the strategy back up and prune once all answers of one `select` are in, or none will come."""
        if self.stopped:
            self.unserved, self.pending = self.unserved + len(self.pending), []
        if self.pending:
            return
        kids, self.kids = self.kids, []
        if kids:
            self.strategy.backup(self, kids)
            self.strategy.prune(self, kids)
        self.round += 1
        if self.stopped is None and kids and all(k.status is Status.FAILED for k in kids):
            self.stopped, self.error = "failed", kids[0].error
        elif (
            self.stopped is None and self.strategy.asked is None and not any(k.usage.generated for k in kids)
        ):
            self.stopped = "stalled"


def _capped(job: Job, tokens: int) -> Job:
    sampling = replace(job.request.sampling, max_tokens=tokens)
    return replace(job, request=replace(job.request, sampling=sampling), capped=True)


def _status(job: Job, got: Continuation) -> Status:
    if got.error is not None or got.finish is Finish.ERROR:
        return Status.FAILED
    if got.finish is Finish.LENGTH:
        return Status.LIVE if job.ask.resume and not job.capped else Status.CUT
    return Status.DONE if got.finish is Finish.STOP else Status.LIVE
