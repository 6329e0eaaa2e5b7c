"""Two tiny policies for all tests of this folder."""

from __future__ import annotations

import pytest

from preceptor.policy import TransformersPolicy
from tests.tiny import save_tiny_policy


@pytest.fixture(scope="session")
def policy(tiny_policy_dir):
    return TransformersPolicy.load(tiny_policy_dir)


@pytest.fixture(scope="session")
def other(tmp_path_factory):
    return TransformersPolicy.load(save_tiny_policy(tmp_path_factory.mktemp("other"), seed=1))
