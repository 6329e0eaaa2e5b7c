"""Charts as inline SVG: lines with interval bands, bars with whiskers, reliability diagrams.

Matplotlib draws (object API, text kept as text, no dates, ids prefixed per chart), then colors become CSS
variables so that a chart follows the page's light or dark setting. The output depends on the data only.
Legends are HTML and belong to the page.
"""

from __future__ import annotations

import io
import math
import re
import textwrap
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from markupsafe import Markup, escape

from preceptor.view.scale import DASHES, INK, MARKERS, SERIES, css_of_stand_ins
from preceptor.view.text import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 5.4
"""Inches. Charts are about as wide as a phone, so that their text stays readable there."""


@dataclass(frozen=True)
class Line:
    """One line of a chart; None is a gap. `low` and `high` bound the interval band."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    low: Sequence[float | None] | None = None
    high: Sequence[float | None] | None = None


@dataclass(frozen=True)
class Bar:
    """One bar; None is shown as "not defined"."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None


class BinLike(Protocol):
    """One reliability bin, as `preceptor.bench.reliability_bins` gives them."""

    @property
    def n(self) -> int: ...
    @property
    def mean_score(self) -> float: ...
    @property
    def mean_target(self) -> float: ...


def short_number(value: float, _position: float | None = None) -> str:
    """`1500` as `1.5k`, `0.25` as `0.25`: few characters, for axis ticks."""
    if value < 0:
        return "\u2212" + short_number(-value)
    size = value
    for limit, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= limit:
            return f"{value / limit:.3g}{suffix}"
    return f"{value:.3g}" if size >= 1e-3 or size == 0 else f"{value:.0e}"


def draw_lines(
    lines: Sequence[Line], *, x: str, y: str, log_x: bool, y_limits: tuple[float, float] | None
) -> Figure:
    figure, axes = _figure(3.3)
    for i, line in enumerate(lines):
        xs, ys = list(line.x), _gaps(line.y)
        if len(xs) != len(ys):
            raise ValueError(f"line {line.name!r}: got {len(xs)} x and {len(ys)} y, expected as many")
        if line.low is not None and line.high is not None:
            color = SERIES[i % len(SERIES)]
            axes.fill_between(xs, _gaps(line.low), _gaps(line.high), color=color, alpha=0.14, linewidth=0)
        axes.plot(xs, ys, **_style(i))
    if log_x:
        axes.set_xscale("log")
    _x_ticks(axes, sorted({v for line in lines for v in line.x}), log_x)
    if y_limits is not None:
        axes.set_ylim(*y_limits)
    axes.yaxis.set_major_formatter(short_number)
    _label(axes, x, y)
    return figure


def draw_bars(bars: Sequence[Bar], *, x: str) -> Figure:
    labels = ["\n".join(textwrap.wrap(visible(b.name), 22)) or " " for b in bars]
    rows = sum(max(1.0, 0.6 * (1 + label.count("\n"))) for label in labels)
    figure, axes = _figure(0.75 + 0.3 * rows)
    ends = [v for b in bars for v in (b.value, b.low, b.high) if v is not None] or [0.0]
    left, right = min(0.0, *ends), max(0.0, *ends)
    span = (right - left) or 1.0
    for i, bar in enumerate(bars):
        if bar.value is None:
            axes.text(0.02 * span, i, "not defined", va="center", color=INK["muted"])
            continue
        axes.barh(i, bar.value, height=0.62, color=SERIES[0], alpha=0.75, linewidth=0)
        reach = bar.value
        if bar.low is not None and bar.high is not None:
            axes.plot([bar.low, bar.high], [i, i], color=INK["ink"], linewidth=1.3, marker="|", markersize=6)
            reach = max(reach, bar.high)
        axes.text(
            max(reach, 0) + 0.02 * span,
            i,
            f"{bar.value:.3f}".replace("-", "\u2212"),
            va="center",
            color=INK["ink"],
        )
    axes.axvline(0, color=INK["muted"], linewidth=0.8)
    axes.set_xlim(left - (0.03 * span if left < 0 else 0), right + 0.17 * span)
    axes.set_ylim(len(bars) - 0.45, -0.55)
    axes.set_yticks(range(len(bars)), labels, parse_math=False)
    axes.tick_params(axis="y", length=0, colors=INK["ink"])
    axes.grid(visible=False, axis="y")
    axes.locator_params(axis="x", nbins=6)
    axes.xaxis.set_major_formatter(short_number)
    _label(axes, x, "")
    return figure


