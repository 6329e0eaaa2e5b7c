"""Public reward-model families: one data record each, which says how its checkpoints are read.

A record is a `Format` (layout + head + link: everything that is read at one position per step), or one of
the few other kinds, for families that generate or need two models. All have `name`, `models`, `unsure`,
`columns()` and `open(directory, **options) -> Scorer`.

To add a family: a record in one of the files here, its name below, and a case in
`tests/reward/formats/families.py`, which makes a tiny checkpoint in the family's own layout for the golden tests.
"""

from __future__ import annotations

from typing import Any, Protocol

from preceptor.judgement import Scorer
from preceptor.reward.formats.trl import TRL

__all__ = ["FORMATS", "Record", "for_architecture", "for_hub_id"]


class Record(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def models(self) -> tuple[str, ...]: ...
    @property
    def architectures(self) -> tuple[str, ...]: ...
    @property
    def unsure(self) -> tuple[str, ...]: ...
    @property
    def notes(self) -> tuple[str, ...]: ...

    def columns(self) -> dict[str, str]: ...

    def open(self, directory: str, **options: Any) -> Scorer: ...


FORMATS: dict[str, Any] = {record.name: record for record in (TRL,)}


def for_hub_id(name: str) -> Any:
    """The record that names this checkpoint, or None."""
    return next((r for r in FORMATS.values() if name in r.models), None)


def for_architecture(name: str) -> Any:
    """The record whose checkpoints alone have this architecture, or None."""
    found = [r for r in FORMATS.values() if name in r.architectures]
    return found[0] if len(found) == 1 else None
