"""Trees where `learn` expects rollouts: sources whose training samples are the sequences of a tree.

    learn(policy, problems, method="treeps_rag", sampler=TreeSource, ...)

    TreeSource        `treeps_rag`: two chains, the other draws of a problem are branches
    AttentionSource   `attnrl`: a third of the draws are responses, the others branches at steps that are looked back to
    SiblingSource     `slate`: next steps of one prefix, `width` a level; the rollouts are trained from their last step

Everything else (held-out accuracy, other purposes) is sampled as usual. The draws asked for of a problem must be
0 to G - 1, a whole group: a tree cannot straddle processes. A batch has a fixed size, so a tree that has fewer than G
sequences is filled up with failed traces ("no-branch"), which are in no statistic and are not trained on; one with
more is never grown. Ours: how G is divided (published: 6 responses and up to 12 branches, G = 18; 5 siblings on 4
levels, G = 20).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from preceptor.credit import Rollout
from preceptor.credit.ops.slate import truncated
from preceptor.errors import InputError, ItemError
from preceptor.generation import Sampling
from preceptor.judgement import Scorer
from preceptor.learn.rollouts import Engine, RolloutSource, TrainablePolicy
from preceptor.learn.signals.attention import AttentionTree
from preceptor.learn.signals.branching import TreeRollouts
from preceptor.learn.signals.next_steps import NextSteps
from preceptor.trace import Finish, Problem, Trace, stream_seed
from preceptor.usage import Usage

Trees = list[list[Trace]]


class TreeSource(RolloutSource):
    """`start`: chains a problem, the other draws are branches; `purposes`: what is sampled as trees."""

    def __init__(
        self,
        policy: TrainablePolicy,
        sampling: Sampling,
        seed: int,
        *,
        start: int = 2,
        purposes: Sequence[str] = ("train",),
    ):
        super().__init__(policy, sampling, seed)
        self.start, self.purposes = start, tuple(purposes)

    def traces(
        self,
        problems: Sequence[Problem],
        draws: Sequence[int],
        purpose: str,
        round_: int,
        sampling: Sampling | None = None,
        engine: Engine | None = None,
    ) -> list[Trace]:
        if purpose not in self.purposes:
            return super().traces(problems, draws, purpose, round_, sampling, engine)
        if engine is not None:
            raise InputError("tree rollouts: got another engine to sample with, expected the policy's own.")
        groups: dict[str, tuple[Problem, list[int]]] = {}
        for problem, draw in zip(problems, draws, strict=True):
            groups.setdefault(problem.id, (problem, []))[1].append(draw)
        sizes = {len(own) for _, own in groups.values()}
        if len(sizes) > 1 or any(sorted(own) != list(range(len(own))) for _, own in groups.values()):
            raise InputError(
                "tree rollouts: got part of a group, expected all draws of a problem at once. Run in one process, or "
                "choose numbers that keep a group in one."
            )
        began, size = time.perf_counter(), next(iter(sizes), self.start)
        self.policy.refresh()
        seed, writer = stream_seed(self.seed, purpose, round_), f"{self.name}@{purpose}-{round_}"
        grown = self.grow([p for p, _ in groups.values()], size, sampling or self.sampling, seed, writer)
        made = {key: [*tree, *self._blanks(groups[key][0], size - len(tree), seed, writer)]
                for key, tree in zip(groups, grown, strict=True)}  # fmt: skip
        self.seconds["generation"] += time.perf_counter() - began
        return [made[p.id][d] for p, d in zip(problems, draws, strict=True)]

    def grow(
        self, problems: Sequence[Problem], size: int, sampling: Sampling, seed: int, writer: str
    ) -> Trees:
        """At most `size` graded traces a problem; their cost in `usage`."""
        trees = TreeRollouts(self.policy, size, min(self.start, size), sampling)
        made = trees.sample(problems, seed, writer)
        self.usage += trees.spent
        return made

    def _blanks(self, problem: Problem, count: int, seed: int, writer: str) -> list[Trace]:
        error = ItemError("no-branch", "the tree has fewer sequences than the batch has places")
        return [
            Trace(problem, "", (), Finish.ERROR, policy=writer, seed=seed, error=error) for _ in range(count)
        ]


class AttentionSource(TreeSource):
    """G draws are G // 3 responses and as many branches as their accuracy asks for, at most G in all."""

    def __init__(self, policy: TrainablePolicy, sampling: Sampling, seed: int, **options: Any):
        super().__init__(policy, sampling, seed)
        self.tree = AttentionTree(policy, sampling=sampling, **options)

    def grow(
        self, problems: Sequence[Problem], size: int, sampling: Sampling, seed: int, writer: str
    ) -> Trees:
        tree, self.tree.spent = self.tree, Usage()
        tree.responses, tree.sampling = size // (1 + tree.positions), sampling
        if tree.responses < 2:
            raise InputError(
                f"attnrl: got groups of {size}, expected at least {2 * (1 + tree.positions)}: a response has up to "
                f"{tree.positions} branches. Ask for more generations."
            )
        made = tree.sample(problems, seed, writer)
        self.usage += tree.spent
        return made

    def state_dict(self) -> dict[str, Any]:
        return {"mean": self.tree.solved.mean, "count": self.tree.solved.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.tree.solved = replace(self.tree.solved, **state)


class SiblingSource(TreeSource):
    """G draws are levels of `width` siblings, G // width of them but at most `depth`; `scorer` chooses between them.

    Fewer draws than `width` are one level. Each sibling is judged twice: here, and for the credit.
    """

    def __init__(
        self,
        policy: TrainablePolicy,
        sampling: Sampling,
        seed: int,
        *,
        scorer: Scorer,
        width: int = 5,
        depth: int = 4,
    ):
        super().__init__(policy, sampling, seed)
        self.scorer, self.width, self.depth = scorer, width, depth

    def grow(
        self, problems: Sequence[Problem], size: int, sampling: Sampling, seed: int, writer: str
    ) -> Trees:
        width = min(self.width, size)
        steps = NextSteps(self.policy, self.scorer, width, min(self.depth, size // width), sampling=sampling)
        found = steps.sample(problems, seed, writer)
        self.usage += steps.spent.policy + steps.spent.scorer
        own: dict[str, list[Trace]] = {p.id: [] for p in problems}
        for trace in found.traces:
            own[trace.problem.id].append(trace)
        return [own[p.id] for p in problems]

    def trained(self, rollout: Rollout) -> Rollout:
        """Without an outcome, from the last step on."""
        return truncated(replace(rollout, outcome=None))


SOURCES: dict[str, Callable[..., RolloutSource]] = {
    "attnrl": AttentionSource,
    "slate": SiblingSource,
    "treeps_rag": TreeSource,
}
"""Method -> `learn`'s `sampler`; a variant (`NAME_something`) has its method's."""


def tree_source(method: str, scorer: Scorer | None = None) -> Callable[..., RolloutSource] | None:
    """Who samples for a method of trees, called with (policy, sampling, seed); None for a method without trees."""
    name = next((n for n in SOURCES if method == n or method.startswith(f"{n}_")), None)
    if name != "slate":
        return None if name is None else SOURCES[name]
    if scorer is None:
        raise InputError("method slate: got no scorer, expected one: it chooses between next steps.")
    return partial(SiblingSource, scorer=scorer)
