"""Targets around the first error: what becomes of the steps after it, and targets from its index alone.

    keep      as labelled (Math-Shepherd)
    mask      no target: a validity label after an error has no meaning (PRM800K)
    wrong     0: a prefix that holds an error stays wrong (Uesato et al., UnPRM)
    truncate  the targets end with the error (SCAN, Multi-RM); the caller cuts the trace to as many steps

For a model that reads left to right, `truncate` trains like `mask` at a lower cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from preceptor.errors import InputError
from preceptor.judgement import NO_ERROR

Policy = Literal["keep", "mask", "wrong", "truncate"]


def after_error(
    targets: Sequence[float | None], policy: Policy, *, threshold: float = 0.5
) -> tuple[float | None, ...]:
    """`targets` with the steps after the first one below `threshold` treated as `policy` says.

    A step without a target is never the first error, so an error hidden behind it is not seen.
    """
    if policy not in ("keep", "mask", "wrong", "truncate"):
        raise InputError(f"after_error: got {policy!r}, expected keep, mask, wrong or truncate.")
    ends = (t + 1 for t, y in enumerate(targets) if y is not None and y < threshold)
    head = tuple(targets[: next(ends, len(targets))])
    rest = len(targets) - len(head)
    if policy == "keep":
        return tuple(targets)
    return head + {"mask": (None,) * rest, "wrong": (0.0,) * rest, "truncate": ()}[policy]


def first_error_targets(
    first_error: int | None, steps: int, *, policy: Literal["mask", "wrong", "truncate"] = "mask"
) -> tuple[float | None, ...]:
    """1 before the first error and 0 at it, from its 0-based index; all 1 for `NO_ERROR`, all None for
    None."""
    if first_error is None:
        return (None,) * steps
    if not NO_ERROR <= first_error < steps:
        raise InputError(
            f"first_error: got {first_error} in a trace of {steps} steps, expected a 0-based step, -1 for "
            "no error or None for unknown."
        )
    if first_error == NO_ERROR:
        return (1.0,) * steps
    return after_error((1.0,) * first_error + (0.0,) * (steps - first_error), policy)
