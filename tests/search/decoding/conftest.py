from __future__ import annotations

import pytest

from preceptor.policy import TransformersPolicy, load_policy
from preceptor.trace import Problem
from tests.search.decoding.models import reward_model


@pytest.fixture(scope="session")
def tiny(tiny_policy_dir) -> TransformersPolicy:
    """A random model: flat distributions, many candidates."""
    return TransformersPolicy.load(tiny_policy_dir)


@pytest.fixture(scope="session")
def shipped() -> TransformersPolicy:
    """A trained one: most tokens are forced."""
    return load_policy("world:arithmetic")


@pytest.fixture(scope="session")
def verifier(tiny_policy_dir):
    return reward_model(tiny_policy_dir, "llm2")


@pytest.fixture(scope="session")
def values(tiny_policy_dir):
    return reward_model(tiny_policy_dir, "saffron")


@pytest.fixture(scope="session")
def problems() -> list[Problem]:
    return [
        Problem(f"Mia has {n} boxes with 7 pens each.", gold="54", grader="exact") for n in (12, 3, 45, 6)
    ]
