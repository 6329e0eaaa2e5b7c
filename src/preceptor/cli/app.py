"""The verbs by name, and how an error becomes an exit status."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable
from typing import Any

import typer

from preceptor.cli import (
    benches,
    comparing,
    console,
    crediting,
    data,
    demo,
    doctoring,
    formats,
    labelling,
    learning,
    rewards,
    solving,
    stores,
)

VERBS: dict[str, Callable[..., Any]] = {
    "demo": demo.demo,
    "sample": data.sample,
    "label": labelling.label,
    "methods": labelling.methods,
    "train": rewards.train,
    "score": rewards.score,
    "formats": formats.formats,
    "doctor": doctoring.doctor,
    "solve": solving.solve,
    "compare": comparing.compare,
    "learn": learning.learn,
    "credit": crediting.credit,
    "view": demo.view,
}
GROUPS: dict[str, tuple[str, dict[str, Callable[..., Any]]]] = {
    "bench": (
        "Measure a scorer on labelled data.",
        {"processbench": benches.processbench, "pools": benches.pools},
    ),
    "store": (
        "Look into a store, import and export labels, verify it.",
        {
            "stats": stores.stats,
            "import": stores.import_,
            "export": stores.export,
            "verify": stores.verify,
        },
    ),
}

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
    app = _app(HELP, VERBS)
    for name, (text, verbs) in GROUPS.items():
        app.add_typer(_app(text, verbs), name=name)
    return app


def _app(text: str, verbs: dict[str, Callable[..., Any]]) -> typer.Typer:
    app = typer.Typer(
        help=text,
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    for name, verb in verbs.items():
        app.command(name)(_guarded(verb))
    return app


def _guarded(verb: Callable[..., Any]) -> Callable[..., Any]:
    """The verb with its errors told in words and turned into an exit status."""

    @functools.wraps(verb)
    def call(**arguments: Any) -> None:
        if status := console.run(lambda: verb(**arguments)):
            raise typer.Exit(status)

    return call


def _quiet() -> None:
    """Keep other libraries' bars and deprecation notes off the screen; their errors still come through."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    for name in ("HF_HUB_DISABLE_PROGRESS_BARS", "TRANSFORMERS_NO_ADVISORY_WARNINGS"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


def call(arguments: list[str]) -> int:
    """Run one command line; returns its exit status."""
    _quiet()
    try:
        build()(arguments, prog_name="preceptor")
    except SystemExit as done:
        return int(done.code or 0)
    return 0
