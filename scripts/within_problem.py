"""Can a scorer tell right from wrong samples of one problem? From the candidates of a finished search.

    python scripts/within_problem.py runs/demo/solve/best-of-n

Prints the mean AUROC within problems (product of step scores against correctness, problems with both kinds),
and how many distinct texts the right and the wrong candidates are.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

from preceptor.bench import auroc


def main() -> None:
    within, counts, distinct = [], [0, 0], [0, 0]
    for line in (Path(sys.argv[1]) / "solutions.jsonl").read_text(encoding="utf-8").splitlines():
        candidates = json.loads(line)["candidates"]
        right = [c["grade"]["verdict"] == "correct" for c in candidates]
        for kind in (False, True):
            texts = [c["text"] for c, r in zip(candidates, right, strict=True) if r == kind]
            counts[kind] += len(texts)
            distinct[kind] += len(set(texts))
        value = auroc([math.prod(c["scores"]) for c in candidates], right)
        if value is not None:
            within.append(value)
    print(f"AUROC within {len(within)} problems: {sum(within) / len(within):.3f}")
    print(f"right: {counts[1]} samples, {distinct[1]} texts; wrong: {counts[0]} samples, {distinct[0]} texts")


if __name__ == "__main__":
    main()
