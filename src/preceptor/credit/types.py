"""What goes into credit assignment and what comes out.

Shape legend: N rollouts, T_i steps of rollout i, L_i tokens of its completion. Inside the pipeline NaN
stands for "absent" (a step nobody judged); it never leaves `compute`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from preceptor.errors import InputError
from preceptor.judgement import Question

Array = NDArray[np.float64]
Ragged = list[Array]
"""One array a rollout, of T_i or L_i entries."""


@dataclass(frozen=True)
class Rollout:
    """What the pipeline needs to know of one sampled completion."""

    prompt_id: str
    """Rollouts with the same id form a group, wherever they stand in the list."""
    length: int
    """L_i: tokens of the completion, environment tokens included."""
    outcome: float | None
    """R_i; None when no verdict was possible. Such a rollout is in no statistic and is not trained on."""
    spans: tuple[tuple[int, int], ...] = ()
    """Token interval `[a, b)` of each step, ordered; empty for a step without a token of its own."""
    model_mask: tuple[bool, ...] | None = None
    """True where the policy sampled the token; None for everywhere."""

    def __post_init__(self) -> None:
        if self.model_mask is not None and len(self.model_mask) != self.length:
            raise InputError(
                f"rollout of prompt {self.prompt_id}: got a model mask of {len(self.model_mask)}, "
                f"expected {self.length} entries, one a token."
            )
        at = 0
        for a, b in self.spans:
            if a < at or b < a or b > self.length:
                raise InputError(
                    f"rollout of prompt {self.prompt_id}: got step span [{a}, {b}), expected ordered, "
                    f"disjoint intervals inside [0, {self.length}]. Use `preceptor.credit.token_spans`."
                )
            at = b

    @property
    def mask(self) -> NDArray[np.bool_]:
        if self.model_mask is None:
            return np.ones(self.length, dtype=bool)
        return np.asarray(self.model_mask, dtype=bool)

    @property
    def owner(self) -> NDArray[np.int64]:
        """`(L_i,)` index of the step each token belongs to; -1 everywhere when there is no step.

        A token between two steps belongs to the following one, a trailing token to the last.
        """
        if not self.spans:
            return np.full(self.length, -1)
        ends = np.array([b for _, b in self.spans])
        return np.minimum(np.searchsorted(ends, np.arange(self.length), side="right"), len(ends) - 1)

    @property
    def tokens(self) -> Array:
        """`(T_i,)` sampled tokens of each step."""
        owner = self.owner[self.mask]
        return np.bincount(owner[owner >= 0], minlength=len(self.spans)).astype(float)


@dataclass(frozen=True)
class Signals:
    """Step scores of one scorer, one entry a rollout."""

    scores: tuple[tuple[float | None, ...] | None, ...]
    """Per rollout its T_i scores, each None when that step was not judged; None when nothing was."""
    question: Question = Question.VALUE
    """What the scores answer; decides what progress means (see `step_reward.progress`)."""
    start: tuple[float | None, ...] | None = None
    """Value of the prompt itself, where the scorer gives one."""


@dataclass(frozen=True)
class Baseline:
    """What a value is compared with."""

    unit: Literal["prompt", "share", "token", "turn", "batch"] = "prompt"
    form: Literal["none", "mean", "leave_one_out"] = "mean"
    scale: Literal["none", "std"] = "none"
    """`std` divides by the root mean square of the centered values (ddof=1) plus 1e-4."""


@dataclass(frozen=True)
class CreditConfig:
    """One row of `METHODS`: which variant each stage runs. The defaults are GRPO on the outcome."""

    outcome: Baseline | None = field(default_factory=lambda: Baseline("prompt", "mean", "std"))
    """Baseline of the outcome's own stream; None when there is no such stream."""
    step_reward: Literal["none", "score", "progress"] = "none"
    transform: Literal["identity", "signed"] = "identity"
    mix: Literal["separate", "last_step"] = "separate"
    """`separate`: outcome and steps are two streams, each with its own baseline, then added."""
    returns: Literal["none", "sum", "min"] = "none"
    steps: Baseline = field(default_factory=lambda: Baseline("share", "leave_one_out"))
    step_weight: float = 1.0
    """Weight of the step stream beside an outcome stream of weight 1."""
    keep: Literal["decided", "informative"] = "decided"
    aggregation: Literal["token_mean", "sequence_mean", "constant"] = "token_mean"
    """How a learner averages the token losses; nothing in this room depends on it."""

    def __post_init__(self) -> None:
        if self.outcome is not None and self.mix != "separate":
            raise InputError(
                f"credit: got mix {self.mix!r} beside an outcome stream, which would count the outcome "
                "twice. Set outcome=None."
            )
        if self.outcome is None and self.step_reward == "none":
            raise InputError("credit: got neither an outcome nor a step stream, expected at least one.")


@dataclass(frozen=True)
class AdvantageBatch:
    """Per-token advantages, in the order of the rollouts."""

    advantages: Ragged
    """`(L_i,)` each; 0 on tokens the policy did not sample."""
    token_weights: Ragged
    """`(L_i,)` each: how much a token counts in the loss and in its denominator. 0: not at all."""
    keep: tuple[bool, ...]
    """False: the rollout is not trained on (its weights are 0)."""
    stats: dict[str, float]
    """Figures to log; see `stats.py`."""
