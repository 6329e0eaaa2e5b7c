"""Particle filtering (probabilistic-inference-scaling; its_hub): prefixes are redrawn by the odds of their score.

n particles. Every particle that has not ended is continued by one step and the prefix scored, R; its log-weight is
logit(R), not an increment. Then n are redrawn with replacement by softmax(lw / T), particles that have finished
included, with the weight they ended with. When all have ended, the one of greatest weight wins ("bon"), or one drawn by
weight ("sample"), or a vote of the particles. Published: temperature of sampling 0.8, T = 1, multinomial, 40 steps.

A scorer that is constant leaves each particle distributed as the policy's samples; n = 1 is one sample. With `ess`,
particles are redrawn only where the effective sample size 1 / sum(w^2) is below that share of n, and weights that were
not used multiply (ours; the peers always redraw). `anneal=(T_end, steps)` moves T on a line.

Deviations: once all have ended they are not redrawn, since weights would count twice; a particle that is cut or failed
has no weight, nor has an unscored one while others are scored. Particles that are not drawn again are pruned, finished
ones too: chosen from only where no particle has an answer. Cost: at most n steps a level, each scored with its prefix.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from preceptor.generation import Sampling
from preceptor.search.aggregate import Aggregate, aggregate, resolve
from preceptor.search.sampling.resampling import RESAMPLERS, effective_size, log_odds, normalized
from preceptor.search.state import Search
from preceptor.search.strategy import Ask, Strategy, elect, steps
from preceptor.search.tree import Node, Status
from preceptor.search.vote import VOTES


@dataclass(frozen=True)
class ParticleFilter(Strategy):
    """Copies go where the scorer's odds are."""

    needs_scorer: ClassVar[bool] = True
    n: int = 8
    """Particles."""
    temperature: float = 1.0
    """Of the weights (T)."""
    aggregate: str | Aggregate = "last"
    max_steps: int = 40
    vote: str = field(default="bon", kw_only=True)
    """ "sample", or a name in `VOTES`: how the answer is chosen among the last particles."""
    resample: str = field(default="multinomial", kw_only=True)
    """Or "systematic"."""
    ess: float | None = field(default=None, kw_only=True)
    """Redraw only where the effective sample size is below this share of n (0.5 is usual); None: always."""
    absorb: bool = field(default=True, kw_only=True)
    """Finished particles are redrawn like the others; False: each stays as it is."""
    anneal: tuple[float, int] | None = field(default=None, kw_only=True)
    """T at the end, and after how many steps."""
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.8), kw_only=True)

    def __post_init__(self) -> None:
        resolve(self.aggregate)
        end, over = self.anneal or (1.0, 1)
        if min(self.n, self.max_steps, over) < 1 or min(self.temperature, end) <= 0:
            raise ValueError(
                f"particles: got {self!r}, expected n, max_steps, steps >= 1 and temperatures > 0"
            )
        if self.ess is not None and not 0 <= self.ess <= 1:
            raise ValueError(f"particles: got ess={self.ess}, expected a share of n in [0, 1], or None")
        for value, known in ((self.vote, ["sample", *VOTES]), (self.resample, list(RESAMPLERS))):
            if value not in known:
                raise ValueError(f"particles: got {value!r}, expected one of {sorted(known)}")

    @property
    def asked(self) -> int:
        return self.n

    def heat(self, step: int) -> float:
        """T after `step` steps."""
        if self.anneal is None:
            return self.temperature
        end, over = self.anneal
        return self.temperature + (end - self.temperature) * min(step / over, 1.0)

    def begin(self, search: Search) -> None:
        search.memory |= {"particles": [0] * self.n, "carried": [0.0] * self.n, "step": 0}

    def select(self, search: Search) -> list[Ask]:
        if search.round == 0:
            self.begin(search)
        sampling = steps(self.sampling, search.problem)
        copies = Counter(i for i in search.memory["particles"] if search.tree[i].status is Status.LIVE)
        return [Ask(search.tree[i], count, sampling) for i, count in copies.items()]

    def prune(self, search: Search, kids: Sequence[Node]) -> None:
        memory = search.memory
        born: dict[int, list[Node]] = {}
        for kid in kids:
            born.setdefault(kid.parent or 0, []).append(kid)
        memory["step"] += 1
        # a particle whose continuation the budget did not pay for stays where it is
        memory["particles"] = [born[i].pop(0).id if born.get(i) else i for i in memory["particles"]]
        for kid in kids:
            if kid.status is Status.LIVE and memory["step"] >= self.max_steps:
                kid.status, kid.data["why"] = Status.CUT, "at the greatest depth"
        self.turn(search)

    def turn(self, search: Search) -> None:
        """All particles have made a step: redraw them while some go on."""
        memory = search.memory
        nodes = [search.tree[i] for i in memory["particles"]]
        if not any(n.status is Status.LIVE for n in nodes):
            return
        free = [j for j, n in enumerate(nodes) if self.absorb or n.status is not Status.DONE]
        drawn = self.draw(search, [nodes[j] for j in free], [memory["carried"][j] for j in free], len(free))
        if drawn is None:
            for j, node in enumerate(nodes):
                memory["carried"][j] += self.log_weight(node) or 0.0
            return
        fresh = [nodes[free[i]] for i in drawn]
        for j, node in zip(free, fresh, strict=True):
            memory["particles"][j], memory["carried"][j] = node.id, 0.0
        self.bury(search, nodes)

    def draw(
        self, search: Search, nodes: Sequence[Node], carried: Sequence[float], count: int
    ) -> list[int] | None:
        """Indices of the particles to go on with; None: weights are even enough to keep all."""
        own = [self.log_weight(n) for n in nodes]
        total = [None if lw is None else lw + before for lw, before in zip(own, carried, strict=True)]
        step = search.memory["step"]
        weights = normalized(total, self.heat(step))
        size = effective_size(weights)
        for node, weight in zip(nodes, weights, strict=True):
            node.data["weight"] = weight
        root: dict[str, Any] = search.tree.root.data
        root["ess"] = [*root.get("ess", []), size]
        if self.ess is not None and size >= self.ess * len(nodes):
            return None
        return RESAMPLERS[self.resample](weights, count, search.rng("resample", search.round))

    def log_weight(self, node: Node) -> float | None:
        """None: unscored; -inf: cut or failed, so it can come to nothing."""
        if node.status not in (Status.LIVE, Status.DONE):
            return -math.inf
        score = aggregate(node.scores, self.aggregate)
        return None if score is None else log_odds(score)

    def bury(self, search: Search, nodes: Sequence[Node]) -> None:
        """Mark those that no particle stands on any more."""
        kept = self.standing(search)
        for node in nodes:
            if node.id not in kept and node.status in (Status.LIVE, Status.DONE):
                node.data["why"] = "not drawn again"
                node.status = Status.PRUNED if node.status is Status.LIVE else Status.DONE

    def last(self, search: Search) -> list[tuple[int, float]]:
        """The particles of the end: node, and log-weight that was carried there."""
        return list(zip(search.memory.get("particles", ()), search.memory.get("carried", ()), strict=True))

    def standing(self, search: Search) -> set[int]:
        """Nodes that are in use."""
        return {i for i, _ in self.last(search)}

    def candidates(self, search: Search) -> list[Node]:
        """Each solution once, however many particles stand on it."""
        ids = self.standing(search)
        stood = [n for n in search.done if n.id in ids]
        return stood if any(n.canon is not None for n in stood) else search.done

    def choose(self, search: Search) -> Node | None:
        last = [(search.tree[i], carried) for i, carried in self.last(search)]
        ended = [(n, carried) for n, carried in last if n.status is Status.DONE and n.canon is not None]
        if not ended:
            return elect(search.done, "bon", self.aggregate)
        if self.vote != "sample":
            return elect([n for n, _ in ended], self.vote, self.aggregate)
        total = [None if (lw := self.log_weight(n)) is None else lw + carried for n, carried in ended]
        weights = normalized(total, self.heat(search.memory["step"]))
        return ended[int(search.rng("choice").choice(len(ended), p=weights))][0]
