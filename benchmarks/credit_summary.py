"""credit.md between its marks, credit_curves.svg and credit_long.svg, from credit.jsonl and
credit_short.jsonl (an earlier grid).

python benchmarks/credit_summary.py
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from preceptor.view.charts import short_number
from preceptor.view.scale import SERIES_LIGHT

HERE = Path(__file__).parent
BEGIN, END = "<!-- cells -->", "<!-- /cells -->"
RESAMPLES = 2000
BELOW = 0.05
"""A run has collapsed when it ends this far below where it started."""
SHOWN = 0.3, 0.52
"""Accuracies in the plot; what collapses leaves it."""
Cells = dict[int, dict[str, Any]]
"""The cells of one scheme by seed."""


def accuracies(cell: dict[str, Any]) -> np.ndarray:
    """`(M,)` held-out accuracy at each measurement."""
    return np.array([right / (n - unknown) for right, n, unknown in (c["held_out"] for c in cell["curve"])])


def tokens(cell: dict[str, Any]) -> np.ndarray:
    """`(M,)` generated so far, for training and by the scorer."""
    return np.array([c["generated"] + c["by_scorer"] for c in cell["curve"]])


def mean_curve(cells: Cells, seeds: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and accuracy, means over seeds."""
    return np.mean([tokens(cells[s]) for s in seeds], 0), np.mean([accuracies(cells[s]) for s in seeds], 0)


def first_at(x: np.ndarray, y: np.ndarray, level: float) -> float | None:
    """Tokens at which the straight lines between measurements first reach `level`."""
    for i in range(len(y)):
        if y[i] >= level:
            if i == 0:
                return float(x[0])
            return float(x[i - 1] + (x[i] - x[i - 1]) * (level - y[i - 1]) / (y[i] - y[i - 1]))
    return None


def interval(values: np.ndarray) -> tuple[float, float]:
    """`(S, P)` seeds and problems, both resampled; 95 %."""
    rng = np.random.default_rng(0)
    s, p = values.shape
    found = [values[rng.integers(s, size=s)][:, rng.integers(p, size=p)].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)


def share(values: np.ndarray, sign: bool = False) -> str:
    low, high = interval(values)
    form = "+.3f" if sign else ".3f"
    return f"{values.mean():{form}} [{low:{form}}, {high:{form}}]"


def watched(cells: Cells, column: int) -> str:
    """Mean of the first and of the last 5 batches."""
    rows = [[w[column] for w in c["watched"]] for c in cells.values()]
    return f"{np.mean([r[:5] for r in rows]):.1f} → {np.mean([r[-5:] for r in rows]):.1f}"


def warned(cells: Cells) -> str:
    """Kinds of warnings, with the number of seeds that had one."""
    kinds = Counter(k for c in cells.values() for k in {w["kind"] for w in c["warnings"]})
    return ", ".join(f"{k} {n}/{len(cells)}" for k, n in sorted(kinds.items())) or "-"


def verdict(diff: np.ndarray, change: float, areas: Sequence[float]) -> str:
    low, high = interval(diff)
    if change < -BELOW:
        return "**collapses**"
    if low > 0:
        return "**better**"
    if high < 0:
        return "worse"
    lean = "all seeds above" if min(areas) > 0 else "all seeds below" if max(areas) < 0 else "seeds differ"
    return f"not told apart; {lean}" if len(areas) > 1 else "not told apart"


def line(scheme: tuple[str, str], cells: Cells, base: Cells) -> tuple[float, str]:
    """A row of the main table; the number to sort by is the final accuracy."""
    seeds = sorted(set(cells) & set(base))
    if not seeds:
        return (
            0.0,
            f"| `{scheme[0]}`, {scheme[1]} | {len(cells)} | no outcome-only run of the same seed yet | | | | |",
        )
    last = np.array([cells[s]["by_problem"] for s in seeds])
    diff = last - np.array([base[s]["by_problem"] for s in seeds])
    areas = [float((accuracies(cells[s]) - accuracies(base[s]))[1:].mean()) for s in seeds]
    change = float(np.mean([accuracies(cells[s])[-1] - accuracies(cells[s])[0] for s in seeds]))
    own = scheme[0] == "outcome"
    figures = [
        f"`{scheme[0]}`, {scheme[1]}",
        str(len(seeds)),
        share(last),
        "-" if own else share(diff, sign=True),
        "-" if own else f"{np.mean(areas):+.3f} ({', '.join(f'{a:+.3f}' for a in areas)})",
        "the yardstick" if own else verdict(diff, change, areas),
    ]
    return float(last.mean()), "| " + " | ".join(figures) + " |"


