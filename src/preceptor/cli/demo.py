"""`preceptor demo` and `preceptor view`: the whole path on the built-in world, and its report."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from preceptor.cli import console
from preceptor.cli.options import AsJson, Out, Seed
from preceptor.errors import InputError
from preceptor.progress import Progress

QUICK: dict[str, Any] = {
    "train_problems": 48,
    "compared_problems": 16,
    "test_problems": 24,
    "budget": 200,
    "epochs": 1.0,
    "learn_steps": 2,
    "learn_prompts": 4,
    "learn_generations": 4,
}


def demo(
    out: Out,
    quick: Annotated[
        bool, typer.Option("--quick", help="A tenth of the size: shows the path, proves nothing.")
    ] = False,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Sample, label, train a verifier, search, train the policy and measure it all, on two CPU cores.

    Writes report.html and the plain files it is drawn from.

    \b
      preceptor demo --out runs/demo
    """
    from preceptor.recipes import DemoConfig, run_demo
    from preceptor.view.demo import write_report

    config = replace(DemoConfig(seed=seed), **(QUICK if quick else {}))
    rows = run_demo(out, config, _stage)
    report = write_report(out)
    console.emit(
        {"out": str(out), "report": str(report), "stages": rows},
        as_json,
        f"\n{summary(rows)}\n\nreport: {report}",
    )


@contextmanager
def _stage(name: str, unit: str) -> Iterator[Progress]:
    with console.stage(name, unit) as line:
        yield line


def summary(rows: list[dict[str, Any]]) -> str:
    """The closing tables."""
    labels = [
        [
            r["stage"].removeprefix("compare "),
            r["question"],
            console.rate(r["f1"]),
            f"{r['generated']:,}",
            f"{r['seconds']:.0f}",
        ]
        for r in rows
        if r["stage"].startswith("compare ")
    ]
    models = [
        [
            r["stage"].removeprefix("prm "),
            r["question"],
            console.rate(r["tuned"]["f1"]),
            console.rate(r["auroc"]),
            f"{r['rows']:,}",
            f"{r['seconds']:.0f}",
        ]
        for r in rows
        if r["stage"].startswith("prm ")
    ]
    solved = [
        [
            r["stage"].removeprefix("solve "),
            f"{r['accuracy']:.3f} [{r['interval'][0]:.3f}, {r['interval'][1]:.3f}]",
            "-" if r["over_majority"] is None else console.rate(r["over_majority"]),
            f"{r['tokens_per_problem']:.0f}",
            f"{r['ledger']['scorer'].get('scored', 0) / r['problems']:.0f}",
        ]
        for r in rows
        if r["stage"].startswith("solve ")
    ]
    learned = [
        [r["stage"].removeprefix("learn "), console.rate(r["before"]), console.rate(r["after"]),
         f"{r['usage']['policy']['generated']:,}"]
        for r in rows
        if r["stage"].startswith("learn ")
    ]  # fmt: skip
    return "\n\n".join(
        [
            console.table(labels, ["labels by", "question", "first-error F1", "tokens", "s"]),
            console.table(
                models, ["reward model from", "question", "held-out F1", "step AUROC", "rows", "s"]
            ),
            console.table(solved, ["strategy", "accuracy", "over majority", "tokens/problem", "scored"]),
            console.table(learned, ["policy training", "before", "after", "tokens"]),
        ]
    )


def view(
    run: Annotated[
        list[Path],
        typer.Argument(help="Directory of a run (of several trainings), or a file of benchmarks/labels.py."),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="The page to write; by default beside what it draws.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Draw the report of a run from its plain files: a demo, a search (its trees), a training (several side by side),
    a comparison of strategies or of labelling methods.

    \b
      preceptor view runs/demo
      preceptor view runs/majority
      preceptor view runs/outcome runs/pure --out trainings.html
      preceptor view benchmarks/labels.jsonl --out labels.html
    """
    if out is not None and out.is_dir():
        raise InputError(
            f"--out: got the directory {out}, expected a file to write, such as {out}/report.html"
        )
    drawn = _learned(run, out) or _drawn(run[0], out)
    console.emit({"report": str(drawn)}, as_json, str(drawn))


def _learned(runs: list[Path], out: Path | None) -> Path | None:
    """The page of trainings; None where the one run is none."""
    from preceptor.view.learning import has_learning, write_learning

    if len(runs) == 1 and not has_learning(runs[0]):
        return None
    if len(runs) > 1 and out is None:
        raise InputError(
            f"--out: got none for {len(runs)} runs, expected the page to write, e.g. --out trainings.html"
        )
    return write_learning(runs, out or runs[0] / "report.html")


def _drawn(run: Path, out: Path | None) -> Path:
    """Any other page."""
    drawn = _searched(run, out)
    if drawn is not None:
        return drawn
    if run.suffix == ".jsonl":
        from preceptor.view.labels import write_labels

        return write_labels(run, out or run.with_suffix(".html"))
    from preceptor.view.demo import write_report

    if not any((run / name).is_file() for name in ("config.json", "metrics.jsonl")):
        raise InputError(
            f"view: got {run} without config.json and metrics.jsonl, expected the directory of a `preceptor demo`, "
            "`solve`, `compare` or `learn`, a file of trees, or one of benchmarks/labels.py. Check the path."
        )
    for name in ("config.json", "metrics.jsonl", "labels.jsonl"):
        if not (run / name).is_file():
            raise InputError(
                f"{run}: got no {name}, expected the directory of a finished `preceptor demo` run"
            )
    try:
        json.loads((run / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{run / 'config.json'}: not JSON ({error}). Run preceptor demo again.") from error
    return write_report(run, out)


def _searched(run: Path, out: Path | None) -> Path | None:
    """The page of a search or of a comparison of strategies; None where `run` is neither."""
    from preceptor.view.compare import write_comparison
    from preceptor.view.trees import has_trees, write_trees

    if (run / "compare.json").is_file():
        return write_comparison(run, out)
    return write_trees(run, out) if has_trees(run) else None
