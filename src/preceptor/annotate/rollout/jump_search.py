"""Where UnPRM looks for the first error of a wrong trace, and in which order: jumps of the steps' uncertainty.

A step's uncertainty is the entropy of the softmax, over the positions of the step, of its tokens' log-probabilities
divided by 5. It is bounded by log(number of tokens) and so mostly measures length: `"normalised-entropy"` divides
by that bound. Pure: no rollouts here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from preceptor.trace import Trace

Uncertainty = Literal["entropy", "normalised-entropy", "surprisal"]
KINDS: tuple[Uncertainty, ...] = ("entropy", "normalised-entropy", "surprisal")
TEMPERATURE = 5.0


def step_logprobs(trace: Trace) -> list[list[float]] | None:
    """Log-probabilities of the tokens that end in each step; None where the trace has none."""
    if trace.logprobs is None or trace.token_ends is None:
        return None
    at, found = 0, []
    for step in trace.steps:
        start = at
        while at < len(trace.token_ends) and trace.token_ends[at] <= step.end:
            at += 1
        found.append(list(trace.logprobs[start:at]))
    return found


def uncertainty(logprobs: Sequence[float], kind: Uncertainty = "entropy") -> float:
    """Of one step, from its tokens; 0 for a step without a token of its own. `"surprisal"` is the sum of
    -log p."""
    if kind == "surprisal":
        return -sum(logprobs)
    if len(logprobs) < 2:
        return 0.0
    top = max(logprobs)
    weights = [math.exp((p - top) / TEMPERATURE) for p in logprobs]
    shares = [w / sum(weights) for w in weights]
    entropy = -sum(s * math.log(s) for s in shares if s > 0)
    return entropy / math.log(len(logprobs)) if kind == "normalised-entropy" else entropy


def jump_order(uncertainties: Sequence[float]) -> list[int]:
    """The steps 2..T-1 (1-based) by descending rise of uncertainty over the step before; ties: earlier first.

    >>> jump_order([1.0, 1.1, 1.8, 2.1, 0.0])
    [3, 4, 2]
    """
    steps = range(2, len(uncertainties))
    jumps = {i: round(uncertainties[i - 1] - uncertainties[i - 2], 9) for i in steps}
    return sorted(steps, key=lambda i: (-jumps[i], i))


class JumpSearch:
    """Search for the first failing prefix of a wrong trace of `steps` steps, in a given order.

    Visits `order` until a prefix fails; the last step when none does. Then, if `backwards`, it walks back from
    there while prefixes fail, for any step after an error fails as well, and the order knows nothing of step 1.

    >>> search = JumpSearch([3, 4, 2], steps=5)
    >>> while (t := search.probe) is not None:
    ...     search.observe(t, fails=t >= 2)
    >>> search.visited, search.first_error
    ([3, 2, 1], 1)
    """

    def __init__(self, order: Sequence[int], steps: int, backwards: bool = True):
        self.order, self.steps, self.backwards = list(order), steps, backwards
        self.visited: list[int] = []
        """Prefix lengths in the order probed."""
        self._earliest = None if self.order else steps
        """The earliest failing step known; None while the order is being followed."""
        self._passed: set[int] = set()

    @property
    def probe(self) -> int | None:
        """Length of the next prefix to try; None when the search is over."""
        if self._earliest is None:
            return self.order[len(self.visited)]
        before = self._earliest - 1
        return before if self.backwards and before >= 1 and before not in self._passed else None

    @property
    def first_error(self) -> int | None:
        """0-based; None while the search goes on."""
        return None if self._earliest is None or self.probe is not None else self._earliest - 1

    def observe(self, t: int, fails: bool) -> None:
        self.visited.append(t)
        if fails:
            self._earliest = t
        else:
            self._passed.add(t)
            if self._earliest is None and len(self.visited) == len(self.order):
                self._earliest = self.steps
