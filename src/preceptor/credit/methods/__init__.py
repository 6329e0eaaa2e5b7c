"""The settings of each method: one row a method, one file a family, nothing else.

A key is the method's; a suffix names a variant. `MARKS` says what in a row is not from the publication:
"(from memory)" or "not found, ours". To add a family: a file with a `METHODS` and a `MARKS` literal, one line in
each of the two tables here. Which of the six invariants a row breaks by design, and why, is listed in
`tests/credit/test_invariants.py`.
"""

from preceptor.credit.config import CreditConfig
from preceptor.credit.methods import (
    beliefs,
    filters,
    gates,
    implicit,
    judges,
    minimum,
    outcome,
    progress,
    scalars,
    shaping,
    tokens,
    trees,
)

METHODS: dict[str, CreditConfig] = {
    **outcome.METHODS,
    **progress.METHODS,
    **minimum.METHODS,
    **implicit.METHODS,
    **shaping.METHODS,
    **beliefs.METHODS,
    **trees.METHODS,
    **tokens.METHODS,
    **judges.METHODS,
    **gates.METHODS,
    **scalars.METHODS,
    **filters.METHODS,
}

MARKS: dict[str, tuple[str, ...]] = {
    **outcome.MARKS,
    **progress.MARKS,
    **minimum.MARKS,
    **implicit.MARKS,
    **shaping.MARKS,
    **beliefs.MARKS,
    **trees.MARKS,
    **tokens.MARKS,
    **judges.MARKS,
    **gates.MARKS,
    **scalars.MARKS,
    **filters.MARKS,
}

__all__ = ["MARKS", "METHODS"]
