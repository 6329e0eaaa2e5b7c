"""The verbs by name, and how an error becomes an exit status."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
import typer

from preceptor.cli import benches, console, data, demo, learning, rewards, solving, stores

VERBS: dict[str, Callable[..., Any]] = {
    "demo": demo.demo,
    "sample": data.sample,
    "label": data.label,
    "train": rewards.train,
    "score": rewards.score,
    "solve": solving.solve,
    "learn": learning.learn,
    "view": demo.view,
}
GROUPS = {"bench": benches.app, "store": stores.app}

HELP = """Process supervision of LLM reasoning: label steps, train verifiers, search with them, measure it all.

Start with:  preceptor demo --out runs/demo

The same path on real things:

\b
  preceptor sample --policy my-model/ --problems problems.jsonl --samples 8 --store run.db
  preceptor label  --method math-shepherd --policy my-model/ --problems problems.jsonl --store run.db
  preceptor train  --labels run.db --backbone my-model/ --out prm/
  preceptor solve  --strategy best-of-n --policy my-model/ --scorer prm/ --problems test.jsonl \\
                   --budget tokens=4000 --out runs/bon

Exit status: 0, 1 (a check failed), 2 (unusable input), 130 (interrupted). Every verb takes --json and --help.
"""


def build() -> typer.Typer:
    app = typer.Typer(
        help=HELP,
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    for name, verb in VERBS.items():
        app.command(name)(verb)
    for name, group in GROUPS.items():
        app.add_typer(group, name=name)
    return app


def call(arguments: list[str]) -> int:
    """Run one command line; returns its exit status."""
    status = 0

    def verb() -> None:
        nonlocal status
        status = build()(arguments, standalone_mode=False) or 0

    try:
        failed = console.run(verb)
    except click.exceptions.Exit as done:
        return int(done.exit_code)
    except click.exceptions.Abort:
        return 130
    except click.exceptions.UsageError as error:
        error.show()
        return 2
    return failed or int(status)
