"""Print the Markdown tables of README.md and benchmarks/demo.md from the files of a demo run.

python scripts/demo_tables.py runs/demo
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def interval(e: dict[str, Any] | None) -> str:
    return "" if e is None or e["value"] is None else f"{e['value']:.3f} [{e['low']:.3f}, {e['high']:.3f}]"


def table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(r) + " |" for r in [head, ["---"] * len(head), *rows])


def main() -> None:
    run = Path(sys.argv[1])
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]

    def named(verb: str) -> list[tuple[str, dict[str, Any]]]:
        return [(r["stage"].removeprefix(verb), r) for r in rows if r["stage"].startswith(verb)]

    labels = [
        [n, r["question"], interval(r["f1"]), f"{r['generated']:,}", f"{r['seconds']:.0f}"]
        for n, r in named("compare ")
    ]
    models = [
        [n, interval(r["tuned"]["f1"]), interval(r["auroc"]), f"{r['rows']:,}", f"{r['seconds']:.0f}"]
        for n, r in named("prm ")
    ]
    solved = [
        [
            n,
            interval({"value": r["accuracy"], "low": r["interval"][0], "high": r["interval"][1]}),
            interval(r["over_majority"]),
            f"{r['tokens_per_problem']:.0f}",
            f"{r['ledger']['scorer'].get('scored', 0) / r['problems']:.0f}",
        ]
        for n, r in named("solve ")
    ]
    learned = [
        [
            n,
            interval(r["before"]),
            interval(r["after"]),
            f"{r['usage']['policy']['generated']:,}",
            f"{r['seconds']:.0f}",
        ]
        for n, r in named("learn ")
    ]
    stages = [[r["stage"], f"{r['seconds']:.1f}"] for r in rows]
    for head, body in [
        (["labels by", "question", "first-error F1", "tokens", "s"], labels),
        (["reward model from", "held-out first-error F1", "step AUROC", "rows", "s"], models),
        (["strategy", "accuracy", "over majority", "tokens/problem", "scored tokens/problem"], solved),
        (["policy training", "before", "after", "tokens", "s"], learned),
        (["stage", "seconds"], stages),
    ]:
        print(table(head, body) + "\n")


if __name__ == "__main__":
    main()
