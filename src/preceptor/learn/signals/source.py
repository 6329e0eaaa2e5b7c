"""Trees where `learn` expects rollouts: a source whose training samples are the sequences of a tree.

    source = TreeSource(policy, Sampling(max_tokens=256), seed=0, start=2)

Everything else (held-out accuracy, other purposes) is sampled as usual. The draws asked for of a problem must be
0 to G - 1, a whole group: a tree cannot straddle processes. Credit needs the rollouts' `nodes` (`nodes.with_nodes`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from preceptor.errors import InputError
from preceptor.generation import Sampling
from preceptor.learn.rollouts import Engine, RolloutSource, TrainablePolicy
from preceptor.learn.signals.branching import TreeRollouts
from preceptor.trace import Problem, Trace, stream_seed


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
        began = time.perf_counter()
        self.policy.refresh()
        trees = TreeRollouts(self.policy, next(iter(sizes), self.start), self.start, sampling or self.sampling)
        seed, writer = stream_seed(self.seed, purpose, round_), f"{self.name}@{purpose}-{round_}"
        made = dict(zip(groups, trees.sample([p for p, _ in groups.values()], seed, writer), strict=True))
        self.usage += trees.spent
        self.seconds["generation"] += time.perf_counter() - began
        return [made[p.id][d] for p, d in zip(problems, draws, strict=True)]
