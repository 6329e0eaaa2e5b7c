"""OPV's active learning (catalogue index 203): the items on which the verifier's runs differ most go to experts.

Uncertainty = 1 - share of the modal index of M runs; 0 for unanimous runs, whatever they say. Several experts per item
must agree; two and an adjudicator is the catalogue's default (the number was not found). Cost: none beyond the runs.
Left out: the fine-tuning rounds (`judges.opv.rejection_targets` and `index_reward` are their parts).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from preceptor.annotate.judges.opv import uncertainty_of
from preceptor.errors import InputError
from preceptor.judgement import Judgement


@dataclass(frozen=True)
class ForExperts:
    """Which items are worth an expert, most uncertain first."""

    chosen: tuple[int, ...]
    """Indices of items."""
    settled: tuple[int, ...]
    """Not chosen: less uncertain, or unanimous."""
    unknown: tuple[int, ...]
    """No run could be read: neither certain nor uncertain."""


def for_experts(uncertainties: Sequence[float | None], count: int) -> ForExperts:
    """The `count` most uncertain items; ties in their order. An item of uncertainty 0 is never chosen.

    >>> for_experts([0.0, 0.5, None, 0.75], 1)
    ForExperts(chosen=(3,), settled=(0, 1), unknown=(2,))
    """
    if count < 0:
        raise InputError(f"count: got {count}, expected 0 or more items.")
    known = [(-u, i) for i, u in enumerate(uncertainties) if u is not None]
    chosen = tuple(i for u, i in sorted(known) if u < 0)[:count]
    settled = tuple(i for _, i in known if i not in set(chosen))
    return ForExperts(chosen, settled, tuple(i for i, u in enumerate(uncertainties) if u is None))


def judged_for_experts(judgements: Sequence[Judgement], count: int) -> ForExperts:
    """The same from judgements with votes in `counts` (`OPV`, `Critique`)."""
    return for_experts([uncertainty_of(judged) for judged in judgements], count)


def agreed(experts: Sequence[int], adjudicator: int | None = None) -> int | None:
    """The index on which all experts (two or more) agree, else the adjudicator's; None while there is neither."""
    if len(experts) > 1 and len(set(experts)) == 1:
        return experts[0]
    return adjudicator