def draw_reliability(series: Mapping[str, Sequence[BinLike]], *, x: str, y: str) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    top, bottom = figure.subplots(2, 1, height_ratios=(4, 1), sharex=True)
    for axes in (top, bottom):
        _dress(axes)
    top.plot([0, 1], [0, 1], color=INK["muted"], linewidth=1, dashes=(3, 3))
    for i, bins in enumerate(series.values()):
        at = [b.mean_score for b in bins]
        top.plot(at, [b.mean_target for b in bins], **_style(i))
        total = sum(b.n for b in bins) or 1
        shift = 0.008 * (i - (len(series) - 1) / 2)
        for b in bins:
            bottom.plot([b.mean_score + shift] * 2, [0, b.n / total], color=SERIES[i % len(SERIES)], lw=3)
    top.set_xlim(-0.03, 1.03)
    top.set_ylim(-0.03, 1.03)
    bottom.set_ylim(bottom=0)
    for axis in (top.xaxis, top.yaxis, bottom.yaxis):
        axis.set_major_formatter(short_number)
    _label(top, "", y)
    _label(bottom, x, "share")
    return figure


def render(draw: Any, *args: Any, key: str, title: str, description: str, **kwargs: Any) -> Markup:
    """Call one of the `draw_` functions and return accessible inline SVG whose ids start with `key`."""
    import matplotlib

    settings: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": "preceptor",
        "font.size": 10.5,
        "font.family": "sans-serif",
    }
    buffer = io.StringIO()
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # Widths are measured with a font that lacks some scripts; the browser has its own.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        draw(*args, **kwargs).savefig(buffer, format="svg", dpi=100, transparent=True)
    return Markup(_finish(buffer.getvalue(), key, title, description))


def _finish(svg: str, key: str, title: str, description: str) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{key}-', svg)
    svg = re.sub(r'(url\(#|href="#)', rf"\g<1>{key}-", svg)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    for stand_in, css in css_of_stand_ins().items():
        svg = svg.replace(stand_in, css)
    box = re.search(r'viewBox="[^"]*"', svg)
    if box is None:
        raise ValueError("the drawn chart has no viewBox")
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {box.group()} '
        f'role="img" aria-labelledby="{key}-t {key}-d">'
        f'<title id="{key}-t">{escape(visible(title))}</title>'
        f'<desc id="{key}-d">{escape(visible(description))}</desc>'
    )
    return head + svg[svg.index(">") + 1 :].rstrip()


def _figure(height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots()
    _dress(axes)
    return figure, axes


def _dress(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK["muted"])
    axes.tick_params(colors=INK["muted"], length=3)
    axes.grid(color=INK["grid"], linewidth=0.7)
    axes.set_axisbelow(True)


def _style(i: int) -> dict[str, Any]:
    dash = [float(v) for v in DASHES[i % len(DASHES)].split()]
    style = {"dashes": [v / 1.8 for v in dash]} if dash else {"linestyle": "-"}
    color = SERIES[i % len(SERIES)]
    return {"color": color, "linewidth": 1.8, "marker": MARKERS[i % len(MARKERS)], "markersize": 4.5, **style}


def _label(axes: Axes, x: str, y: str) -> None:
    room = int(0.11 * axes.bbox.height)
    axes.set_xlabel("\n".join(textwrap.wrap(visible(x), 52)), color=INK["ink"], parse_math=False)
    axes.set_ylabel("\n".join(textwrap.wrap(visible(y), max(12, room))), color=INK["ink"], parse_math=False)


def _x_ticks(axes: Axes, xs: list[float], log_x: bool) -> None:
    """Ticks at the data where these are few and apart, otherwise wherever the axis wants them."""
    from matplotlib.ticker import NullFormatter

    axes.xaxis.set_major_formatter(short_number)
    axes.xaxis.set_minor_formatter(NullFormatter())
    places = [math.log(v) for v in xs] if log_x and all(v > 0 for v in xs) else xs
    if not 2 <= len(xs) <= 10:
        return
    span, kept, last = places[-1] - places[0], [xs[0]], places[0]
    for value, place in zip(xs[1:], places[1:], strict=True):
        if place - last >= max(0.085, 0.026 * len(short_number(value))) * span:
            kept.append(value)
            last = place
    axes.set_xticks(kept)
    axes.set_xticks([], minor=True)


def _gaps(values: Iterable[float | None]) -> list[float]:
    return [float("nan") if v is None else float(v) for v in values]