def alone(cell: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    return tokens(cell), accuracies(cell)


def share_of(x: np.ndarray, y: np.ndarray, bx: np.ndarray, by: np.ndarray) -> str:
    """Of outcome-only's tokens, how many it takes to its final accuracy; "-" where it gained nothing."""
    if by[-1] <= by[0]:
        return "-"
    at = first_at(x, y, by[-1])
    return "never" if at is None else f"{at / bx[-1]:.2f}"


def speed(scheme: tuple[str, str], cells: Cells, base: Cells) -> str:
    """A row of the table of tokens, against outcome-only of the same seeds."""
    seeds = sorted(set(cells) & set(base))
    if not seeds:
        return ""
    x, y = mean_curve(cells, seeds)
    bx, by = mean_curve(base, seeds)
    third = float(np.interp(bx[-1] / 3, x, y))
    at = share_of(x, y, bx, by)
    each = ", ".join(share_of(tokens(cells[s]), accuracies(cells[s]), *alone(base[s])) for s in seeds)
    written = np.mean([c["curve"][-1]["by_scorer"] for c in cells.values()])
    read = np.mean([c["scorer_scored"] for c in cells.values()])
    figures = [
        f"`{scheme[0]}`, {scheme[1]}",
        f"{x[-1] / 1000:.0f}" + (f" ({written / 1000:.0f} by the scorer)" if written else ""),
        f"{read / 1000:.0f}" if read else "-",
        f"{third:.3f}",
        f"**{at}**" if at[0] == "0" and float(at) <= 1 / 3 else at,
        each,
        watched(cells, 2),
        watched(cells, 3),
        warned(cells),
    ]
    return "| " + " | ".join(figures) + " |"


def grouped(rows: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], dict[tuple[str, str], Cells]]:
    """The plan, and the cells of each scheme in its order."""
    plan = [r for r in rows if r["kind"] == "plan"][-1]
    found: dict[tuple[str, str], Cells] = {tuple(s): {} for s in plan["schemes"]}
    for r in rows:
        if r["kind"] == "cell":
            found.setdefault((r["method"], r["signals"]), {})[r["seed"]] = r
    return plan, found


def ranking(schemes: dict[tuple[str, str], Cells]) -> str:
    base = schemes[("outcome", "none")]
    lines = sorted((line(k, v, base) for k, v in schemes.items() if v), reverse=True)
    return (
        "| scheme, its signals | seeds | accuracy | less outcome-only's | over the run, each seed | |\n"
        "|---|---|---|---|---|---|\n" + "\n".join(text for _, text in lines)
    )


def table(rows: Sequence[dict[str, Any]], short: Sequence[dict[str, Any]]) -> str:
    plan, schemes = grouped(rows)
    base = schemes[("outcome", "none")]
    run = {k: v for k, v in schemes.items() if v}
    _, earlier = grouped(short)
    before = earlier[("outcome", "none")]
    missing = [
        f"`{m}`, {s}: seed {', '.join(str(x) for x in plan['seeds'] if x not in cells)}"
        for (m, s), cells in schemes.items()
        if set(plan["seeds"]) - set(cells)
    ]
    about = next(iter(base.values()))
    parts = [
        settings(about, base),
        "## Held-out accuracy at the end",
        ranking(schemes),
        "## Tokens, and what the texts become",
        "| scheme, its signals | generated, thousands | scored, thousands | accuracy at 1/3 of outcome-only's tokens | "
        "tokens to its final accuracy, share | each seed | tokens a text | steps a text | monitor warnings |\n"
        "|---|---|---|---|---|---|---|---|---|\n" + "\n".join(speed(k, v, base) for k, v in run.items()),
        "Missing cells: " + ("; ".join(missing) + "." if missing else "none."),
        *longer(rows),
        "## An earlier grid: small batches",
        settings(next(iter(before.values())), before),
        ranking(earlier),
        "## Pilots of the earlier grid\n\n`outcome` alone, seed 0, dev split.",
        pilots(short),
    ]
    return "\n\n".join(parts) + "\n"


