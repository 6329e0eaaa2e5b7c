"""The tree of one search: what was tried, what it cost, what became of it.

A node adds text to the first `start` characters of its parent's path, normally all of them; a smaller `start`
is a branch from inside the parent, 0 a rewrite from scratch. Nothing is ever removed: pruned, rejected, cut
and failed nodes stay, with their usage. Sampled token ids are the truth about a prefix; where a path holds
text that was not sampled they are unknown (None) and the text stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from preceptor.errors import ItemError
from preceptor.trace import Finish, Problem, Trace, steps_from_ends
from preceptor.usage import Ledger, Usage


class Status(str, Enum):
    """What became of a node."""

    LIVE = "live"
    """May be continued."""
    DONE = "done"
    """The policy ended its text: a solution."""
    CUT = "cut"
    """Ended by a limit (tokens of a continuation, depth, budget): unfinished, never a solution."""
    PRUNED = "pruned"
    """Dropped in favor of others."""
    REJECTED = "rejected"
    """Found wrong by the strategy."""
    FAILED = "failed"
    """The policy failed on it; see `error`."""


@dataclass(frozen=True)
class Path:
    """Everything from the root to one node."""

    text: str = ""
    ends: tuple[int, ...] = ()
    """Character offsets at which steps end; the last one is `len(text)`."""
    token_ids: tuple[int, ...] | None = ()
    token_ends: tuple[int, ...] | None = ()
    logprobs: tuple[float, ...] | None = ()

    def cut(self, chars: int) -> Path:
        """The first `chars` characters; ids are kept only when a token ends there."""
        if chars == len(self.text):
            return self
        ends = tuple(e for e in self.ends if e < chars) + ((chars,) if chars else ())
        if chars == 0:
            return Path()
        if self.token_ids is None or self.token_ends is None or chars not in self.token_ends:
            return Path(self.text[:chars], ends, None, None, None)
        n = sum(e <= chars for e in self.token_ends)
        logprobs = None if self.logprobs is None else self.logprobs[:n]
        return Path(self.text[:chars], ends, self.token_ids[:n], self.token_ends[:n], logprobs)


@dataclass(eq=False)
class Node:
    """One continuation. Strategies may set `status`, `visits`, `value_sum` and `data`; the rest is record."""

    id: int
    parent: int | None
    text: str = ""
    start: int = 0
    """Characters of the parent's path that stand before `text`."""
    inserted: int = 0
    """Leading characters of `text` that the strategy wrote, not the policy."""
    first_step: int = 0
    """Index of the first step of the path that this node adds or lengthens."""
    ends: tuple[int, ...] = ()
    """Ends of the steps from `first_step` on, in characters of the path."""
    token_ids: tuple[int, ...] | None = None
    token_ends: tuple[int, ...] | None = None
    """In characters of the sampled part of `text`."""
    logprobs: tuple[float, ...] | None = None
    draw: int = 0
    role: str = "step"
    """What it is for: "step", "solution", or a strategy's own word ("lookahead", "critique")."""
    by: str = ""
    """The helper that wrote it; "": the policy. Its token ids are not the policy's."""
    status: Status = Status.LIVE
    finish: Finish | None = None
    answer: str | None = None
    canon: str | None = None
    scores: tuple[float | None, ...] | None = None
    """One per step of the path; None: not judged."""
    visits: int = 0
    value_sum: float = 0.0
    multiplicity: int = 1
    """Identical siblings merged into this node, itself included."""
    usage: Usage = field(default_factory=Usage)
    judged: Usage = field(default_factory=Usage)
    """What scoring it cost."""
    error: ItemError | None = None
    score_error: ItemError | None = None
    data: dict[str, Any] = field(default_factory=dict)
    """The strategy's notes (prior, q, threshold ...); JSON values."""

    def to_record(self) -> dict[str, Any]:
        """A JSON object without the fields that hold their default."""
        plain = Node(self.id, self.parent)
        out: dict[str, Any] = {"id": self.id, "parent": self.parent}
        for name, value in vars(self).items():
            if value == getattr(plain, name) and name not in out:
                continue
            record = value.to_record() if hasattr(value, "to_record") else value
            record = record.value if isinstance(record, Enum) else record
            out[name] = list(record) if isinstance(record, tuple) else record
        return out

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Node:
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in record.items()}
        for name, read in _READERS.items():
            if name in values:
                values[name] = read(values[name])
        return cls(**values)


