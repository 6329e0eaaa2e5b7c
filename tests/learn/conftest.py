"""Fixtures of this room: the toy grader is at hand in every test."""

from __future__ import annotations

import pytest

from preceptor.grade import GRADERS
from tests.learn.toys import SEVEN


@pytest.fixture(autouse=True)
def seven(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GRADERS, "seven", SEVEN)
