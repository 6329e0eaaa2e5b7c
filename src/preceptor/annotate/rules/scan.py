"""SCAN: soft targets just before an error found by sampling, where the label is least certain.

Sampling finds errors too early on problems the sampler is bad at and too late, usually by few steps, when it
repairs them. So steps at distance 1..d before the error get min(Q(t) / SC, 1), with SC the success rate of
the bare problem, steps further away 1, the error 0, and the targets end there. Right traces are all 1 without
rollouts (`outcome.copy_outcome`). Published: d = 2, problems with SC >= 0.75 only, 8 rollouts.
"""

from __future__ import annotations

from collections.abc import Sequence

from preceptor.errors import InputError


def scan_targets(
    values: Sequence[float | None], self_confidence: float, *, distance: int = 2
) -> tuple[float, ...] | None:
    """Targets up to the first value of 0, and with it; None where no prefix reached 0: discard that trace.

    `values[t]` is the success rate after step t; those after the error may be missing. Raises InputError when
    one that is needed is None.
    """
    if not 0 < self_confidence <= 1:
        raise InputError(f"self_confidence: got {self_confidence}, expected a rate in (0, 1].")
    error = next((t for t, v in enumerate(values) if v == 0), None)
    if error is None:
        return None
    soft = []
    for t in range(max(0, error - distance), error):
        value = values[t]
        if value is None:
            raise InputError(f"step {t}: got no value {error - t} before the error, expected a rate.")
        soft.append(min(value / self_confidence, 1.0))
    return (1.0,) * (error - len(soft)) + tuple(soft) + (0.0,)
