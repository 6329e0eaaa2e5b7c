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
from preceptor.reward.formats.actprm import ACTPRM, ACTPRM_SPREAD
from preceptor.reward.formats.eurus import EURUS
from preceptor.reward.formats.fover import FOVER
from preceptor.reward.formats.generative import GENPRM, GORM, GPRM, R_PRM, THINKPRM
from preceptor.reward.formats.llemma import LLEMMA
from preceptor.reward.formats.math_minos import MATH_MINOS
from preceptor.reward.formats.math_psa import MATH_PSA
from preceptor.reward.formats.math_shepherd import MATH_SHEPHERD
from preceptor.reward.formats.outcome import ACEMATH_RM, QWEN_RM
from preceptor.reward.formats.pathfinder import PATHFINDER
from preceptor.reward.formats.pqm import PQM
from preceptor.reward.formats.pure import PURE
from preceptor.reward.formats.qwen import QWEN
from preceptor.reward.formats.reasoneval import (
    REASONEVAL_7B,
    REASONEVAL_7B_REDUNDANCY,
    REASONEVAL_34B,
    REASONEVAL_34B_REDUNDANCY,
)
from preceptor.reward.formats.reasonflux import REASONFLUX_1_5B, REASONFLUX_7B
from preceptor.reward.formats.rlhflow import RLHFLOW_ORM, RLHFLOW_PRM
from preceptor.reward.formats.skywork import SKYWORK
from preceptor.reward.formats.trl import TRL
from preceptor.reward.formats.versaprm import DORM, DPRM, VERSAPRM
from preceptor.reward.formats.visualprm import VISUALPRM

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


_RECORDS: tuple[Any, ...] = (
    ACEMATH_RM,
    ACTPRM,
    ACTPRM_SPREAD,
    DORM,
    DPRM,
    LLEMMA,
    MATH_MINOS,
    MATH_PSA,
    MATH_SHEPHERD,
    PQM,
    PURE,
    QWEN,
    QWEN_RM,
    REASONEVAL_7B,
    REASONEVAL_34B,
    REASONEVAL_7B_REDUNDANCY,
    REASONEVAL_34B_REDUNDANCY,
    REASONFLUX_1_5B,
    REASONFLUX_7B,
    SKYWORK,
    VERSAPRM,
    EURUS,
    FOVER,
    GENPRM,
    GORM,
    GPRM,
    PATHFINDER,
    RLHFLOW_ORM,
    RLHFLOW_PRM,
    R_PRM,
    THINKPRM,
    TRL,
    VISUALPRM,
)
FORMATS: dict[str, Any] = {record.name: record for record in _RECORDS}


def for_hub_id(name: str) -> Any:
    """The record that names this checkpoint, or None."""
    return next((r for r in FORMATS.values() if name in r.models), None)


def for_architecture(name: str) -> Any:
    """The record whose checkpoints alone have this architecture, or None."""
    found = [r for r in FORMATS.values() if name in r.architectures]
    return found[0] if len(found) == 1 else None
