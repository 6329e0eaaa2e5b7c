"""`preceptor train` and `preceptor score`: reward models from labels, and scores from reward models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from preceptor.cli import console
from preceptor.cli.options import AsJson, FormatWord, Options, Out, Seed, options_of
from preceptor.cli.reading import KINDS, labels_of, traces_of

if TYPE_CHECKING:
    pass

ENOUGH = 10
"""Held-out problems with several graded traces from which on picking among them is worth a table."""


def train(
    labels: Annotated[Path, typer.Option("--labels", help=f"{KINDS.capitalize()}.")],
    out: Out,
    source: Annotated[
        str | None, typer.Option(help="Whose labels of a store: the beginning of the source's name.")
    ] = None,
    backbone: Annotated[
        str, typer.Option(help="Model to start from: world:arithmetic, a directory or a hub id.")
    ] = "world:arithmetic",
    objective: Annotated[
        str,
        typer.Option(help="What is trained: a name of docs/training.md, e.g. hard-bce, pqm, implicit-ce."),
    ] = "soft-ce",
    epochs: Annotated[float, typer.Option(help="Passes over the labels.")] = 2.0,
    lr: Annotated[
        float, typer.Option(help="Learning rate; 1e-3 suits the shipped backbone, 1e-5 a large one.")
    ] = 1e-3,
    after_error: Annotated[
        str, typer.Option(help="Labels after the first bad step: keep, mask or wrong.")
    ] = "keep",
    threshold: Annotated[float, typer.Option(help="A label at or above it is good (hard labels).")] = 0.5,
    lora: Annotated[int, typer.Option(min=0, help="Rank of LoRA adapters; 0 trains all weights.")] = 0,
    head_only: Annotated[bool, typer.Option("--head-only", help="Leave the backbone as it is.")] = False,
    bf16: Annotated[bool, typer.Option("--bf16", help="Mixed precision.")] = False,
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
    start = load_policy(backbone) if backbone.startswith("world:") else backbone
    with console.stage("train", "steps") as line:
        prm = fit(
            found,
            backbone=start,
            out=out,
            objective=objective,
            epochs=epochs,
            lr=lr,
            after_error=after_error,
            threshold=threshold,
            lora=lora,
            train_body=not head_only,
            bf16=bf16,
            held_out=held_out,
            seed=seed,
            progress=line,
        )
    report: dict[str, Any] = json.loads((out / "training.json").read_text(encoding="utf-8"))
    kept = set(report["held_out_problems"])
    traces = [t for t in found.traces if t.problem.id in kept]
    picks = selection(traces, prm.score(traces))
    shown = "" if picks is None or picks.problems < ENOUGH else "\n" + picks.table()
    held = report["held_out"]
    parity = f"parity {report['parity']['max_difference']:.1e}"
    words = f"{report['rows']} rows, {parity}, held out: {json.dumps(held)}{shown}\n{out}"
    record = {**report, "selection": None if picks is None else picks.to_record(), "out": str(out)}
    console.emit(record, as_json, words)


def score(
    scorer: Annotated[
        str,
        typer.Option(
            "--scorer",
            help="A reward model's directory or hub id, vllm:URL#MODEL, world:NAME, or KIND:POLICY "
            "(judge, critique, self-prm, uncertainty, crew, belief, rationalyst).",
        ),
    ],
    traces: Annotated[Path, typer.Option("--traces", help=f"{KINDS.capitalize()}.")],
    out: Annotated[
        Path | None, typer.Option(help="JSONL file for one judgement a line; - for stdout is the default.")
    ] = None,
    format: FormatWord = None,
    option: Options = None,
    as_json: AsJson = False,
) -> None:
    """Score the steps of traces: one judgement per trace.

    \b
      preceptor score --scorer prm/ --traces run.db --out scores.jsonl
      preceptor score --scorer eurus/ --format eurus --option reference=base/ --traces run.db
    """
    from preceptor.reward import load_scorer
    from preceptor.store import write_jsonl

    judge = load_scorer(scorer, format=format, **options_of(option))
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
