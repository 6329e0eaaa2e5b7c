"""Beam search by process advantage verifiers: Rewarding Progress (PAV, 2410.08146).

A step is ranked by `g = Q + alpha * (Q_mu - V_mu)`: the value of the prefix under the policy that is searched, plus the
progress a prover mu sees in the step, V_mu being Q_mu of the prefix before it. Finished solutions are chosen by Q
alone. The scorer's scores are Q. The prover is the best of `prover` samples of the same policy, Q_mu = 1 - (1 - Q)^K,
which needs no second model; or, with `prover=None`, another scorer of value, put beside the first:

    solve(policy, problems, PavBeam(prover=None), Paired(value, prover, "prover"))

`alpha=0` is `StepBeam`. With `prover=1`, the policy itself, g = (1 + alpha) Q - alpha V: siblings keep their order.
Before the first step V_mu is taken as 0: it is the same for all first steps. A step whose Q_mu or V_mu is not known is
unscored and ranks last. Defaults: K = 4 and alpha = 0.5 (0.2 for the largest policy), both from memory; the size of the
beam was not found, 4 x 4 is ours. Cost: as `StepBeam`, twice the scoring with another prover.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from preceptor.search.state import Search
from preceptor.search.step_beam import StepBeam
from preceptor.search.tree import Node

NAME = "prover"


@dataclass(frozen=True)
class PavBeam(StepBeam):
    """Keep the prefixes of each level with the best value and progress."""

    alpha: float = 0.5
    """Weight of the progress."""
    prover: int | None = field(default=4, kw_only=True)
    """K: best of K of the policy; None: what the scorer says under the name "prover"."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.alpha < 0 or (self.prover is not None and self.prover < 1):
            raise ValueError(f"pav beam: got {self!r}, expected alpha >= 0 and prover >= 1 or None")

    def worth(self, search: Search, node: Node) -> float | None:
        own = super().worth(search, node)
        if own is None or self.alpha == 0:
            return own
        gain = self._progress(node)
        return None if gain is None else own + self.alpha * gain

    def _progress(self, node: Node) -> float | None:
        """Q_mu after the node's last step less Q_mu before its first."""
        values = node.scores or ()
        if self.prover is not None:
            under: Sequence[float | None] = [_best_of(self.prover, q) for q in values]
        else:
            under = node.data.get("judged", {}).get(NAME) or ()
        if len(under) != len(values):
            return None
        before = under[node.first_step - 1] if node.first_step else 0.0
        after = under[-1]
        return None if before is None or after is None else after - before


def _best_of(k: int, value: float | None) -> float | None:
    """1 - (1 - Q)^K: how often one of K independent tries succeeds."""
    if value is not None and not 0 <= value <= 1:
        raise ValueError(
            f"pav beam: got the value {value}, expected a success rate in [0, 1]. Map the scores, or give a prover "
            'of your own: prover=None and Paired(value, prover, "prover").'
        )
    return None if value is None else 1.0 if value == 1 else -math.expm1(k * math.log1p(-value))
