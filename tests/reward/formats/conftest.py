"""Every family's checkpoint is made once for all tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from preceptor.reward.scorer import PRM
from tests.reward.formats import golden
from tests.reward.formats.families import FAMILIES


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """From the name of a record to the directory of its tiny checkpoint."""
    made: dict[object, Path] = {}

    def get(name: str) -> Path:
        make = FAMILIES[name]
        if make not in made:
            made[make] = make(tmp_path_factory.mktemp(name))
        return made[make]

    return get


@pytest.fixture(scope="session")
def scorers(checkpoints: Callable[[str], Path]) -> Callable[[str], PRM]:
    """From the name of a record to the opened scorer."""
    open_: dict[str, PRM] = {}

    def get(name: str) -> PRM:
        if name not in open_:
            open_[name] = golden.opened(checkpoints(name), name)
        return open_[name]

    return get
