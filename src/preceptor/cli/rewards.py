"""`preceptor train` and `preceptor score`: reward models from labels, and scores from reward models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from preceptor.cli import console
from preceptor.cli.options import AsJson, Out, Seed, scorer_of
from preceptor.errors import InputError

if TYPE_CHECKING:
    from preceptor.annotate import Labels
    from preceptor.trace import Trace

SQLITE = b"SQLite format 3\0"


def train(
    labels: Annotated[Path, typer.Option("--labels", help="A store, or a data set with labelled traces.")],
    out: Out,
    source: Annotated[
        str | None, typer.Option(help="Whose labels of a store: the beginning of the source's name.")
    ] = None,
    backbone: Annotated[
        str, typer.Option(help="Model to start from: world:arithmetic or a directory.")
    ] = "world:arithmetic",
    objective: Annotated[
        str, typer.Option(help="What is trained, e.g. soft-ce or hard-bce; see docs/training.md.")
    ] = "soft-ce",
    epochs: Annotated[float, typer.Option(help="Passes over the labels.")] = 2.0,
    lr: Annotated[
        float, typer.Option(help="Learning rate; 1e-3 suits the shipped backbone, 1e-5 a large one.")
    ] = 1e-3,
    held_out: Annotated[float, typer.Option(min=0.0, max=0.9, help="Share of the problems kept back.")] = 0.1,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Train a reward model that scores every step, and check that serving gives the trained scores.

    Where held-out problems have several graded traces, also says how well the model picks among them,
    against picking at random and against majority. Writes the model and training.json to --out.

    \b
      preceptor train --labels run.db --source math-shepherd --out prm/
    """
    from preceptor.bench.selection import selection
    from preceptor.policy import load_policy
    from preceptor.reward import train as fit

    found = labels_of(labels, source)
    start = load_policy(backbone)
    with console.stage("train", "steps") as line:
        prm = fit(
            found, backbone=start, out=out, objective=objective, epochs=epochs, lr=lr, held_out=held_out, seed=seed,
            progress=line,
        )  # fmt: skip
    report: dict[str, Any] = json.loads((out / "training.json").read_text(encoding="utf-8"))
    kept = set(report["held_out_problems"])
    traces = [t for t in found.traces if t.problem.id in kept]
    picks = selection(traces, prm.score(traces))
    shown = "" if picks is None else "\n" + picks.table()
    held = report["held_out"]
    parity = f"parity {report['parity']['max_difference']:.1e}"
    words = f"{report['rows']} rows, {parity}, held out: {json.dumps(held)}{shown}\n{out}"
    record = {**report, "selection": None if picks is None else picks.to_record(), "out": str(out)}
    console.emit(record, as_json, words)


def labels_of(path: Path, source: str | None) -> Labels:
    """Traces and their judgements from a store, or real solutions with calculator notes."""
    if not path.is_file():
        raise InputError(f"--labels: no such file {path}, expected a store or example_model_solutions.jsonl")
    with path.open("rb") as file:
        is_store = file.read(len(SQLITE)) == SQLITE
    if is_store:
        return _from_store(path, source)
    from preceptor.annotate import CalculatorNotes, label
    from preceptor.worlds.readers import read_gsm8k_solutions

    return label(CalculatorNotes(), read_gsm8k_solutions(path))


def _from_store(path: Path, source: str | None) -> Labels:
    from preceptor.annotate import Labels
    from preceptor.store import Store

    with Store(path) as store:
        sources = sorted({str(j.source) for j in store.judgements()})
        chosen = [s for s in sources if s.startswith(source or "")]
        if len(chosen) != 1:
            raise InputError(
                f"--source: got {source!r}, which names {len(chosen)} of the label sources {sources} in {path}; "
                "expected exactly one"
            )
        judgements = [j for j in store.judgements() if str(j.source) == chosen[0]]
        traces = {t.id: t for t in store.traces()}
    return Labels(
        traces=tuple(traces[j.trace] for j in judgements),
        judgements=tuple(judgements),
        labelled=sum(j.scores is not None for j in judgements),
        failed=sum(j.scores is None for j in judgements),
        skipped=0,
    )


def score(
    scorer: Annotated[str, typer.Option("--scorer", help="A reward model's directory, or world:NAME.")],
    traces: Annotated[Path, typer.Option("--traces", help="A store, or a data set with traces.")],
    out: Annotated[
        Path | None, typer.Option(help="JSONL file for one judgement a line; - for stdout is the default.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score the steps of traces: one judgement per trace.

    \b
      preceptor score --scorer prm/ --traces run.db --out scores.jsonl
    """
    from preceptor.store import write_jsonl

    judge = scorer_of(scorer)
    assert judge is not None
    found = traces_of(traces)
    with console.stage("score", "traces") as line:
        judgements = []
        for start in range(0, len(found), 256):
            judgements += judge.score(found[start : start + 256])
            line(len(judgements), len(found))
    records = [j.to_record() for j in judgements]
    if out is not None:
        write_jsonl(out, records)
    scored = [j for j in judgements if j.scores is not None]
    result: dict[str, Any] = {
        "scorer": str(judge.source),
        "question": judge.question.value,
        "traces": len(judgements),
        "scored": len(scored),
        "failed": len(judgements) - len(scored),
        "steps": sum(len(j.scores or ()) for j in scored),
        "scored_tokens": sum(j.usage.scorer.scored for j in judgements),
        "out": None if out is None else str(out),
    }
    if out is None:
        result["judgements"] = records
    words = (
        "\n".join(json.dumps(r, ensure_ascii=True) for r in records)
        if out is None
        else (
            f"{result['scored']} of {result['traces']} traces scored ({result['steps']} steps, "
            f"{result['failed']} failed): {out}"
        )
    )
    console.emit(result, as_json, words)


def traces_of(path: Path) -> list[Trace]:
    """The traces of a store or of a data set that has them."""
    from preceptor.worlds.readers import read_gsm8k_solutions, read_processbench

    if path.is_dir() or path.suffix == ".json":
        files = sorted(path.glob("*.json")) if path.is_dir() else [path]
        return [item.trace for file in files for item in read_processbench(file)]
    if not path.is_file():
        raise InputError(f"--traces: no such file {path}, expected a store or a data set with traces")
    with path.open("rb") as file:
        is_store = file.read(len(SQLITE)) == SQLITE
    if is_store:
        from preceptor.store import Store

        with Store(path) as store:
            return list(store.traces())
    return list(read_gsm8k_solutions(path))
