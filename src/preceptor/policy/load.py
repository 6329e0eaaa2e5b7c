"""From the word a user types to a policy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from preceptor.errors import InputError
from preceptor.generation import Policy

_SHIPPED = Path(__file__).parents[1] / "worlds"
WORLD_POLICIES = {
    "arithmetic": _SHIPPED / "default_policy",
    "arithmetic-judge": _SHIPPED / "arithmetic_judge",
    "arithmetic-solver": _SHIPPED / "arithmetic_solver",
    "game24": _SHIPPED / "game24_policy",
    "game24-judge": _SHIPPED / "game24_judge",
}
"""Models that come with the package: policies of the worlds, judges of their solutions, a solver to check them by."""


def load_policy(spec: str, **options: Any) -> Policy:
    """`world:NAME` for a model that ships, `openai:URL#model`, a Hugging Face directory, or a hub id.

    `options` go to `TransformersPolicy.load` or `OpenAIPolicy`. InputError for anything else, ModelError
    for a directory that is no usable model.
    """
    kind, _, rest = spec.partition(":")
    if kind == "openai":
        return _openai(spec, rest, options)
    from preceptor.policy.transformers_policy import TransformersPolicy

    if kind == "world":
        path = WORLD_POLICIES.get(rest)
        if path is None:
            raise InputError(f"policy {spec!r}: expected a model that is shipped, one of {_worlds()}")
        if not path.is_dir():
            raise InputError(f"policy {spec!r}: this installation lacks its files ({path}). Install again.")
        return TransformersPolicy.load(path, **options)
    if spec and Path(spec).exists():
        return TransformersPolicy.load(spec, **options)
    if re.fullmatch(r"[\w.-]+/[\w.-]+", spec) and not spec.startswith("."):
        return TransformersPolicy.load(spec, **options)
    raise InputError(
        f"policy {spec!r}: no such directory, and not of a known form. Expected {' or '.join(_worlds())}, "
        "openai:URL#model, a Hugging Face model directory, or a hub id OWNER/NAME."
    )


def _openai(spec: str, rest: str, options: dict[str, Any]) -> Policy:
    url, _, model = rest.partition("#")
    if not re.match(r"https?://", url) or not model:
        raise InputError(
            f"policy {spec!r}: expected openai:URL#model, for example openai:http://localhost:8000/v1#qwen"
        )
    from preceptor.policy.openai import OpenAIPolicy

    return OpenAIPolicy(url, model, **options)


def _worlds() -> list[str]:
    return [f"world:{name}" for name in sorted(WORLD_POLICIES)]
