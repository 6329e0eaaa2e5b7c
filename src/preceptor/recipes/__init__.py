"""Recipes: whole jobs as compositions of the other rooms.

    demo.py   everything on the arithmetic world, in minutes on a CPU: `run_demo(out, DemoConfig(), stage)`

A recipe only composes: if it needs a formula, the formula belongs to another room. To add one: a file with a
function that takes its output directory, a config and a progress, and a line here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from preceptor.recipes.demo import DemoConfig, run_demo

__all__ = ["DemoConfig", "run_demo"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.demo"), name)
