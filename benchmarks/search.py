"""Every search strategy at equal budgets, with an exact, a trained and a noisy scorer.

    OMP_NUM_THREADS=1 python benchmarks/search.py run [--worlds ...] [--scorers ...] [--strategies ...] [--problems 100]
    python benchmarks/search.py table     # search.jsonl into search.md

Problems: test split of the arithmetic world and of Game of 24; the shipped policies. A budget is so many generated
tokens a problem, discarded ones included. Strategies that can sample until the budget is spent do so; the others have
the sizes below, chosen by counting tokens: what does not fit ends unfinished and says so. The scorers are those of
search_scorers.py. `trusted-search, learned` knows its scorer from a run of 8 samples each on 60 graded problems of the
train split, which is not in its budget. Interrupted runs go on: cells are kept under runs/search.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from search_scorers import KEPT, SCORERS

from preceptor.bench.compare import Comparison, compare
from preceptor.generation import Policy, Sampling
from preceptor.judgement import Scorer
from preceptor.policy import load_policy
from preceptor.search import Strategy, WeightedVote, strategy
from preceptor.search.adaptive import Prior, TrustedSearch
from preceptor.search.resume import solve_into
from preceptor.usage import Budget
from preceptor.worlds import WORLDS

HERE = Path(__file__).parent
ROWS = HERE / "search.jsonl"
PAGE = HERE / "search.md"
MARKS = "<!-- tables -->", "<!-- end of tables -->"
BUDGETS = {f"tokens={n}": Budget(tokens=n) for n in (150, 400, 1000)}


def sized(name: str, *values: Any, **fixed: Any) -> list[dict[str, Any]]:
    """One setting for each budget."""
    return [{name: value, **fixed} for value in values]


def beam(keep: str = "keep", *, halved: bool = False, **fixed: Any) -> list[dict[str, Any]]:
    """Beams of 4, 10 and 24 steps a level; half of that for those that write as much again to look ahead."""
    sizes = [(2, 1), (3, 2), (4, 3)] if halved else [(2, 2), (5, 2), (6, 4)]
    return [{keep: k, "expand": e, **fixed} for k, e in sizes]


LEARNED = "trusted-search, learned"
SAMPLES = (4, 9, 23)
"""Solutions that about fill a budget."""
STRATEGIES: dict[str, list[dict[str, Any]]] = {
    "majority": [{"n": None}],
    "greedy": [{}],
    "best-of-n": [{"n": None, "aggregate": "min"}],
    "weighted-vote": [{"n": None, "aggregate": "min"}],
    "hmr": [{"n": None, "aggregate": "min"}],
    "wrf": [{"n": None, "aggregate": "min"}],
    "pessimistic": [{"n": None, "aggregate": "min"}],
    "log-odds": [{"n": None, "aggregate": "min"}],
    "omegaprm-vote": [{"n": 64}],
    "data-prm-best-of-n": sized("n", *SAMPLES),
    "adaptive-consistency": [{}],
    "doubling-consistency": [{}],
    "deepconf": sized("n", *SAMPLES),
    "deepconf-online": sized("warmup", 2, 4, 8, n=64, unit=8),
    "step-beam": beam(aggregate="min"),
    "ovm-beam": beam(),
    "alphamath-beam": sized("expand", 4, 10, 24),
    "dvts": beam("subtrees", aggregate="min"),
    "rebase": sized("width", 4, 10, 24, aggregate="min"),
    "lookahead-beam": beam(halved=True, aggregate="min"),
    "pav-beam": beam(halved=True, prover=1),
    "early-rejection": beam(aggregate="min", tau=4),
    "greedy-backtracking": [{}],
    "best-first": [{"expansions": 500}],
    "vanilla-mcts": [{"paths": p, "width": w, "aggregate": "min"} for p, w in ((3, 3), (8, 4), (24, 6))],
    "alphamath-mcts": sized("width", 3, 4, 5),
    "rest-mcts": sized("width", 2, 3, 4),
    "propa": sized("width", 2, 3, 4, enough=4, solutions=1),
    "particle-filter": sized("n", 4, 9, 23),
    "particle-gibbs": sized("n", 4, 10, 26),
    "power-sampling": sized("moves", 1, 3, 9, blocks=4, sampling=Sampling(max_tokens=96)),
    "mur": sized("expand", 2, 4, 8),
    "phi": sized("n", 2, 3, 5, foresight=16),
    "entropy-branching": [{"n": 64, "aggregate": "min"}],
    "trusted-search": [{}],
    LEARNED: [{}],
}
"""Name -> settings at the three budgets, or at all of them."""


def chosen(names: Sequence[str], budget: int, prior: Prior) -> dict[str, Strategy]:
    """With the settings of the budget of that rank."""
    plain = [name for name in names if name != LEARNED]
    found = {name: strategy(name)(**STRATEGIES[name][budget % len(STRATEGIES[name])]) for name in plain}
    return found | ({LEARNED: TrustedSearch(prior=prior)} if LEARNED in names else {})


def warm(world: str, kind: str, policy: Policy, scorer: Scorer) -> Prior:
    """What is known of a scorer from problems of the train split."""
    asked = WORLDS[world].problems("train", 60, 7)
    solve_into(KEPT / f"{world}-{kind}" / "warm", policy, asked, WeightedVote(8), scorer, seed=5)
    return Prior.of_run(KEPT / f"{world}-{kind}" / "warm")


def run(worlds: Sequence[str], scorers: Sequence[str], names: Sequence[str], problems: int) -> None:
    for world in worlds:
        policy, asked = load_policy(f"world:{world}"), WORLDS[world].problems("test", problems)
        for kind in scorers:
            scorer = SCORERS[kind](world)
            prior = warm(world, kind, policy, scorer)
            for i, (budget, limit) in enumerate(BUDGETS.items()):
                began = time.monotonic()
                home, own = KEPT / f"{world}-{kind}", chosen(names, i, prior)
                found = compare(home, policy, asked, own, {budget: limit}, scorer, chunk=problems)
                keep(world, kind, found)
                took = time.monotonic() - began
                print(f"{world} {kind} {budget}: {len(found.cells)} cells, {took:.0f} s", flush=True)


def keep(world: str, kind: str, found: Comparison) -> None:
    """Rows of these cells, in place of older ones."""
    rows = [{"world": world, "scorer": kind, **c.to_record(), **stamp()} for c in found.cells]
    fresh = {(r["world"], r["scorer"], r["strategy"], r["budget"]) for r in rows}
    old = [json.loads(line) for line in ROWS.read_text().splitlines()] if ROWS.exists() else []
    kept = [r for r in old if (r["world"], r["scorer"], r["strategy"], r["budget"]) not in fresh]
    ROWS.write_text("".join(json.dumps(r) + "\n" for r in [*kept, *rows]))


def stamp() -> dict[str, Any]:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return {"commit": commit.stdout.strip(), "machine": platform.machine(), "date": time.strftime("%Y-%m-%d")}


def table() -> None:
    """The tables of search.md, in place of those that stand between its marks."""
    rows = [json.loads(line) for line in ROWS.read_text().splitlines()]
    lines: list[str] = []
    for world in ("arithmetic", "game24"):
        for kind in SCORERS:
            own = [r for r in rows if (r["world"], r["scorer"]) == (world, kind)]
            if own:
                lines += ["", f"### {world}, {kind}, {own[0]['problems']} problems", "", *_section(own)]
    page = PAGE.read_text()
    before, after = page.split(MARKS[0])[0], page.split(MARKS[1])[1]
    PAGE.write_text(before + MARKS[0] + "\n" + "\n".join(lines) + "\n\n" + MARKS[1] + after)


def _section(own: Sequence[dict[str, Any]]) -> list[str]:
    budgets = [b for b in BUDGETS if any(r["budget"] == b for r in own)]
    lines = ["| strategy | " + " | ".join(f"{b} | over majority | spent" for b in budgets) + " |"]
    lines.append("|---|" + "---|---|---|" * len(budgets))
    ranks = {r["strategy"]: -r["accuracy"]["value"] for r in own if r["budget"] == budgets[-1]}
    names = sorted(dict.fromkeys(r["strategy"] for r in own), key=lambda name: ranks.get(name, 1.0))
    for name in names:
        cells = {r["budget"]: r for r in own if r["strategy"] == name}
        lines.append(f"| {name} | " + " | ".join(_shown(cells.get(b)) for b in budgets) + " |")
    return lines


def _shown(row: dict[str, Any] | None) -> str:
    if row is None:
        return "- | - | -"
    over, own = row["over_first"], row["accuracy"]
    gain = "-" if over is None else f"{over['value']:+.2f} [{over['low']:+.2f}, {over['high']:+.2f}]"
    if over is not None and (over["low"] > 0 or over["high"] < 0):
        gain = f"**{gain}**"
    return f"{own['value']:.2f} [{own['low']:.2f}, {own['high']:.2f}] | {gain} | {row['tokens']:.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument(
        "--worlds", nargs="+", choices=("arithmetic", "game24"), default=["arithmetic", "game24"]
    )
    parser.add_argument("--scorers", nargs="+", choices=tuple(SCORERS), default=list(SCORERS))
    parser.add_argument("--strategies", nargs="+", choices=tuple(STRATEGIES), default=list(STRATEGIES))
    parser.add_argument("--problems", type=int, default=100)
    args = parser.parse_args()
    if args.what == "table":
        table()
    else:
        names = ["majority", *(s for s in args.strategies if s != "majority")]
        run(args.worlds, args.scorers, names, args.problems)


if __name__ == "__main__":
    main()
