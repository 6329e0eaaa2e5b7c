"""`preceptor compare`: search strategies side by side at equal budgets."""

from __future__ import annotations

import json
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
from preceptor.cli.solving import Chunk, forgetting
from preceptor.cli.strategies import Helpers, helpers_of, parsed, strategy_of
from preceptor.errors import InputError

if TYPE_CHECKING:
    from preceptor.search import Strategy
    from preceptor.usage import Budget


def compare(
    strategy: Annotated[
        list[str],
        typer.Option(
            "--strategy",
            help="NAME or NAME:SETTING=VALUE,...; repeat. The others are held against the first.",
        ),
    ],
    policy: PolicyWord,
    problems: ProblemsWord,
    out: Out,
    budget: Annotated[
        list[str] | None, typer.Option(help="Per problem, e.g. tokens=400; repeat for a curve.")
    ] = None,
    scorer: ScorerWord = None,
    helper: Helpers = None,
    n: Count = None,
    format: FormatWord = None,
    option: Options = None,
    chunk: Chunk = 64,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Run search strategies at the same budgets on the same problems: accuracy, differences, costs, frontiers.

    Writes compare.json, compare.svg and compare.html to --out, and each run below cells/. Safe to kill: a second
    start continues.

    \b
      preceptor compare --strategy majority --strategy step-beam:keep=2 --budget tokens=100 --budget tokens=300 \\
          --policy world:arithmetic --scorer world:arithmetic --problems world:arithmetic --n 32 --out runs/compare
    """
    from preceptor.bench.compare import compare as run
    from preceptor.view.compare import write_comparison

    strategies = _strategies(strategy)
    budgets = _budgets(budget)
    judge = scorer_of(scorer, format=format, **options_of(option))
    searched, asked = policy_of(policy), problems_of(problems, n, seed)
    with console.stage("compare", "problems") as line:
        found = run(
            out,
            searched,
            asked,
            strategies,
            budgets,
            scorer=judge,
            seed=seed,
            progress=line,
            helpers=helpers_of(helper, list(strategies.values())),
            chunk=chunk,
            before_chunk=forgetting(searched, judge),
        )
    about = {"policy": policy, "scorer": scorer, "problems": problems, "n": len(asked), "seed": seed}
    record = {"about": about, **found.to_record()}
    (out / "compare.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    page = write_comparison(out)
    files = {"out": str(out), "report": str(page)}
    console.emit({**record, **files}, as_json, f"{_words(record)}\n{page}")


def _strategies(words: list[str]) -> dict[str, Strategy]:
    found: dict[str, Strategy] = {}
    for word in words:
        if word in found:
            raise InputError(f"--strategy: got {word!r} twice, expected it once")
        name, settings = parsed(word)
        found[word] = strategy_of(name, settings, f"--strategy {name}")
    return found


def _budgets(words: list[str] | None) -> dict[str, Budget | None]:
    if not words:
        return {"none": None}
    if len(set(words)) < len(words):
        raise InputError(f"--budget: got {words}, expected each once")
    return {word: budget_of(word) for word in words}


def _words(record: dict[str, Any]) -> str:
    """The table, the frontiers and the best of each budget."""
    cells = record["cells"]
    rows = [
        [
            c["strategy"],
            c["budget"],
            console.rate(c["accuracy"]),
            "-" if c["over_first"] is None else _signed(c["over_first"]),
            f"{c['tokens']:.0f}",
            f"{c['scored']:.0f}",
            "-" if c["flops"] is None else f"{c['flops']:.2e}",
            f"{c['seconds']:.3g}",
            c["rounds"],
            _finished(c["finished"], c["asked"]),
            c["undecided"] or "-",
        ]
        for c in cells
    ]
    over = f"over {cells[0]['strategy']}"
    head = [
        "strategy",
        "budget",
        "accuracy",
        over,
        "tokens",
        "scored",
        "FLOPs",
        "s",
        "rounds",
        "finished",
        "undecided",
    ]
    lines = [console.table(rows, head), f"Costs are per problem, of {record['about']['n']}.", ""]
    for axis, name in (("tokens", "tokens"), ("flops", "FLOPs")):
        steps = [f"{strategy} ({budget})" for strategy, budget in record["frontier"][axis]]
        lines.append(f"frontier against {name}: {' -> '.join(steps) or 'not known'}")
    for best in record["best"]:
        half = best["half_accuracy"]
        lines.append(
            f"best at {best['budget']}: {best['strategy']}; chosen on half of the problems: {best['half']}, "
            f"{console.rate(half)} on the others"
        )
    return "\n".join(lines)


def _finished(finished: int, asked: int | None) -> str:
    """More than asked for is no share of it."""
    return f"{finished}" if asked is None or finished > asked else f"{finished} of {asked}"


def _signed(estimate: dict[str, Any]) -> str:
    if estimate["value"] is None:
        return "-"
    return f"{estimate['value']:+.3f} [{estimate['low']:+.3f}, {estimate['high']:+.3f}]"
