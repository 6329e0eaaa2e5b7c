"""Every method of `preceptor.credit.METHODS` in the hack world: what does 200 updates of policy gradient learn from it?

    OMP_NUM_THREADS=1 python benchmarks/credit_hacks.py              # the fallible scorer, three seeds
    OMP_NUM_THREADS=1 python benchmarks/credit_hacks.py --scorer oracle
    OMP_NUM_THREADS=1 python benchmarks/credit_hacks.py prime pure   # these only

Results go into `credit_hacks.jsonl`, one line a method and scorer; a new run replaces the old line. The table of them
is on the page docs/credit.md (`python scripts/credit_page.py`). On one core: a minute and a half each.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

from preceptor.credit import METHODS
from preceptor.credit.hack_world import SCORERS, figures, fingerprint, train
from preceptor.errors import InputError

FILE = Path(__file__).with_suffix(".jsonl")
UPDATES, PROMPTS, GROUP = 200, 2, 6


def run(name: str, scorer: str, seeds: list[int]) -> dict[str, Any]:
    """One line; `error` in place of figures where a method cannot be run."""
    settings = (UPDATES, PROMPTS, GROUP)
    line: dict[str, Any] = {"method": name, "scorer": scorer, "seeds": seeds}
    try:
        found = [figures(train(METHODS[name], SCORERS[scorer], seed, *settings)) for seed in seeds]
    except InputError as err:
        line["error"] = str(err)
    else:
        line["accuracy"] = [round(f.accuracy, 4) for f in found]
        line["steps"] = [round(f.steps, 3) for f in found]
        line["shares"] = {k: [round(f.shares[k], 4) for f in found] for k in found[0].shares}
    return line | {
        "settings": dict(zip(("updates", "prompts", "group"), settings, strict=True)),
        "fingerprint": fingerprint(METHODS[name], SCORERS[scorer], *settings),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("methods", nargs="*", default=[])
    parser.add_argument("--scorer", choices=sorted(SCORERS), default="fallible")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    if unknown := sorted(set(args.methods) - set(METHODS)):
        raise SystemExit(f"unknown methods: {', '.join(unknown)}")
    command = " ".join(["python benchmarks/credit_hacks.py", *sys.argv[1:]])
    stored = [json.loads(x) for x in FILE.read_text(encoding="utf-8").splitlines()] if FILE.exists() else []
    kept = {(x["method"], x["scorer"]): x for x in stored if x["method"] in METHODS}
    start = time.process_time()
    for name in args.methods or METHODS:
        line = run(name, args.scorer, list(range(args.seeds)))
        kept[name, args.scorer] = line | {"command": command, "date": date.today().isoformat()}
    print(f"{time.process_time() - start:.0f} s of processor time")
    order = {name: i for i, name in enumerate(METHODS)}
    lines = sorted(kept.values(), key=lambda x: (order[x["method"]], x["scorer"]))
    FILE.write_text("".join(json.dumps(x) + "\n" for x in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
