"""Local policies whose next-token distributions are looked at, or changed, before each choice.

`Guided` runs the embedded engine of a `TransformersPolicy` with a hook between its logits and its choice, so prefix
sharing, stop strings, limits and random streams are the policy's own. A subclass says what happens there:

    begin(request)       notes of one draw
    adjust(logits, rows) the logits to choose from, for all rows that are live in this step
    end(row, got)        the finished continuation

A wrapper is another policy: it has a fingerprint of its own, and no likelihoods. One object is not for two threads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from preceptor.errors import InputError, ItemError
from preceptor.generation import Continuation, Policy, Request
from preceptor.policy import TransformersPolicy
from preceptor.policy.engine import Engine, Output, Task

if TYPE_CHECKING:
    import torch


@dataclass(eq=False)
class Row:
    """One draw while it is decoded."""

    request: Request
    prefix: tuple[int, ...]
    """Ids of prompt and prefix."""
    notes: Any
    sampled: list[int] = field(default_factory=list)


def local(policy: Policy, who: str) -> TransformersPolicy:
    """InputError for a policy whose distributions cannot be seen."""
    if not isinstance(policy, TransformersPolicy):
        raise InputError(
            f"{who}: got a {type(policy).__name__}, expected a local model, whose next-token distributions can be "
            "read. Load a model directory: load_policy(DIRECTORY)."
        )
    return policy


@dataclass(frozen=True)
class Guided(ABC):
    """Base of the wrappers."""

    policy: TransformersPolicy

    def __post_init__(self) -> None:
        local(self.policy, type(self).__name__)

    @property
    @abstractmethod
    def fingerprint(self) -> str: ...

    def generate(self, requests: Sequence[Request]) -> list[Continuation]:
        return self._view.generate(requests)

    def begin(self, request: Request) -> Any:
        return None

    @abstractmethod
    def adjust(self, logits_NV: torch.Tensor, rows: Sequence[Row]) -> torch.Tensor: ...

    def end(self, row: Row, got: Continuation) -> Continuation:
        return got

    def spell(self, ids: Sequence[int], before: Sequence[int]) -> tuple[str, list[int]]:
        """Text of `ids` behind the ids `before`, and where each of them ends in it."""
        return self._view.spell(ids, before)

    @cached_property
    def _view(self) -> _View:
        return _View(self)


class _View(TransformersPolicy):
    """The same model, tokenizer and lock, with an engine of its own."""

    def __init__(self, guide: Guided):
        base = guide.policy
        self.__dict__ = dict(base.__dict__)
        self.engine = Engine(base.model, base.eos_ids, base.engine.slots)
        self.engine.adjust = self._adjust
        self._checked = False
        self._guide = guide
        self._rows: dict[int, Row] = {}

    def spell(self, ids: Sequence[int], before: Sequence[int]) -> tuple[str, list[int]]:
        return self._text.decode(ids, before)

    def _task(self, request: Request) -> Task | ItemError:
        task = super()._task(request)
        if isinstance(task, Task):
            self._rows[id(task)] = Row(request, task.prefix, self._guide.begin(request))
        return task

    def _adjust(self, logits_NV: torch.Tensor, rows: Sequence[tuple[Task, list[int]]]) -> torch.Tensor:
        live = []
        for task, sampled in rows:
            row = self._rows[id(task)]
            row.sampled = sampled
            live.append(row)
        return self._guide.adjust(logits_NV, live)

    def _continuation(self, task: Task, output: Output) -> Continuation:
        return self._guide.end(self._rows.pop(id(task)), super()._continuation(task, output))
