"""What only re-ranks, on stored samples of large models: every vote over every reward model.

    python benchmarks/search_pools.py [--data ../shared/data]     # writes benchmarks/search_pools.md

Pools: `bon_pools/gsm8k_250x32.jsonl.gz` (250 problems, 32 samples, seven published reward models),
`sampled_math/math_cot_100.jsonl` (8 samples, one reward model), `game24/` (logs of samples with values). Nothing is
generated; a minute on one core.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from preceptor.bench.pools import bench_votes
from preceptor.bench.rerank import AGGREGATORS, FITTED, RULES, Key, Reranked
from preceptor.bench.statistics import Estimate

FILES = (
    "bon_pools/gsm8k_250x32.jsonl.gz",
    "sampled_math/math_cot_100.jsonl",
    "game24/tot_propose_value.json",
)
HEAD = """# Votes and re-ranking on stored samples

    python benchmarks/search_pools.py

Percentage points over the majority of the same samples, paired, 95 % intervals over problems (1,000 resamples);
bold where the interval leaves out 0. Ties are shared over random orders. `log_odds, fitted` takes its map from the
other half of the problems. Many rows on the same problems: the best of them is optimistic elsewhere.
"""
OUT = Path(__file__).with_name("search_pools.md")


def signed(e: Estimate) -> str:
    return (
        "-"
        if e.value is None
        else f"{100 * e.value:+.1f} [{100 * (e.low or 0):+.1f}, {100 * (e.high or 0):+.1f}]"
    )


def clear(e: Estimate) -> bool:
    return e.low is not None and e.high is not None and (e.low > 0 or e.high < 0)


def section(found: Reranked) -> list[str]:
    """A table of the difference to the majority: one row a reward model and rule, one column an aggregator."""
    base = Key("majority")
    whole = found.accuracy(base)
    shown = f"{100 * (whole.value or 0):.1f} [{100 * (whole.low or 0):.1f}, {100 * (whole.high or 0):.1f}]"
    lines = [f"## {found.source}", ""]
    lines += [
        f"{len(found.names)} problems, {found.candidates} samples. Majority: {shown}. Minus majority:",
        "",
    ]
    models = sorted({k.model for k in found.outcomes if k.model is not None})
    known = [a for a in AGGREGATORS if any(k.aggregator == a for k in found.outcomes)]
    lines += ["| reward model | rule | " + " | ".join(known) + " |", "|---|---|" + "---|" * len(known)]
    for model in models:
        for rule in (*RULES, FITTED):
            cells = []
            for how in known:
                key = Key(rule, model, how)
                gain = found.minus(key, base) if key in found.outcomes else None
                cells.append("-" if gain is None else f"**{signed(gain)}**" if clear(gain) else signed(gain))
            if any(c != "-" for c in cells):
                lines.append(f"| {model} | {rule} | " + " | ".join(cells) + " |")
    others = [k for k in found.outcomes if k.model is None and k != base]
    lines += [
        "",
        "Without a reward model: " + "; ".join(f"{k} {signed(found.minus(k, base))}" for k in others) + ".",
    ]
    if found.skipped:
        lines += ["", "Refused, as they take probabilities: " + ", ".join(found.skipped) + "."]
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    data = parser.parse_args().data
    began = time.monotonic()
    lines = [HEAD]
    for name in FILES:
        lines += section(bench_votes(data / name))
        print(name, f"{time.monotonic() - began:.0f} s", flush=True)
    OUT.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