def settings(about: dict[str, Any], base: Cells) -> str:
    start = np.mean([accuracies(c)[0] for c in base.values()])
    end = np.mean([accuracies(c)[-1] for c in base.values()])
    return (
        f"{about['steps']} updates of {about['prompts_per_step']} problems x {about['generations']} completions of at "
        f"most {about['max_tokens']} tokens, learning rate {about['lr']:g}, all weights, micro-batch "
        f"{about['micro_batch']}, temperature 1, no KL term, {about['train']} problems of the train split. Held out: "
        f"{about['held_out']} problems of the test split x {about['eval_samples']} sample at temperature 1, with the "
        f"same random streams at every measurement of a seed, every {about['eval_every']} updates. Outcome-only, "
        f"mean of {len(base)} seed(s): {start:.3f} at the start, {end:.3f} at the end."
    )


def pilots(rows: Sequence[dict[str, Any]]) -> str:
    head = "| weights | learning rate | operations | updates | dev samples | accuracy at each measurement |\n"
    head += "|---|---|---|---|---|---|\n"
    found = []
    for r in rows:
        if r["kind"] == "pilot":
            weights = f"adapters of rank {r['lora']}" if r.get("lora") else r.get("weights", "all")
            low, high = r.get("operations", (2, 8))
            shares = " ".join(f"{a:.3f}" for a in accuracies(r))
            n = r["held_out"] * r["eval_samples"]
            found.append(f"| {weights} | {r['lr']:g} | {low}-{high} | {r['steps']} | {n} | {shares} |")
    return head + "\n".join(found)


def longer(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The runs of more updates: means over seeds, each seed's speed, and the mean curve."""
    parts = []
    for steps in lengths(rows):
        schemes = long_runs(rows, steps)
        base = schemes.pop(("outcome", "none"), {})
        if base:
            parts += [f"### {steps} updates", about_long(base), long_table(schemes, base)]
    return ["## Longer runs", *parts] if parts else []


def lengths(rows: Sequence[dict[str, Any]]) -> list[int]:
    return sorted({r["steps"] for r in rows if r["kind"] == "long"})


def long_runs(rows: Sequence[dict[str, Any]], steps: int) -> dict[tuple[str, str], Cells]:
    found: dict[tuple[str, str], Cells] = {}
    for r in rows:
        if r["kind"] == "long" and r["steps"] == steps:
            found.setdefault((r["method"], r["signals"]), {})[r["seed"]] = r
    return found


def about_long(base: Cells) -> str:
    about = next(iter(base.values()))
    ends = [f"{accuracies(c)[0]:.3f} to {accuracies(c)[-1]:.3f}" for _, c in sorted(base.items())]
    return (
        f"Every {about['eval_every']} updates measured, {about['eval_samples']} samples of each held-out problem; else "
        f"as above. Seeds {', '.join(map(str, sorted(base)))}; outcome-only went from {', '.join(ends)} (seed by seed)."
    )


def long_table(schemes: dict[tuple[str, str], Cells], base: Cells) -> str:
    head = (
        "| scheme, its signals | seeds | accuracy at the end | less outcome-only's | "
        "tokens to its final accuracy, share | each seed | mean accuracy at each measurement |\n"
        "|---|---|---|---|---|---|---|"
    )
    lines = [head, long_line(("outcome", "none"), base, base)]
    lines += [long_line(name, cells, base) for name, cells in schemes.items()]
    return "\n".join(lines)


def long_line(scheme: tuple[str, str], cells: Cells, base: Cells) -> str:
    seeds = sorted(set(cells) & set(base))
    last = np.array([cells[s]["by_problem"] for s in seeds])
    diff = last - np.array([base[s]["by_problem"] for s in seeds])
    curve, yardstick = mean_curve(cells, seeds), mean_curve(base, seeds)
    at = share_of(*curve, *yardstick)
    figures = [
        f"`{scheme[0]}`, {scheme[1]}",
        str(len(seeds)),
        share(last),
        "-" if scheme[0] == "outcome" else share(diff, sign=True),
        f"**{at}**" if at[0] == "0" and float(at) <= 1 / 3 else at,
        ", ".join(share_of(*alone(cells[s]), *alone(base[s])) for s in seeds),
        " ".join(f"{a:.3f}" for a in curve[1]),
    ]
    return "| " + " | ".join(figures) + " |"


def plot_long(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """A panel a length: means over seeds, seeds thin."""
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "credit", "font.size": 10}):
        figure = Figure(figsize=(6 * len(lengths(rows)), 4.4), layout="constrained")
        figure.patch.set_facecolor("white")
        panels = figure.subplots(1, len(lengths(rows)), squeeze=False, sharey=True)[0]
        for axes, steps in zip(panels, lengths(rows), strict=True):
            schemes = long_runs(rows, steps)
            for ((method, signals), cells), color in zip(
                schemes.items(), ("#666666", *SERIES_LIGHT), strict=False
            ):
                for cell in cells.values():
                    axes.plot(tokens(cell), accuracies(cell), color=color, linewidth=0.7, alpha=0.35)
                x, y = mean_curve(cells, sorted(cells))
                axes.plot(
                    x,
                    y,
                    color=color,
                    marker="o",
                    markersize=4,
                    linewidth=2,
                    label=f"{method}, {signals}: {len(cells)} seeds",
                )
                if method == "outcome":
                    axes.axhline(y[-1], color=color, linestyle=":", linewidth=1)
                    axes.axvline(x[-1] / 3, color=color, linestyle=":", linewidth=1)
            axes.set_title(f"{steps} updates", loc="left", fontsize=10)
            axes.grid(color="#e2e2e2", linewidth=0.7)
            axes.spines[["top", "right"]].set_visible(False)
            axes.set_xlim(0)
            axes.xaxis.set_major_formatter(short_number)
            axes.legend(frameon=False, loc="lower right")
        figure.supxlabel(
            "generated tokens. Thin: a seed; dotted: outcome only's final accuracy, a third of its tokens"
        )
        figure.supylabel("held-out accuracy")
        figure.savefig(path, metadata={"Date": None})


