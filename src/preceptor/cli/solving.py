"""`preceptor solve`: spend a budget at test time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

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
from preceptor.cli.strategies import Helpers, helpers_of, settings_of, strategy_of

if TYPE_CHECKING:
    from preceptor.generation import Policy
    from preceptor.judgement import Scorer
    from preceptor.search.resume import Solved

KEPT_TOKENS = 1 << 15
"""Tokens of prefixes whose keys and values a model keeps from one round of a search to the next."""

Chunk = Annotated[
    int, typer.Option("--chunk", min=1, help="Problems searched together, and kept as soon as all are done.")
]


def solve(
    strategy: Annotated[
        str, typer.Option("--strategy", help="greedy, majority, best-of-n, weighted-vote, step-beam, ...")
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
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="NAME=VALUE for the strategy, e.g. vote=weighted or max_tokens=512; repeat."
        ),
    ] = None,
    helper: Helpers = None,
    n: Count = None,
    format: FormatWord = None,
    option: Options = None,
    chunk: Chunk = 64,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Answer problems with a search strategy under a budget, and say what it cost.

    Writes result.json, solutions.jsonl and trees.jsonl (every node ever sampled) to --out, which
    `preceptor view` draws. Safe to kill: a second start continues; problems that failed are tried again.

    \b
      preceptor solve --strategy majority --policy world:arithmetic --problems world:arithmetic --n 32 \\
          --budget tokens=600 --out runs/majority
    """
    from preceptor.search.resume import solve_into

    given = {"n": samples, "keep": keep, "expand": expand, "aggregate": aggregate}
    words = [f"{name}={value}" for name, value in given.items() if value is not None]
    chosen = strategy_of(strategy, settings_of([*words, *(settings or ())]))
    limit, judge = budget_of(budget), scorer_of(scorer, format=format, **options_of(option))
    searched = policy_of(policy)
    with console.stage("solve", "problems") as line:
        solved = solve_into(
            out,
            searched,
            problems_of(problems, n, seed),
            chosen,
            scorer=judge,
            budget=limit,
            seed=seed,
            progress=line,
            helpers=helpers_of(helper, [chosen]),
            chunk=chunk,
            before_chunk=forgetting(searched, judge),
        )
    record = {**solved.result.to_record(), "errors": failures(solved), "seconds": solved.seconds}
    console.emit({**record, "out": str(out)}, as_json, f"{solved.result!r}\n{_failed(record)}{out}")


def forgetting(policy: Policy, scorer: Scorer | None) -> Callable[[], None]:
    """Lets models remember the prefixes of one chunk of problems, and forget them before the next."""
    from preceptor.reward import PRM

    # a model of transformers, asked for by what it can: its class would import torch for a server too
    remembers: Any = policy if hasattr(policy, "remember") else None
    judge = scorer if isinstance(scorer, PRM) else None
    for model in (remembers, judge):
        if model is not None:
            model.remember(KEPT_TOKENS)

    def forget() -> None:
        if remembers is not None:
            remembers.forget()
        if judge is not None:
            judge.forward.clear()

    return forget


def failures(solved: Solved) -> dict[str, int]:
    """Kind of failure -> problems that it left without an answer."""
    return dict(Counter(s.error.kind for s in solved.result.solutions if s.error is not None))


def _failed(record: dict[str, Any]) -> str:
    if not record["errors"]:
        return ""
    kinds = ", ".join(f"{count} {kind}" for kind, count in record["errors"].items())
    return f"{record['failed']} problems failed ({kinds}); the same command tries them again\n"
