"""`preceptor learn`: train a policy by reinforcement, with or without step credit."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from preceptor.cli import console
from preceptor.cli.options import (
    AsJson,
    Count,
    Out,
    PolicyWord,
    ProblemsWord,
    ScorerWord,
    Seed,
    problems_of,
    scorer_of,
)


def learn(
    method: Annotated[str, typer.Option("--method", help="outcome, rloo, dr_grpo, progress, ...")],
    policy: PolicyWord,
    problems: ProblemsWord,
    out: Out,
    scorer: ScorerWord = None,
    held_out: Annotated[str | None, typer.Option(help="Problems to measure on (as --problems).")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Updates.")] = 50,
    prompts: Annotated[int, typer.Option(min=1, help="Problems per update.")] = 16,
    generations: Annotated[int, typer.Option(min=2, help="Attempts per problem.")] = 8,
    lr: Annotated[float, typer.Option(help="Learning rate.")] = 1e-5,
    max_tokens: Annotated[int, typer.Option(min=1, help="New tokens per attempt.")] = 256,
    n: Count = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Train a policy with per-token advantages (GRPO through TRL; needs the extra "rl").

    Writes the model, metrics.jsonl (a row a step) and settings.json to --out.

    \b
      preceptor learn --method outcome --policy world:arithmetic --problems world:arithmetic?split=train --n 512 \\
          --held-out world:arithmetic --steps 20 --lr 3e-4 --out runs/rl
    """
    from preceptor.learn import learn as train

    with console.stage("learn", "steps") as line:
        result = train(
            policy,
            problems_of(problems, n, seed),
            out=out,
            method=method,
            scorer=scorer_of(scorer),
            steps=steps,
            prompts_per_step=prompts,
            generations=generations,
            lr=lr,
            max_tokens=max_tokens,
            held_out=[] if held_out is None else problems_of(held_out, 128, seed),
            seed=seed,
            progress=line,
        )
    record: dict[str, Any] = {
        "method": method,
        "steps": result.steps,
        "model": str(result.model),
        "metrics": str(result.metrics),
        "before": _record(result.before),
        "after": _record(result.after),
        "undecided": result.undecided,
        "usage": result.usage.to_record(),
        "seconds": dict(result.seconds),
    }
    shown = [console.rate(record[when]) for when in ("before", "after") if record[when] is not None]
    console.emit(record, as_json, f"held out: {' -> '.join(shown) or 'not measured'}\n{result.model}")


def _record(found: Any) -> dict[str, Any] | None:
    from preceptor.bench import bootstrap_mean

    return None if found is None else bootstrap_mean(found.by_problem).to_record()