def plot(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """A panel a scheme: its seeds and their mean, and outcome-only's mean."""
    _, schemes = grouped(rows)
    base = schemes[("outcome", "none")]
    run = {k: v for k, v in schemes.items() if v}
    wide = 5
    tall = -(-len(run) // wide)
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "credit", "font.size": 9}):
        figure = Figure(figsize=(14, 2.7 * tall), layout="constrained")
        figure.patch.set_facecolor("white")
        panels = figure.subplots(tall, wide, squeeze=False, sharex=True, sharey=True).ravel()
        for axes in panels[len(run) :]:
            axes.set_visible(False)
        for axes, ((method, signals), cells) in zip(panels, run.items(), strict=False):
            seeds = sorted(set(cells) & set(base)) or sorted(base)
            axes.plot(
                *mean_curve(base, seeds), color="#888888", linestyle="--", linewidth=1.6, label="outcome only"
            )
            for cell in cells.values():
                axes.plot(tokens(cell), accuracies(cell), color=SERIES_LIGHT[0], linewidth=0.7, alpha=0.5)
            axes.plot(
                *mean_curve(cells, sorted(cells)),
                color=SERIES_LIGHT[0],
                marker="o",
                markersize=3,
                linewidth=1.8,
            )
            axes.set_title(f"{method}, {signals}", loc="left", fontsize=9)
            axes.grid(color="#e2e2e2", linewidth=0.7)
            axes.spines[["top", "right"]].set_visible(False)
            axes.set_xlim(0, 1.35 * max(tokens(c)[-1] for c in base.values()))
            axes.xaxis.set_major_formatter(short_number)
        panels[0].set_ylim(*SHOWN)
        figure.supxlabel("generated tokens (training and scorer). Thin: a seed; dashed: outcome only")
        figure.supylabel("held-out accuracy")
        figure.savefig(path, metadata={"Date": None})


def main() -> None:
    rows, short = (
        [json.loads(text) for text in (HERE / name).read_text().splitlines()]
        for name in ("credit.jsonl", "credit_short.jsonl")
    )
    page = HERE / "credit.md"
    before, _, rest = page.read_text().partition(BEGIN)
    page.write_text(f"{before}{BEGIN}\n\n{table(rows, short)}\n{END}{rest.partition(END)[2]}")
    plot(rows, HERE / "credit_curves.svg")
    if lengths(rows):
        plot_long(rows, HERE / "credit_long.svg")


if __name__ == "__main__":
    main()
