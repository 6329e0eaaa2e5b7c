"""What goes into credit assignment and what comes out.

Shape legend: N rollouts, T_i steps of rollout i, L_i tokens of its completion. Inside the pipeline NaN
stands for "absent" (a step nobody judged); it never leaves `compute`.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from preceptor.errors import InputError
from preceptor.judgement import Question

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Ragged = list[Array]
"""One array a rollout, of 1, T_i or L_i entries."""
Level = Literal["rollout", "step", "token"]


@dataclass(frozen=True)
class Rollout:
    """What the pipeline needs to know of one sampled completion."""

    prompt_id: str
    """Rollouts with the same id form a group, wherever they stand in the list."""
    length: int
    """L_i: tokens of the completion, environment tokens included."""
    outcome: float | None
    """R_i; None when no verdict was possible. Such a rollout is in no statistic and is not trained on,
    except by a method with `keep="judged"`, which needs no verdict."""
    spans: tuple[tuple[int, int], ...] = ()
    """Token interval `[a, b)` of each step, ordered; empty for a step without a token of its own."""
    model_mask: tuple[bool, ...] | None = None
    """True where the policy sampled the token; None for everywhere."""
    answer: str | None = None
    """The final answer in canonical form; None when there is none to read."""
    nodes: tuple[Hashable, ...] | None = None
    """One id a step: equal ids within a prompt are the same node of a tree. None: a chain of its own."""
    pivot: int = 0
    """Index of the first step that is trained on; the steps before it get weight 0."""
    off_policy: bool = False
    """True for text that today's policy did not sample; for learners, nothing here depends on it."""

    def __post_init__(self) -> None:
        if self.model_mask is not None and len(self.model_mask) != self.length:
            raise InputError(
                f"rollout of prompt {self.prompt_id}: got a model mask of {len(self.model_mask)}, "
                f"expected {self.length} entries, one a token."
            )
        if self.nodes is not None and len(self.nodes) != len(self.spans):
            raise InputError(
                f"rollout of prompt {self.prompt_id}: got {len(self.nodes)} node ids, expected "
                f"{len(self.spans)}, one a step."
            )
        if not 0 <= self.pivot <= len(self.spans):
            raise InputError(
                f"rollout of prompt {self.prompt_id}: got pivot {self.pivot}, expected a step index in "
                f"[0, {len(self.spans)}]."
            )
        at = 0
        for a, b in self.spans:
            if a < at or b < a or b > self.length:
                raise InputError(
                    f"rollout of prompt {self.prompt_id}: got step span [{a}, {b}), expected ordered, "
                    f"disjoint intervals inside [0, {self.length}]. Use `preceptor.credit.token_spans`."
                )
            at = b

    @cached_property
    def mask(self) -> Flags:
        """`(L_i,)` True where the policy sampled the token."""
        mask = (
            np.ones(self.length, dtype=bool) if self.model_mask is None else np.asarray(self.model_mask, bool)
        )
        mask.flags.writeable = False
        return mask

    @cached_property
    def owner(self) -> NDArray[np.int64]:
        """`(L_i,)` index of the step each token belongs to; -1 everywhere when there is no step.

        A token between two steps belongs to the following one, a trailing token to the last.
        """
        if not self.spans:
            return np.full(self.length, -1)
        ends = np.array([b for _, b in self.spans])
        return np.minimum(np.searchsorted(ends, np.arange(self.length), side="right"), len(ends) - 1)

    @cached_property
    def tokens(self) -> Array:
        """`(T_i,)` sampled tokens of each step."""
        owner = self.owner[self.mask]
        return np.bincount(owner[owner >= 0], minlength=len(self.spans)).astype(float)

    @cached_property
    def ends(self) -> NDArray[np.int64]:
        """`(T_i,)` index of the last sampled token of each step; -1 for a step without one."""
        last = np.full(len(self.spans), -1)
        at = np.flatnonzero(self.mask & (self.owner >= 0))
        last[self.owner[at]] = at
        return last

    @property
    def trained(self) -> Flags:
        """`(L_i,)` True where the policy sampled the token, at or after the pivot."""
        return self.mask & (self.owner >= self.pivot) if self.pivot else self.mask


@dataclass(frozen=True)
class Signals:
    """What was measured of the rollouts, one entry a rollout in each field; None: not measured."""

    scores: tuple[tuple[float | None, ...] | None, ...] | None = None
    """Per rollout its T_i scores, each None when that step was not judged; None when nothing was."""
    question: Question = Question.VALUE
    """What the scores answer; decides what progress means (see `sources.Progress`)."""
    start: tuple[float | None, ...] | None = None
    """Value of the prompt itself, where the scorer gives one."""
    tokens: tuple[tuple[float, ...] | None, ...] | None = None
    """Per rollout a number a token (L_i), e.g. the log-ratio of an implicit reward model to its reference."""
    verdicts: tuple[tuple[tuple[bool, ...] | None, ...], ...] | None = None
    """Per rollout K critiques, each T_i flags (True: the step is wrong), or None for an unreadable one."""
    scalars: Mapping[str, tuple[float | None, ...]] | None = None
    """Named numbers of whole rollouts, e.g. `{"thinking": (0.5, None, 1.0)}`."""
    step: int = 0
    """Updates made so far, for weights that change in the course of training."""


@dataclass(frozen=True)
class AdvantageBatch:
    """Per-token advantages, in the order of the rollouts."""

    advantages: Ragged
    """`(L_i,)` each; 0 on tokens the policy did not sample and on tokens that are not trained on."""
    token_weights: Ragged
    """`(L_i,)` each: how much a token counts in the loss and in its denominator. 0: not at all."""
    keep: tuple[bool, ...]
    """False: the rollout is not trained on (its weights are 0)."""
    stats: dict[str, float]
    """Figures to log; see `stats.py`."""
    clip_low: Ragged | None = None
    """`(L_i,)` each, for methods with their own clip range: the ratio is cut at `1 - clip_low`."""
    clip_high: Ragged | None = None
    """The same at `1 + clip_high`."""
