"""What a run of preference training was asked to do, checked, and the published settings of each method."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from preceptor.errors import InputError


@dataclass(frozen=True, kw_only=True)
class PreferenceConfig:
    loss: str = "dpo"
    """A name in `LOSSES`."""
    beta: float = 0.1
    lam: float = 0.1
    """ORPO's weight of the odds term; 0 is SFT on the chosen sides."""
    nll: float = 1.0
    """`dpo_nll`: weight of the chosen side's negative log-likelihood."""
    desirable: float = 1.0
    undesirable: float = 1.0
    """Step-KTO's lambdas."""
    lr: float = 1e-6
    epochs: float = 1.0
    steps: int | None = None
    """Optimizer steps; None: as many as the epochs have."""
    batch: int = 16
    """Records an optimizer step."""
    micro_batch: int | None = None
    """Records in one backward pass; divides `batch`. Token means and z0 are then of the micro-batch."""
    warmup: int = 0
    """Steps over which the learning rate rises."""
    schedule: str = "linear"
    """A schedule of transformers: "linear" falls to 0, "constant" stays ("constant_with_warmup" after a warm-up)."""
    optimizer: str = "adamw_torch"
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    heads: int = 1
    """`mah_dpo`: objectives, each with an output head."""
    head_noise: float = 0.001
    head_weights: tuple[float, ...] | None = None
    """The mixture that is saved as the model; None: equal weights."""
    seed: int = 0

    def __post_init__(self) -> None:
        micro = self.micro_batch or self.batch
        if self.batch < 1 or micro < 1 or self.batch % micro:
            raise InputError(
                f"micro_batch: got {micro} of batch={self.batch}, expected a divisor of it, both at least 1"
            )
        if (self.steps is not None and self.steps < 1) or self.epochs <= 0:
            raise InputError(
                f"steps, epochs: got {self.steps} and {self.epochs}, expected at least 1 (or None) and above 0"
            )
        if self.beta <= 0 or self.lr <= 0 or self.lam < 0:
            raise InputError(
                f"beta, lr, lam: got {self.beta}, {self.lr} and {self.lam}, expected above 0, above 0, and "
                "at least 0"
            )
        weights = self.head_weights
        if self.heads < 1 or (weights is not None and len(weights) != self.heads):
            raise InputError(
                f"heads: got {self.heads} with head_weights={weights}, expected at least 1 and a weight each"
            )
        if self.heads > 1 and self.loss != "mah_dpo":
            raise InputError(f"heads: got {self.heads} with loss={self.loss!r}, expected loss='mah_dpo'")

    def to_record(self) -> dict[str, Any]:
        weights = self.head_weights
        return {**asdict(self), "head_weights": None if weights is None else list(weights)}


METHODS: dict[str, dict[str, Any]] = {
    "step_dpo": {"loss": "dpo", "beta": 0.4, "epochs": 4.0, "batch": 128},
    "traj_dpo": {"loss": "dpo", "beta": 0.1, "epochs": 2.0, "lr": 2e-6},
    "step_kto": {"loss": "step_kto", "beta": 0.1},
    "orpo_self": {"loss": "orpo", "lam": 0.1},
    "longdpo": {"loss": "dpo"},
    "ipr": {"loss": "dpo_nll", "beta": 0.1, "epochs": 3.0, "lr": 3e-6},
    "mah_dpo": {"loss": "mah_dpo", "lr": 5e-7, "optimizer": "rmsprop", "warmup": 150, "batch": 4},
    "ipo_safe": {"loss": "dpo", "beta": 0.1},
    "fcp": {"loss": "nll", "lr": 1e-6, "batch": 64},
    "steporlm": {"loss": "w_dpo"},
    "crew_dpo": {"loss": "dpo"},
    "drm": {"loss": "dpo"},
}
"""Method -> settings of `train_preference` that are published for it; the rest are this package's defaults."""
