"""`preceptor bench NAME`: measure a scorer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from preceptor.cli import console
from preceptor.cli.options import AsJson, Seed, scorer_of
from preceptor.errors import InputError

Data = Annotated[Path, typer.Option("--data", help="The data set's folder or file.")]


def processbench(
    data: Data,
    scorer: Annotated[str, typer.Option("--scorer", help="A reward model's directory.")],
    threshold: Annotated[
        str,
        typer.Option(help='A number, or "tuned": chosen on the gsm8k subset and carried over to the others.'),
    ] = "0.5",
    items: Annotated[Path | None, typer.Option(help="JSONL file for the verdict on every item.")] = None,
    as_json: AsJson = False,
) -> None:
    """First-error accuracy against human labels (ProcessBench), per subset, with bootstrap intervals.

    \b
      preceptor bench processbench --data processbench/ --scorer prm/
    """
    from preceptor.bench import bench_processbench

    try:
        policy: float | str = threshold if threshold == "tuned" else float(threshold)
    except ValueError as error:
        raise InputError(f'--threshold: got {threshold!r}, expected a number or "tuned"') from error
    judge = scorer_of(scorer)
    with console.stage("score", "traces") as line:
        report = bench_processbench(data, judge, threshold=policy, progress=line)
    if items is not None:
        report.write_items(items)
    console.emit(report.to_record(), as_json, report.table())


def pools(
    data: Data,
    answers: Annotated[
        str,
        typer.Option(
            help="What counts as one answer: published (equal strings) or canonical (equal numbers)."
        ),
    ] = "published",
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """maj@k, BoN@k and weighted vote of scored pools of candidates, for every reward model and aggregator.

    \b
      preceptor bench pools --data bon_pools/
    """
    from preceptor.bench import bench_pools

    files = sorted([*data.glob("*.jsonl"), *data.glob("*.jsonl.gz")]) if data.is_dir() else [data]
    if not files:
        raise InputError(
            f"--data: got {data} without a .jsonl or .jsonl.gz file, expected pools of candidates"
        )
    reports = []
    for file in files:
        with console.stage("pools", "problems") as line:
            reports.append(bench_pools(file, answers=answers, seed=seed, progress=line))
    console.emit(
        {"pools": [r.to_record() for r in reports]}, as_json, "\n\n".join(r.table() for r in reports)
    )