_READERS: dict[str, Any] = {
    "status": Status,
    "finish": lambda v: None if v is None else Finish(v),
    "usage": Usage.from_record,
    "judged": Usage.from_record,
    "error": ItemError.from_record,
    "score_error": ItemError.from_record,
}


class Tree:
    """Nodes in order of creation; node 0 is the root, with no text."""

    def __init__(self, problem: Problem, policy: str = "", seed: int = 0):
        self.problem, self.policy, self.seed = problem, policy, seed
        self.nodes: list[Node] = [Node(0, None, role="root")]
        self._paths: dict[int, Path] = {0: Path()}
        self._children: dict[int | None, list[Node]] = {}
        self._indexed = 0
        """Nodes that `_children` knows of."""

    @property
    def root(self) -> Node:
        return self.nodes[0]

    def __getitem__(self, node: int) -> Node:
        return self.nodes[node]

    def __len__(self) -> int:
        return len(self.nodes)

    def __repr__(self) -> str:
        counts = {s.value: len(self.having(s)) for s in Status}
        shown = ", ".join(f"{n} {name}" for name, n in counts.items() if n)
        return f"<Tree of {self.problem.id}: {len(self)} nodes, {shown}>"

    def having(self, status: Status) -> list[Node]:
        """Nodes with this status, the root apart."""
        return [n for n in self.nodes[1:] if n.status is status]

    def children(self, node: Node) -> list[Node]:
        """In order of creation."""
        for new in self.nodes[self._indexed :]:
            self._children.setdefault(new.parent, []).append(new)
        self._indexed = len(self.nodes)
        return list(self._children.get(node.id, ()))

    def lineage(self, node: Node) -> Iterator[Node]:
        """The node, its parent, ... up to the root."""
        at: Node | None = node
        while at is not None:
            yield at
            at = None if at.parent is None else self.nodes[at.parent]

    def depth(self, node: Node) -> int:
        return sum(1 for _ in self.lineage(node)) - 1

    def path(self, node: Node) -> Path:
        if node.id not in self._paths:
            self._paths[node.id] = self._extend(self.path(self.nodes[node.parent or 0]).cut(node.start), node)
        return self._paths[node.id]

    def _extend(self, before: Path, node: Node) -> Path:
        if not node.text:
            return before
        text, ends = before.text + node.text, before.ends[: node.first_step] + node.ends
        unknown = Path(text, ends, None, None, None)
        if before.token_ids is None or before.token_ends is None or node.inserted or node.by:
            return unknown
        if node.token_ids is None or node.token_ends is None:
            return unknown
        logprobs = None
        if before.logprobs is not None and node.logprobs is not None:
            logprobs = before.logprobs + node.logprobs
        shifted = tuple(len(before.text) + e for e in node.token_ends)
        return Path(text, ends, before.token_ids + node.token_ids, before.token_ends + shifted, logprobs)

    def trace(self, node: Node) -> Trace:
        """The path as a trace whose steps are the steps of the search."""
        path = self.path(node)
        return Trace(
            problem=self.problem,
            text=path.text,
            steps=steps_from_ends(path.ends),
            finish=node.finish or Finish.BOUNDARY,
            policy=self.policy,
            seed=self.seed,
            draw=node.draw,
            token_ids=path.token_ids,
            token_ends=path.token_ends,
            logprobs=path.logprobs,
            usage=sum((n.usage for n in self.lineage(node)), start=Usage()),
            error=node.error,
        )

    @property
    def ledger(self) -> Ledger:
        """Every token of every node, discarded ones included."""
        policy = sum((n.usage for n in self.nodes), start=Usage())
        return Ledger(policy, sum((n.judged for n in self.nodes), start=Usage()))

    def to_record(self) -> dict[str, Any]:
        """One JSON object; the problem is named by its id and stored apart."""
        nodes = [n.to_record() for n in self.nodes]
        return {"problem": self.problem.id, "policy": self.policy, "seed": self.seed, "nodes": nodes}

    @classmethod
    def from_record(cls, record: Mapping[str, Any], problem: Problem) -> Tree:
        tree = cls(problem, record["policy"], record["seed"])
        tree.nodes = [Node.from_record(n) for n in record["nodes"]]
        for i, node in enumerate(tree.nodes):
            if (
                node.id != i
                or (node.parent is None) != (i == 0)
                or not 0 <= (node.parent or 0) <= max(i - 1, 0)
            ):
                raise ValueError(
                    f"tree of {problem.id}: got node {node.id} with parent {node.parent} as number {i}, expected each "
                    "behind its parent"
                )
        return tree
