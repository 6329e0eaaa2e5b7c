"""The frontier of labels.py as one SVG: F1 of the exact first error against tokens per trace, a panel per cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from preceptor.view.charts import short_number
from preceptor.view.scale import MARKERS, SERIES_LIGHT

LINES = ("first-error-search", "math-shepherd", "omega-bisection")
"""Families measured at several settings. Every other row is a point with a number."""
TICKS = (0, 10, 30, 100, 300, 1000, 3000, 10000)
LINEAR = 10
"""Up to here the token axis is straight, so that 0 has a place."""
INK = "#3a3a3a"


def frontier(rows: list[dict[str, Any]], path: Path) -> None:
    rows = [r for r in rows if r["f1"]["value"] is not None and "soft" not in r["setting"]]
    cells = list(dict.fromkeys(r["cell"] for r in rows))
    alone = sorted({_name(r) for r in rows if r["method"] not in LINES})
    numbers = {name: k for k, name in enumerate(alone, start=1)}
    tall = (len(cells) + 1) // 2
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "labels", "font.size": 10}):
        figure = Figure(figsize=(13, 4.6 * tall + 1), layout="constrained")
        figure.patch.set_facecolor("white")
        panels = figure.subplots(tall, 2, squeeze=False).ravel()
        for axes, cell in zip(panels, cells, strict=False):
            _panel(axes, cell, [r for r in rows if r["cell"] == cell], numbers)
        for axes in panels[len(cells) :]:
            axes.set_visible(False)
        handles, names = panels[0].get_legend_handles_labels()
        for name, k in numbers.items():
            handles.append(Line2D([], [], linestyle="none"))
            names.append(f"{k}  {name}")
        figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
        figure.savefig(path, metadata={"Date": None})


def _name(r: dict[str, Any]) -> str:
    twice = r["method"] in ("step-confidence", "omegaprm", "critique")
    return (
        f"{r['method']} {r['setting'].split()[0] if r['method'] == 'step-confidence' else r['setting']}"
        if twice
        else r["method"]
    )


def _panel(axes: Axes, cell: str, rows: list[dict[str, Any]], numbers: dict[str, int]) -> None:
    axes.set_xscale("symlog", linthresh=LINEAR, linscale=0.6)
    axes.set_xlim(-1, 2 * max(r["tokens_per_trace"] for r in rows))
    axes.set_ylim(-0.03, 1.05)
    axes.xaxis.set_major_locator(FixedLocator([t for t in TICKS if t <= axes.get_xlim()[1]]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(short_number)
    axes.grid(color="#e2e2e2", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(f"{cell} ({max(r['problems'] for r in rows)} problems)", loc="left", fontsize=11)
    axes.set_xlabel("tokens per trace")
    axes.set_ylabel("F1 of the exact first error")
    for i, family in enumerate(LINES):
        own = sorted((r for r in rows if r["method"] == family), key=lambda r: r["tokens_per_trace"])
        x, y = [r["tokens_per_trace"] for r in own], [r["f1"]["value"] for r in own]
        low, high = [r["f1"]["low"] for r in own], [r["f1"]["high"] for r in own]
        color, marker = SERIES_LIGHT[i], MARKERS[i % len(MARKERS)]
        axes.fill_between(x, low, high, color=color, alpha=0.13, linewidth=0)
        axes.plot(x, y, color=color, marker=marker, markersize=4.5, linewidth=1.8, label=family)
    taken: list[tuple[float, float]] = []
    alone = [r for r in rows if r["method"] not in LINES]
    for r in sorted(alone, key=lambda r: (r["tokens_per_trace"], -r["f1"]["value"])):
        _point(axes, r, numbers[_name(r)], taken)


def _point(axes: Axes, r: dict[str, Any], number: int, taken: list[tuple[float, float]]) -> None:
    """A small dot, and its number in a circle beside it, moved right where another stands already."""
    x, y = r["tokens_per_trace"], r["f1"]["value"]
    left, right = (float(axes.transScale.transform((v, 0))[0]) for v in axes.get_xlim())
    at, step = float(axes.transScale.transform((x, 0))[0]), 0.03 * (right - left)
    while any(abs(at - a) < step and abs(y - b) < 0.05 for a, b in taken):
        at += step / 3
    taken.append((at, y))
    shown = float(axes.transScale.inverted().transform((at, 0))[0])
    axes.plot([x, shown], [y, y], color=INK, linewidth=0.6)
    axes.plot(
        [shown],
        [y],
        marker="o",
        markersize=12,
        markerfacecolor="white",
        markeredgecolor=INK,
        markeredgewidth=0.7,
    )
    axes.annotate(str(number), (shown, y), fontsize=7.5, color=INK, ha="center", va="center_baseline")
