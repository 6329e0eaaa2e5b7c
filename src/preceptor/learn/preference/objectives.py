"""`LOSSES`: which records a loss reads, and how it is computed from the parts of a batch.

`compute(sums, batch, config)` gives the loss and figures for the log; sums (P,) are the parts' log-probabilities.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from preceptor.learn.preference import losses
from preceptor.learn.preference.config import PreferenceConfig
from preceptor.learn.preference.records import Attempt, Pair
from preceptor.learn.preference.rows import part_sizes

Batch = dict[str, Tensor]
Figures = dict[str, Tensor]
Compute = Callable[[Tensor, Batch, PreferenceConfig], tuple[Tensor, Figures]]


@dataclass(frozen=True)
class Objective:
    record: type[Pair] | type[Attempt]
    compute: Compute | None
    """None: TRL's trainer computes it."""
    rows: str
    """The method of `rows.Encoder`."""
    reference: bool = True
    weighted: bool = False
    """Whether the records' weights are read; other losses refuse weights that are not 1."""


def _sides(values: Tensor) -> tuple[Tensor, Tensor]:
    chosen, rejected = values.view(-1, 2).unbind(1)
    return chosen, rejected


def _figures(chosen: Tensor, rejected: Tensor, rewards: Tensor) -> Figures:
    return {
        "margin": rewards.detach().mean(),
        "accuracy": (rewards > 0).float().mean(),
        "chosen_logp": chosen.detach().mean(),
        "rejected_logp": rejected.detach().mean(),
    }


def _w_dpo(sums: Tensor, batch: Batch, config: PreferenceConfig) -> tuple[Tensor, Figures]:
    chosen, rejected = _sides(sums)
    margins = losses.dpo_margins(chosen, rejected, *_sides(batch["reference"]))
    loss = losses.w_dpo(margins, batch["weight"], config.beta)
    return loss, _figures(chosen, rejected, config.beta * margins)


def _dpo_nll(sums: Tensor, batch: Batch, config: PreferenceConfig) -> tuple[Tensor, Figures]:
    chosen, rejected = _sides(sums)
    margins = losses.dpo_margins(chosen, rejected, *_sides(batch["reference"]))
    loss = losses.dpo_nll(margins, chosen, config.beta, config.nll)
    return loss, _figures(chosen, rejected, config.beta * margins)


def _orpo(sums: Tensor, batch: Batch, config: PreferenceConfig) -> tuple[Tensor, Figures]:
    (chosen, rejected), sizes = _sides(sums), _sides(part_sizes(batch))
    odds = losses.log_odds(chosen, sizes[0]) - losses.log_odds(rejected, sizes[1])
    return losses.orpo(chosen, rejected, sizes, config.lam), _figures(chosen, rejected, odds)


def _nll(sums: Tensor, batch: Batch, config: PreferenceConfig) -> tuple[Tensor, Figures]:
    return losses.nll(sums, part_sizes(batch), batch["weight"]), {}


def _step_kto(sums: Tensor, batch: Batch, config: PreferenceConfig) -> tuple[Tensor, Figures]:
    ratios, apart = sums - batch["reference"], batch["mismatched"]
    own, good = ratios[~apart], batch["good"][~apart]
    loss = losses.step_kto(
        own,
        good,
        batch["share"][~apart],
        ratios[apart],
        len(batch["weight"]),
        config.beta,
        config.desirable,
        config.undesirable,
    )
    figures = {"z0": ratios[apart].detach().mean().clamp(min=0)}
    for name, mask in (("good_ratio", good), ("bad_ratio", ~good)):
        if mask.any():
            figures[name] = own[mask].detach().mean()
    return loss, figures


LOSSES: dict[str, Objective] = {
    "dpo": Objective(Pair, None, "pairs"),
    "w_dpo": Objective(Pair, _w_dpo, "pairs", weighted=True),
    "dpo_nll": Objective(Pair, _dpo_nll, "pairs"),
    "mah_dpo": Objective(Pair, _w_dpo, "pairs", weighted=True),
    "orpo": Objective(Pair, _orpo, "pairs", reference=False),
    "step_kto": Objective(Attempt, _step_kto, "labelled"),
    "nll": Objective(Attempt, _nll, "attempts", reference=False, weighted=True),
}
