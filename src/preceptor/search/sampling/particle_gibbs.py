"""Particle Gibbs (its_hub: conditional particle filtering): sweeps of `ParticleFilter` around one kept particle.

`sweeps` times: n / sweeps particles are filtered. After a sweep one is drawn by softmax(lw / T) as reference. In the
next it keeps a place of its own; at step t it weighs what its first t steps weigh, not what it came to in the end, and
a free particle that draws it goes on from there, its later steps forgotten. The last sweep's particles are chosen from.

The peer's reference always weighs what it came to in the end (its branch for this is never reached); fixed here. One
reference, no ancestor sampling. One sweep is particle filtering, the published default; 2 is ours. Particles are always
redrawn (no `ess`), finished ones too (`absorb`). Cost: that of n particles, less the references.
"""

from __future__ import annotations

from dataclasses import dataclass

from preceptor.search.sampling.particle_filter import ParticleFilter
from preceptor.search.sampling.resampling import normalized
from preceptor.search.state import Search
from preceptor.search.strategy import Ask
from preceptor.search.tree import Node, Status


@dataclass(frozen=True)
class ParticleGibbs(ParticleFilter):
    """Particles of all sweeps together: `n`."""

    sweeps: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sweeps < 1 or self.n % self.sweeps or (self.sweeps > 1 and self.n < 2 * self.sweeps):
            raise ValueError(
                f"particle Gibbs: got n={self.n}, sweeps={self.sweeps}, expected n to be a multiple of sweeps, with "
                "at least 2 particles a sweep"
            )
        if self.ess is not None or not self.absorb:
            raise ValueError(
                "particle Gibbs: got ess or absorb, expected neither. They belong to ParticleFilter."
            )

    @property
    def asked(self) -> int:
        return self.n // self.sweeps

    def begin(self, search: Search) -> None:
        """A sweep: the free particles stand at the root."""
        free = self.asked - ("reference" in search.memory)
        search.memory |= {"particles": [0] * free, "carried": [0.0] * free, "step": 0}

    def select(self, search: Search) -> list[Ask]:
        asks = super().select(search)
        memory = search.memory
        while not asks and memory.setdefault("sweep", 1) < self.sweeps:
            nodes = [search.tree[i] for i, _ in self.last(search)]
            weights = normalized([self.log_weight(n) for n in nodes], self.heat(memory["step"]))
            chosen = int(search.rng("reference", memory["sweep"]).choice(len(nodes), p=weights))
            memory.pop("reference", None)
            if nodes[chosen].status is Status.DONE:
                memory["reference"] = nodes[chosen].id
            memory["sweep"] += 1
            self.begin(search)
            self.bury(search, nodes)
            asks = super().select(search)
        return asks

    def turn(self, search: Search) -> None:
        memory = search.memory
        nodes = [search.tree[i] for i in memory["particles"]]
        if not any(n.status is Status.LIVE for n in nodes):
            return
        pool = nodes if "reference" not in memory else [*nodes, self._reference(search)]
        drawn = self.draw(search, pool, [0.0] * len(pool), len(nodes))
        if drawn is not None:
            memory["particles"] = [pool[i].id for i in drawn]
            self.bury(search, nodes)

    def _reference(self, search: Search) -> Node:
        """The kept particle after as many steps as the others have made, or where it ended."""
        kept: int = search.memory["reference"]
        lineage = list(search.tree.lineage(search.tree[kept]))[::-1]
        return lineage[min(int(search.memory["step"]), len(lineage) - 1)]

    def last(self, search: Search) -> list[tuple[int, float]]:
        reference = search.memory.get("reference")
        return [*super().last(search), *([] if reference is None else [(reference, 0.0)])]

    def standing(self, search: Search) -> set[int]:
        """The path of the reference is needed to its beginning."""
        reference = search.memory.get("reference")
        path = [] if reference is None else [n.id for n in search.tree.lineage(search.tree[reference])]
        return {*super().standing(search), *path}
