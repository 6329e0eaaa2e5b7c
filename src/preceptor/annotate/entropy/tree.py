"""One tree of greedy continuations that branches at anchors, as a state that is asked and told in rounds.

A branch is a whole continuation, from the token at which it leaves its parent to its end; so branches and leaves
are the same in number. All branches advance together: an anchor is taken only when none nearer to the start can
still turn up, so the leaf cap cuts where decoding all branches token by token would cut.
Left out: asking the policy, grading, and what the labels are used for (`edu.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from preceptor.annotate.entropy.anchors import anchors, cuts_a_whole
from preceptor.annotate.rollout.montecarlo import Prefix
from preceptor.errors import ItemError
from preceptor.generation import Continuation, Request, Sampling
from preceptor.policy.next_tokens import NextToken, NextTokens
from preceptor.trace import Grade
from preceptor.usage import Usage

Right = Callable[["Branch"], bool | None]


class Start(NamedTuple):
    """A branch that is still to be written."""

    parent: Branch | None
    at: int
    """Tokens behind the tree's prefix that it shares with its parent."""
    token: NextToken | None
    """The runner-up it begins with; None for the first branch."""
    request: Request


@dataclass(eq=False)
class Branch:
    """One leaf and its own way there. Ids, ends and text count from behind the tree's prefix."""

    parent: Branch | None
    at: int
    request: Request
    continuation: Continuation
    ids: tuple[int, ...]
    ends: tuple[int, ...]
    logprobs: tuple[float, ...] | None
    text: str
    children: list[Branch] = field(default_factory=list)
    waiting: dict[int, NextToken] = field(default_factory=dict)
    """Anchor -> its runner-up, as long as nothing has branched there."""
    read: Usage = field(default_factory=Usage)
    """What reading the entropies cost."""
    unread: ItemError | None = None
    grade: Grade | None = None

    def starts(self) -> list[int]:
        """Where the fragments of its own part start."""
        own = {self.at if self.parent is not None else 0, *(c.at for c in self.children)}
        return sorted(k for k in own if k < len(self.ids))

    def counts(self, right: Right, after: int = -1) -> tuple[int, int]:
        """(right, decided) leaves: its own, and those of children that leave it behind token `after`."""
        own = right(self)
        good, decided = int(own is True), int(own is not None)
        for child in self.children:
            if child.at > after:
                more = child.counts(right)
                good, decided = good + more[0], decided + more[1]
        return good, decided

    def fragments(self, right: Right, until: int | None = None) -> list[tuple[int, tuple[int, int]]]:
        """The nodes from the tree's root to token `until` (the leaf): end in `text`, and `counts` below each."""
        until = len(self.ids) if until is None else until
        above = [] if self.parent is None else self.parent.fragments(right, self.at)
        starts = [k for k in self.starts() if k < until]
        stops = [*starts[1:], until]
        return above + [
            (self.ends[b - 1], self.counts(right, a)) for a, b in zip(starts, stops, strict=False)
        ]


class Growing:
    """`started()` gives what to write next; `add` and `tell` take what came of it."""

    def __init__(
        self,
        prefix: Prefix,
        ids: tuple[int, ...] | None,
        tau: float,
        minimum: int,
        leaves: int,
        sampling: Sampling,
    ):
        self.prefix, self.ids = prefix, ids
        """`ids`: of the prefix, when known."""
        self.tau, self.minimum, self.leaves, self.sampling = tau, minimum, leaves, sampling
        self.branches: list[Branch] = []

    @property
    def full(self) -> bool:
        return len(self.branches) >= self.leaves

    def started(self) -> list[Start]:
        """The first branch; later one for every anchor that no new branch can come before, up to the cap."""
        if not self.branches:
            first = Request(self.prefix.problem, self.prefix.text, self.ids, sampling=self.sampling)
            return [Start(None, 0, None, first)]
        places = sorted((at, i) for i, b in enumerate(self.branches) for at in b.waiting)
        near = [(at, i) for at, i in places if at < places[0][0] + self.minimum]
        room = max(0, self.leaves - len(self.branches))
        return [self._start(self.branches[i], at) for at, i in near[:room]]

    def _start(self, parent: Branch, at: int) -> Start:
        token = parent.waiting.pop(at)
        text = self.prefix.text + _text_before(parent, at) + token.text
        ids = (*(self.ids or ()), *parent.ids[:at], token.id)
        rest = self.sampling.max_tokens - at - 1
        request = Request(
            self.prefix.problem, text, ids, sampling=replace(self.sampling, max_tokens=max(1, rest))
        )
        return Start(parent, at, token, request)

    def no_room(self, start: Start) -> bool:
        """Whether the token limit ends the branch with its first token."""
        return start.token is not None and start.at + 1 >= self.sampling.max_tokens

    def add(self, start: Start, answer: Continuation) -> Branch:
        """The branch that came of a start."""
        parent, at, token, request = start
        ids, ends, logprobs, text = (
            answer.token_ids or (),
            answer.token_ends or (),
            answer.logprobs,
            answer.text,
        )
        if parent is not None and token is not None:
            before = _text_before(parent, at) + token.text
            ids = (*parent.ids[:at], token.id, *ids)
            ends = (*parent.ends[:at], len(before), *(len(before) + e for e in ends))
            known = logprobs is not None and parent.logprobs is not None
            logprobs = (*(parent.logprobs or ())[:at], token.logprob, *(logprobs or ())) if known else None
            text = before + text
        branch = Branch(parent, at, request, answer, ids, ends, logprobs, text)
        if parent is not None:
            parent.children.append(branch)
        self.branches.append(branch)
        return branch

    def tell(self, branch: Branch, read: NextTokens) -> None:
        """What the policy might have written instead, at each token of the branch's continuation."""
        branch.read, branch.unread = read.usage, read.error
        if read.error is not None:
            return
        if self.ids is None:
            self.ids = read.prefix_ids
        first = 0 if branch.parent is None else branch.at + 1
        others = {
            k: next(token for token in rows if token.id != branch.ids[k])
            for k, rows in enumerate(read.likeliest, first)
            if rows
        }
        found = anchors(
            branch.text,
            branch.ends,
            read.entropies,
            tau=self.tau,
            minimum=self.minimum,
            first=first,
            last=branch.at,
            fits=lambda k: k in others and _fits(_text_before(branch, k), others[k]),
        )
        branch.waiting = {k: others[k] for k in found}


def _fits(before: str, token: NextToken) -> bool:
    """A runner-up that ends the text, or is no whole characters, or goes on with a number, is no branch."""
    return bool(token.text) and "\ufffd" not in token.text and not cuts_a_whole(before, token.text)


def _text_before(branch: Branch, at: int) -> str:
    return branch.text[: branch.ends[at - 1]] if at else ""
