"""Whole-trace consensus of two annotators: a trace on which they differ goes, with all its labels.

By first error ("Lessons of Developing PRMs": Monte Carlo against a judge, keep iff e_MC = e_J), or by labels
up to the judge's first error (GenPRM's relative progress labels: 1 before it and 0 at it). No label changes, so
filtering twice is filtering once. What one side does not know is dropped and counted apart from disagreement.
Kept traces are the easy ones: about 40 % (the first, from memory) and 49 % (the second) survived.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from preceptor.annotate.rules.first_error import first_error_targets
from preceptor.errors import InputError
from preceptor.judgement import NO_ERROR

UNKNOWN, DISAGREE = "unknown", "disagree"


@dataclass(frozen=True)
class Consensus:
    """Which of some traces two annotators agree on."""

    kept: tuple[int, ...]
    """Indices of the traces that stay."""
    dropped: Mapping[str, int]
    """Why the others went, with counts: `"disagree"`, `"unknown"`."""

    @property
    def share(self) -> float | None:
        """Kept among all; None without traces."""
        total = len(self.kept) + sum(self.dropped.values())
        return len(self.kept) / total if total else None


def first_error_consensus(ours: Sequence[int | None], theirs: Sequence[int | None]) -> Consensus:
    """Keep the traces whose first errors are equal (0-based, `NO_ERROR`, or None for unknown).

    >>> first_error_consensus([2, -1, 0, None], [2, -1, 1, -1])
    Consensus(kept=(0, 1), dropped={'disagree': 1, 'unknown': 1})
    """
    _check_equal(ours, theirs)
    for e in (*ours, *theirs):
        if e is not None and e < NO_ERROR:
            raise InputError(
                f"first error: got {e}, expected a 0-based step, -1 for no error or None for unknown."
            )
    return _kept(None if a is None or b is None else a == b for a, b in zip(ours, theirs))


def label_consensus(
    labels: Sequence[Sequence[float | None]], first_errors: Sequence[int | None], *, threshold: float = 0.5
) -> Consensus:
    """Keep the traces whose labels up to the judge's first error are what it implies; a label counts as 1 from
    `threshold` on. Labels after the first error do not matter.

    A contradiction is one whatever else is missing; a missing label without one makes the trace unknown, and so
    does a trace without steps.
    """
    _check_equal(labels, first_errors)
    return _kept(_agree(own, e, threshold) for own, e in zip(labels, first_errors))


def _agree(labels: Sequence[float | None], first_error: int | None, threshold: float) -> bool | None:
    wanted = [w for w in first_error_targets(first_error, len(labels)) if w is not None]
    compared = list(zip(labels, wanted))
    if any(y is not None and (y >= threshold) != bool(w) for y, w in compared):
        return False
    return None if not compared or any(y is None for y, _ in compared) else True


def _check_equal(first: Sequence[object], second: Sequence[object]) -> None:
    if len(first) != len(second):
        raise InputError(
            f"consensus: got {len(first)} and {len(second)} traces, expected the same ones in the same order."
        )


def _kept(verdicts: Iterable[bool | None]) -> Consensus:
    found = list(verdicts)
    dropped = Counter(UNKNOWN if v is None else DISAGREE for v in found if not v)
    return Consensus(tuple(i for i, v in enumerate(found) if v), dict(dropped))
