"""`preceptor solve`: spend a budget at test time."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any

import typer

from preceptor.cli import console
from preceptor.cli.options import (
    AsJson,
    Count,
    FormatWord,
    Options,
    Out,
    PolicyWord,
    ProblemsWord,
    ScorerWord,
    Seed,
    budget_of,
    options_of,
    policy_of,
    problems_of,
    scorer_of,
)
from preceptor.errors import InputError

KEPT_TOKENS = 1 << 15
"""Tokens of prefixes whose keys and values a reward model keeps from one round of a search to the next."""


def solve(
    strategy: Annotated[
        str, typer.Option("--strategy", help="greedy, majority, best-of-n, weighted-vote, step-beam.")
    ],
    policy: PolicyWord,
    problems: ProblemsWord,
    out: Out,
    scorer: ScorerWord = None,
    budget: Annotated[
        str | None, typer.Option(help="Per problem, e.g. tokens=2000 or tokens=2000,calls=64.")
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option("--samples", min=1, help="Solutions to sample; without it, as many as the budget buys."),
    ] = None,
    keep: Annotated[int | None, typer.Option(min=1, help="step-beam: prefixes kept.")] = None,
    expand: Annotated[
        int | None, typer.Option(min=1, help="step-beam: steps sampled per kept prefix.")
    ] = None,
    aggregate: Annotated[
        str | None, typer.Option(help="Step scores to one number: last, min, prod, mean, ...")
    ] = None,
    n: Count = None,
    format: FormatWord = None,
    option: Options = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Answer problems with a search strategy under a budget, and say what it cost.

    Writes result.json, solutions.jsonl and trees.jsonl (every node ever sampled) to --out.

    \b
      preceptor solve --strategy majority --policy world:arithmetic --problems world:arithmetic --n 32 \\
          --budget tokens=600 --out runs/majority
    """
    from preceptor.search import solve as search
    from preceptor.search import strategy as named

    kind = named(strategy)
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    given: dict[str, Any] = {"n": samples, "keep": keep, "expand": expand, "aggregate": aggregate}
    unknown = [k for k, v in given.items() if v is not None and k not in known]
    if unknown:
        raise InputError(f"--strategy {strategy} has no setting {unknown[0]!r}; it has {sorted(known)}")
    settings = {k: v for k, v in given.items() if k in known and (v is not None or k == "n")}
    try:
        chosen = kind(**settings)
    except ValueError as error:
        raise InputError(str(error)) from error
    judge = scorer_of(scorer, format=format, **options_of(option))
    if judge is not None:
        from preceptor.reward import PRM

        if isinstance(judge, PRM):
            judge.remember(KEPT_TOKENS)
    with console.stage("solve", "problems") as line:
        result = search(
            policy_of(policy),
            problems_of(problems, n, seed),
            chosen,
            scorer=judge,
            budget=budget_of(budget),
            seed=seed,
            progress=line,
        )
    result.write(out)
    console.emit({**result.to_record(), "out": str(out)}, as_json, f"{result!r}\n{out}")
