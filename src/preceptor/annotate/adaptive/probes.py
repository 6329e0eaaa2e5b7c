"""Which prefix to continue next: expected information about the first error per token.

A rollout tells whether the error lies before or behind its start. If the start is sound it succeeds unless it
errs itself, and how likely that is varies from rollout to rollout: it is averaged over the attempts at the
problem that are known. If the start is spoiled it succeeds only by mending; if it was mended already, like a
sound one, so that the last steps of a right attempt are not asked about. Where nearly all draws so far were
repeats, a new one is likely to be another (Good-Turing). Left out: what two probes tell together.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from preceptor.annotate.adaptive.forest import Floats


@dataclass(frozen=True, order=True)
class Probe:
    """A rollout from the first `steps` steps of trace number `trace`."""

    price: float
    """Minus the nats promised per token, so that the best sorts first."""
    trace: int
    steps: int
    nats: float = field(compare=False)


@dataclass
class Drawn:
    """What has been drawn from one node."""

    count: int = 0
    texts: Counter[str] = field(default_factory=Counter)

    @property
    def novelty(self) -> float:
        """Estimated probability that the next draw is a new text."""
        once = sum(n == 1 for n in self.texts.values())
        return (once + 1) / (self.count + 1)


def candidates(
    trace: int,
    path: Sequence[int],
    chances: Floats,
    mended: Floats,
    survival: dict[int, list[float]],
    mends: float,
    tokens: Sequence[int],
    drawn: dict[int, Drawn],
) -> Iterator[Probe]:
    """Every sensible probe of one trace. `chances`: (T + 1,) posterior of the first error, none last; `mended`: (T,)
    posterior that an error was made and made up for by then; `survival`: steps left -> probabilities that known
    attempts at the problem err in none of them."""
    before = np.cumsum(chances)
    for t in range(1, len(path)):
        spoiled = float(before[t - 1])
        if not 0.002 < spoiled < 0.998:
            continue
        left = len(path) - t
        sound = np.array(survival.get(left) or [0.5])
        up_for = min(1.0, float(mended[t - 1]) / spoiled)
        lucky = up_for * sound + (1 - up_for) * (1 - (1 - mends) ** left)
        hit = (1 - spoiled) * sound + spoiled * lucky
        nats = float((_entropy(hit) - (1 - spoiled) * _entropy(sound) - spoiled * _entropy(lucky)).mean())
        nats *= drawn[path[t - 1]].novelty
        cost = max(1, sum(tokens[node] for node in path[t:]))
        yield Probe(-nats / cost, trace, t, nats)


def survivals(paths: Sequence[Sequence[int]], errs: Floats) -> dict[int, list[float]]:
    """Steps left -> for each attempt, the probability that it errs in none of its last so many steps."""
    found: dict[int, list[float]] = defaultdict(list)
    for path in paths:
        kept = np.cumprod(1 - errs[np.array(path, dtype=np.int64)][::-1])
        for left, value in enumerate(kept, start=1):
            found[left].append(float(value))
    return found


def _entropy(p: Floats | float) -> Floats:
    q = np.clip(p, 1e-12, 1 - 1e-12)
    return np.asarray(-(q * np.log(q) + (1 - q) * np.log(1 - q)))
