"""`preceptor doctor`: is a scorer to be trusted?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from preceptor.cli import console
from preceptor.cli.options import AsJson, FormatWord, Options, Seed, options_of, problems_of
from preceptor.cli.reading import KINDS, labels_of
from preceptor.errors import CheckFailed, InputError

if TYPE_CHECKING:
    from preceptor.bench.doctor import Case


T = TypeVar("T")
PROBLEMS = "world:arithmetic"


def doctor(
    scorer: Annotated[str, typer.Option("--scorer", help="A reward model's directory, or world:NAME.")],
    problems: Annotated[
        str | None,
        typer.Option(
            "--problems",
            help="Problems with reference solutions, as for sample; world:arithmetic is the default.",
        ),
    ] = None,
    traces: Annotated[
        Path | None,
        typer.Option(
            "--traces",
            help=f"Labelled traces instead: {KINDS}.",
        ),
    ] = None,
    format: FormatWord = None,
    option: Options = None,
    separator: Annotated[
        str | None, typer.Option(help="Text of the step tag of a plain token-classification checkpoint.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Which labels of the store, where it has several.")
    ] = None,
    n: Annotated[int, typer.Option("--n", min=1, help="At most so many problems or traces.")] = 64,
    out: Annotated[Path | None, typer.Option(help="HTML file for the report.")] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Examine a scorer: matching of scores and steps, tag, truncation, underflow, batch and padding drift, right
    against corrupted traces, biases, attacks. Exit status 1 when a check fails.

    \b
      preceptor doctor --scorer prm/
      preceptor doctor --scorer prm/ --traces processbench/ --n 200 --out doctor.html
    """
    from preceptor.bench.doctor import diagnose
    from preceptor.reward import load_scorer

    if problems is not None and traces is not None:
        raise InputError("--problems and --traces: got both, expected at most one of them")
    if out is not None and out.is_dir():
        raise InputError(
            f"--out: got the directory {out}, expected a file to write, such as {out}/doctor.html"
        )
    cases = (
        _reference(problems or PROBLEMS, n, seed) if traces is None else _labelled(traces, source, n, seed)
    )
    judge = load_scorer(scorer, format=format, separator=separator, **options_of(option))
    with console.stage("doctor", "checks") as line:
        found = diagnose(judge, cases, seed=seed, progress=line)
    if out is not None:
        from preceptor.view.doctor import doctor_page

        doctor_page(found).write(out)
    written = "" if out is None else f"\n{out}"
    console.emit(
        {**found.to_record(), "out": None if out is None else str(out)}, as_json, found.table() + written
    )
    if found.failed:
        raise CheckFailed(f"{len(found.failed)} of {len(found.findings)}: {', '.join(found.failed)}")


def _reference(problems: str, n: int, seed: int) -> list[Case]:
    from preceptor.bench.doctor import reference_cases

    if problems.startswith("world:"):
        return reference_cases(problems_of(problems, n, seed), seed)
    found = [p for p in problems_of(problems, None, seed) if p.reference]
    return reference_cases(_drawn(found, n, seed, lambda p: p.id), seed)


def _labelled(path: Path, source: str | None, n: int, seed: int) -> list[Case]:
    from preceptor.bench.doctor import labelled_cases

    pairs = [(t, j) for t, j in labels_of(path, source) if j.first_error is not None and t.steps]
    return labelled_cases(_drawn(pairs, n, seed, lambda pair: pair[0].id), seed)


def _drawn(items: Sequence[T], n: int, seed: int, key: Callable[[T], str]) -> list[T]:
    """`n` of the items, by the seed and their own ids alone."""
    from preceptor.trace import stream_seed

    return sorted(items, key=lambda item: stream_seed("doctor", seed, key(item)))[:n]
