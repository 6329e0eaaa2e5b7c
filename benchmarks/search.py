"""Every search strategy at equal budgets, with an exact, a trained and a noisy scorer.

    OMP_NUM_THREADS=1 python benchmarks/search.py run [--worlds ...] [--scorers ...] [--strategies ...] [--problems 50]
    python benchmarks/search.py table     # search.jsonl as markdown

Problems: test split of the arithmetic world and of Game of 24; the shipped policies. A budget is so many generated tokens a
problem, discarded ones included; strategies that sample until the budget is spent do so, the others have settings (below) with
which they may go on as long as it lasts. Scorers: `oracle` (exact value of every step), `trained` (hard-ce on the oracle's labels of
320 problems x 8 traces of the train split, backbone the policy), `noisy` (the oracle, each verdict turned round with probability
0.2). Interrupted runs go on: cells are kept under runs/search.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from preceptor.annotate import Labels, WorldOracle
from preceptor.bench.compare import Comparison, compare
from preceptor.judgement import Judgement, Question, Scorer, Source, first_below
from preceptor.policy import load_policy, sample
from preceptor.reward import PRM, train
from preceptor.search import Strategy, strategy
from preceptor.trace import Trace, stream_seed
from preceptor.usage import Budget
from preceptor.worlds import WORLDS

HERE = Path(__file__).parent
KEPT = HERE.parent / "runs" / "search"
ROWS = HERE / "search.jsonl"
BUDGETS = {f"tokens={n}": Budget(tokens=n) for n in (150, 400, 1000)}
STRATEGIES: dict[str, dict[str, Any]] = {
    "majority": {"n": None},
    "greedy": {},
    "best-of-n": {"n": None, "aggregate": "min"},
    "weighted-vote": {"n": None, "aggregate": "min"},
    "hmr": {"n": None},
    "wrf": {"n": None},
    "pessimistic": {"n": None},
    "log-odds": {"n": None},
    "adaptive-consistency": {},
    "doubling-consistency": {},
    "step-beam": {"aggregate": "min"},
    "ovm-beam": {},
    "alphamath-beam": {},
    "dvts": {},
    "rebase": {},
    "lookahead-beam": {},
    "early-rejection": {},
    "greedy-backtracking": {},
    "best-first": {},
    "mur": {},
    "phi": {},
    "entropy-branching": {},
    "trusted-search": {},
}
"""Name -> settings; `compare` takes more strategies once they are here."""


@dataclass(frozen=True)
class Noisy:
    """The oracle with each verdict turned round with a set probability, always the same way for the same prefix."""

    oracle: Scorer
    rate: float = 0.2

    @property
    def question(self) -> Question:
        return self.oracle.question

    @property
    def source(self) -> Source:
        return Source.of("noisy-oracle", rate=self.rate)

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        return [self._turned(t, j) for t, j in zip(traces, self.oracle.score(traces), strict=True)]

    def _turned(self, trace: Trace, judged: Judgement) -> Judgement:
        if judged.scores is None:
            return judged
        scores = tuple(
            None if s is None else 1 - s if self._turns(trace.prefix(t + 1), trace) else s
            for t, s in enumerate(judged.scores)
        )
        return replace(judged, source=self.source, scores=scores, first_error=first_below(scores, 0.5))

    def _turns(self, prefix: str, trace: Trace) -> bool:
        return random.Random(stream_seed("noisy", trace.problem.id, prefix)).random() < self.rate


def trained(world: str) -> PRM:
    """The reward model of a world, trained on first use."""
    home, policy = KEPT / f"prm-{world}", load_policy(f"world:{world}")
    if (home / "config.json").exists():
        return PRM.load(home)
    traces = sample(policy, WORLDS[world].problems("train", 320, 0), 8)
    traces = [t for t in traces if t.steps]
    labels = Labels(tuple(traces), tuple(WorldOracle().score(traces)), len(traces), 0, 0)
    return train(labels, backbone=policy, out=home, objective="hard-ce", epochs=3, held_out=0.05, seed=0)


SCORERS: dict[str, Callable[[str], Scorer]] = {
    "oracle": lambda world: WorldOracle(Question.VALUE),
    "trained": trained,
    "noisy": lambda world: Noisy(WorldOracle(Question.VALUE)),
}


def chosen(names: Sequence[str]) -> dict[str, Strategy]:
    return {name: strategy(name)(**STRATEGIES[name]) for name in names}


def run(worlds: Sequence[str], scorers: Sequence[str], names: Sequence[str], problems: int) -> None:
    for world in worlds:
        policy, asked = load_policy(f"world:{world}"), WORLDS[world].problems("test", problems)
        for kind in scorers:
            began, scorer = time.monotonic(), SCORERS[kind](world)
            found = compare(KEPT / f"{world}-{kind}", policy, asked, chosen(names), BUDGETS, scorer)
            keep(world, kind, found)
            print(f"{world} {kind}: {len(found.cells)} cells, {time.monotonic() - began:.0f} s", flush=True)


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
    rows = [json.loads(line) for line in ROWS.read_text().splitlines()]
    budgets = list(dict.fromkeys(r["budget"] for r in rows))
    for world, kind in dict.fromkeys((r["world"], r["scorer"]) for r in rows):
        own = [r for r in rows if (r["world"], r["scorer"]) == (world, kind)]
        print(f"\n### {world}, {kind} scorer, {own[0]['problems']} problems\n")
        print("| strategy | " + " | ".join(f"{b}: accuracy | over majority | spent" for b in budgets) + " |")
        print("|---|" + "---|---|---|" * len(budgets))
        for name in dict.fromkeys(r["strategy"] for r in own):
            cells = {r["budget"]: r for r in own if r["strategy"] == name}
            print(f"| {name} | " + " | ".join(_shown(cells.get(b)) for b in budgets) + " |")


def _shown(row: dict[str, Any] | None) -> str:
    if row is None:
        return "- | - | -"
    over = row["over_first"]
    gain = "-" if over is None else f"{over['value']:+.2f} [{over['low']:+.2f}, {over['high']:+.2f}]"
    return f"{row['accuracy']['value']:.2f} | {gain} | {row['tokens']:.0f}"


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
    parser.add_argument("--problems", type=int, default=50)
    args = parser.parse_args()
    if args.what == "table":
        table()
    else:
        names = ["majority", *(s for s in args.strategies if s != "majority")]
        run(args.worlds, args.scorers, names, args.problems)


if __name__ == "__main__":
    main()
