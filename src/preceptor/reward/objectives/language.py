"""Objectives whose model stays a language model: implicit process rewards, and verifiers that write.

    implicit-ce, -dpo, -kto, -nca   log-ratio to a reference, from outcomes alone (arXiv 2412.01981)
    generative-sft                  verdicts, with rationales where the labels have them, in a style of `generative/`
    generative-dpo                  right against wrong verdicts that the model itself wrote (R-PRM)

`preceptor.reward.train(objective=...)` takes these names or objects; `reward/language.py` trains them. Published
learning rates are far below `TrainConfig`'s: 5e-7 (implicit, generative-dpo), 5e-6 (R-PRM), 2e-6 (GenPRM).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from preceptor.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from preceptor.reward.generative import GenerativePRM, Style
    from preceptor.reward.objective import Batch


@dataclass(frozen=True)
class Implicit:
    """r(y) = beta * log(p(y) / p_ref(y)), trained so that sigma(r) is the outcome. `dpo`, `kto` and `nca` need
    right and wrong solutions of one problem."""

    form: Literal["ce", "dpo", "kto", "nca"] = "ce"
    beta: float = 0.05
    reference: str | None = None
    """Directory or hub id of the reference; None: the backbone."""

    source = "Free Process Rewards without Process Labels (arXiv 2412.01981)"

    def __post_init__(self) -> None:
        if self.form not in ("ce", "dpo", "kto", "nca") or self.beta <= 0:
            raise InputError(f"implicit: got {self}, expected form ce, dpo, kto or nca and beta > 0")

    @property
    def pairs(self) -> bool:
        return self.form != "ce"

    def loss(self) -> Callable[[Tensor, Batch], Tensor]:
        from preceptor.reward.losses import dpo, implicit_ce, kto, nca

        beta = self.beta
        if self.form == "ce":
            return lambda out, batch: implicit_ce(
                out, batch["targets"], batch["mask"], outcome=batch["outcome"], beta=beta
            )
        by_pairs = {"dpo": dpo, "kto": kto, "nca": nca}[self.form]
        return lambda out, batch: by_pairs(out, batch["targets"], batch["mask"], beta=beta)


@dataclass(frozen=True)
class GenerativeSFT:
    """Teach verdicts by likelihood. Forced text and tool outputs carry no loss."""

    style: Style | None = None
    """None: R-PRM's, with an analysis if the labels have rationales."""
    balance: bool = True
    """As many right as wrong verdicts, by leaving some of the larger class out."""
    teacher: GenerativePRM | None = None
    """Writes the rationales, instead of the labels'; a chain is kept if all its verdicts equal the labels."""

    source = (
        "GenPRM (arXiv 2504.00891), ThinkPRM (arXiv 2504.16828), R-PRM (arXiv 2503.21295), supervised stage"
    )

    def loss(self) -> Callable[[Tensor, Batch], Tensor]:
        from preceptor.reward.losses import sft

        return lambda out, batch: sft(out, batch["targets"], batch["mask"])


@dataclass(frozen=True)
class GenerativeDPO:
    """Of the chains the backbone writes about a step, prefer one whose verdict is right to one whose is wrong.
    The reference is the backbone as it came."""

    style: Style | None = None
    """None: the one the backbone was taught in."""
    samples: int = 4
    """Chains per step; the published number was not found."""
    beta: float = 0.1

    source = "R-PRM (arXiv 2503.21295), preference stage"

    def __post_init__(self) -> None:
        if self.samples < 2 or self.beta <= 0:
            raise InputError(f"generative-dpo: got {self}, expected samples >= 2 and beta > 0")

    def loss(self) -> Callable[[Tensor, Batch], Tensor]:
        from preceptor.reward.losses import dpo

        return lambda out, batch: dpo(out, batch["targets"], batch["mask"], beta=self.beta)


LanguageObjective = Implicit | GenerativeSFT | GenerativeDPO
LANGUAGE_OBJECTIVES: dict[str, Any] = {
    "generative-dpo": GenerativeDPO(),
    "generative-sft": GenerativeSFT(),
    "implicit-ce": Implicit("ce"),
    "implicit-dpo": Implicit("dpo"),
    "implicit-kto": Implicit("kto"),
    "implicit-nca": Implicit("nca"),
}
