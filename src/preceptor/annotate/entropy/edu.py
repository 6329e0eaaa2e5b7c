"""EDU-PRM: branch where the policy is unsure, label by the leaves below.

Greedy decoding; where the entropy of the next token exceeds tau, the runner-up goes on too. A fragment between
anchors is a step, its label the share of right leaves below it. tau = 1.0 is from memory, the cap of 64 leaves ours.
Deviations: undecided leaves do not count; a runner-up that ends the text or splits a number does not branch.
Cost of a tree: its L leaves, each written once from its anchor on, and read once. Left out: the pruned and the MCTS
variants. Leaves share beginnings, so they are no independent draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar

from preceptor.annotate.entropy.anchors import MINIMUM, TAU, check_settings
from preceptor.annotate.entropy.tree import Branch, Growing, Start
from preceptor.annotate.rollout.montecarlo import (
    Evidence,
    Prefix,
    Rollout,
    lost_prefix,
    obstacle,
    outcome,
    rollout_flags,
    tally,
)
from preceptor.errors import InputError, ItemError
from preceptor.generation import Continuation, Request, Sampling
from preceptor.grade import grade_many
from preceptor.judgement import Judgement, Question, Source, first_below
from preceptor.policy.next_tokens import Brancher
from preceptor.store import Store, complete
from preceptor.trace import Finish, Grade, Problem, Trace, Verdict, steps_from_ends
from preceptor.usage import Ledger, Usage

CAPPED = "leaf-cap"
UNREAD = "unread-branch"


@dataclass(frozen=True)
class EntropyTree:
    """What one problem gave: a trace and its labels per leaf, the greedy one first."""

    problem: Problem
    traces: tuple[Trace, ...]
    """Cut at the anchors; `parent` is the leaf that this one branched from."""
    judgements: tuple[Judgement, ...]
    """Their usage is what reading the entropies cost; what writing cost is in the usage of the traces."""
    counts: tuple[int, int]
    """(right, decided) leaves."""
    capped: bool
    """Whether the cap was reached, so that further anchors were not looked for."""
    error: ItemError | None = None
    """Why there is no tree."""

    @property
    def usage(self) -> Ledger:
        written = Ledger(policy=sum((t.usage for t in self.traces), Usage()))
        return sum((j.usage for j in self.judgements), written)


@dataclass(frozen=True)
class EduPRM:
    """`trees(problems)` gives labelled traces of its own, as published.

    `score(traces)` judges given ones: a tree is grown from every proper prefix, and its share of right leaves is
    the label; the last step is graded. A leaf of a tree below the cap gets the labels it has in that tree.
    """

    name: ClassVar[str] = "edu-prm"
    cost: ClassVar[str] = (
        "at most L (T - 1) greedy continuations, each read once; a tree of its own: at most L"
    )
    question: ClassVar[Question] = Question.VALUE

    policy: Brancher
    tau: float = TAU
    """Nats; infinity never branches."""
    minimum: int = MINIMUM
    """Tokens of a fragment, at least."""
    leaves: int = 64
    """L, of one tree."""
    max_tokens: int = 1024
    """Of a leaf, from the root of its tree on."""
    store: Store | None = field(default=None, repr=False)
    """Where continuations are kept; entropies are read again."""

    def __post_init__(self) -> None:
        check_settings(self.tau, self.minimum)
        if self.leaves < 1:
            raise InputError(f"leaves: got {self.leaves}, expected at least 1")
        if not isinstance(self.policy, Brancher):
            raise InputError(
                f"policy: got {type(self.policy).__name__}, expected one that gives entropies and runners-up "
                "(`next_tokens`). Load a local model: load_policy(DIRECTORY)."
            )

    @cached_property
    def source(self) -> Source:
        return Source.of(
            self.name,
            policy=self.policy.fingerprint,
            tau=str(self.tau),
            minimum=self.minimum,
            leaves=self.leaves,
            max_tokens=self.max_tokens,
        )

    def trees(self, problems: Sequence[Problem]) -> list[EntropyTree]:
        """One tree per problem, all branches of all trees in batched rounds."""
        errors = [_ungradable(problem) for problem in problems]
        grown = iter(self._grow([Prefix(p) for p, e in zip(problems, errors, strict=True) if e is None]))
        return [
            self._tree(problem, next(grown))
            if error is None
            else EntropyTree(problem, (), (), (0, 0), False, error)
            for problem, error in zip(problems, errors, strict=True)
        ]

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        """One judgement per trace; the trees of all prefixes of all traces grow together."""
        obstacles = [obstacle(trace) for trace in traces]
        sound = [trace for trace, error in zip(traces, obstacles, strict=True) if error is None]
        grown = iter(self._grow([Prefix.of(x, t) for x in sound for t in range(1, len(x.steps))]))
        return [
            self._judge(trace, [next(grown) for _ in trace.steps[1:]])
            if error is None
            else Judgement(trace.id, self.question, self.source, None, error=error)
            for trace, error in zip(traces, obstacles, strict=True)
        ]

    def _grow(self, prefixes: Sequence[Prefix]) -> list[Growing]:
        fingerprint, sampling = self.policy.fingerprint, Sampling(temperature=0, max_tokens=self.max_tokens)
        trees = [
            Growing(p, p.ids(fingerprint), self.tau, self.minimum, self.leaves, sampling) for p in prefixes
        ]
        while asked := [(tree, start) for tree in trees for start in tree.started()]:
            written = zip(asked, self._written(asked), strict=True)
            fresh = [(tree, tree.add(start, answer)) for (tree, start), answer in written]
            live = [(t, b) for t, b in fresh if not t.full and b.continuation.token_ids and b.text]
            requests = [b.request for _, b in live]
            ids = [b.continuation.token_ids or () for _, b in live]
            reads = self.policy.next_tokens(requests, ids, 2, self.tau) if live else []
            for (tree, branch), read in zip(live, reads, strict=True):
                tree.tell(branch, read)
        branches = [b for tree in trees for b in tree.branches]
        grades = grade_many(
            [(b.request.problem, b.request.prefix + b.continuation.text) for b in branches],
            [b.continuation.finish for b in branches],
        )
        for branch, found in zip(branches, grades, strict=True):
            branch.grade = found
        return trees

    def _written(self, asked: Sequence[tuple[Growing, Start]]) -> list[Continuation]:
        cut = [tree.no_room(start) for tree, start in asked]
        requests: list[Request] = [s.request for (_, s), full in zip(asked, cut, strict=True) if not full]
        answers = iter(complete(self.policy, requests, self.store))
        return [Continuation("", Finish.LENGTH, (), (), ()) if full else next(answers) for full in cut]

    def _judge(self, trace: Trace, trees: Sequence[Growing]) -> Judgement:
        evidence = [_evidence(tree, self.policy.fingerprint) for tree in trees]
        usage = Ledger(policy=sum((e.usage for e in evidence), Usage()))
        last = outcome(trace)
        rates = [*(e.value for e in evidence), float(last.correct) if last.decided else None]
        error = lost_prefix(evidence)
        if error is None and all(rate is None for rate in rates):
            error = ItemError("undecided", f"no leaf and no answer could be graded: {last.reason}")
        if error is not None:
            return Judgement(trace.id, self.question, self.source, None, usage=usage, error=error)
        return Judgement(
            trace.id,
            self.question,
            self.source,
            tuple(rates),
            counts=(*(e.counts for e in evidence), None),
            undecided=sum(e.undecided + e.failed for e in evidence),
            first_error=_first_zero(rates),
            flags=(*rollout_flags(evidence), *_tree_flags(trees)),
            usage=usage,
        )

    def _tree(self, problem: Problem, tree: Growing) -> EntropyTree:
        right = {id(b): _rollout(tree, b, self.policy.fingerprint).right for b in tree.branches}
        traces: dict[int, Trace] = {}
        judgements = []
        for number, branch in enumerate(tree.branches):
            nodes = branch.fragments(lambda b: right[id(b)])
            parent = None if branch.parent is None else traces[id(branch.parent)].id
            trace = self._leaf(problem, branch, [end for end, _ in nodes], number, parent)
            traces[id(branch)] = trace
            judgements.append(self._leaf_judgement(trace, branch, [counts for _, counts in nodes]))
        counts = tree.branches[0].counts(lambda b: right[id(b)])
        return EntropyTree(problem, tuple(traces.values()), tuple(judgements), counts, tree.full)

    def _leaf(
        self, problem: Problem, branch: Branch, ends: list[int], number: int, parent: str | None
    ) -> Trace:
        c = branch.continuation
        known = c.token_ids is not None and c.token_ends is not None
        whole = ends if ends and ends[-1] == len(branch.text) else [len(branch.text)] if branch.text else []
        return Trace(
            problem,
            branch.text,
            steps_from_ends(whole),
            c.finish,
            branch.grade or Grade(Verdict.UNDECIDED, "not graded"),
            self.policy.fingerprint,
            draw=number,
            token_ids=branch.ids if known else None,
            token_ends=branch.ends if known else None,
            logprobs=branch.logprobs if known else None,
            parent=parent,
            usage=c.usage,
            error=c.error,
        )

    def _leaf_judgement(self, trace: Trace, branch: Branch, counts: list[tuple[int, int]]) -> Judgement:
        usage, error = Ledger(policy=branch.read), obstacle(trace)
        rates = [good / decided if decided else None for good, decided in counts]
        if error is None and all(rate is None for rate in rates):
            error = ItemError(
                "undecided", f"no leaf below could be graded: {(trace.grade or outcome(trace)).reason}"
            )
        if error is not None:
            return Judgement(trace.id, self.question, self.source, None, usage=usage, error=error)
        flags = (UNREAD,) if branch.unread is not None else ()
        first = _first_zero(rates)
        return Judgement(
            trace.id,
            self.question,
            self.source,
            tuple(rates),
            tuple(counts),
            0,
            first,
            flags=flags,
            usage=usage,
        )


def _rollout(tree: Growing, branch: Branch, policy: str) -> Rollout:
    assert branch.grade is not None
    return Rollout(tree.prefix, branch.request, branch.continuation, branch.grade, policy)


def _evidence(tree: Growing, policy: str) -> Evidence:
    """Of all leaves, what reading them cost included."""
    found = tally([_rollout(tree, b, policy) for b in tree.branches])
    return replace(found, usage=sum((b.read for b in tree.branches), found.usage))


def _first_zero(rates: Sequence[float | None]) -> int | None:
    return first_below([None if rate is None else float(rate > 0) for rate in rates], 0.5)


def _tree_flags(trees: Sequence[Growing]) -> tuple[str, ...]:
    named = {
        CAPPED: any(tree.full for tree in trees),
        UNREAD: any(b.unread is not None for tree in trees for b in tree.branches),
    }
    return tuple(name for name, present in named.items() if present)


def _ungradable(problem: Problem) -> ItemError | None:
    return obstacle(Trace(problem, "?", steps_from_ends([1])))
