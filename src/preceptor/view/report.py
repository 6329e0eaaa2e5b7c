"""One self-contained page: text, key figures, tables, charts and colored traces, in the order they are added.

No script, no network, no external file: the page may be mailed, archived and opened from a phone. Text is
escaped, hidden characters are made visible, and a content policy in the page forbids scripts besides.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from preceptor.view import charts
from preceptor.view.charts import Bar, BinLike, Line
from preceptor.view.scale import BINS, DASHES, MARKERS, SERIES, css_variables
from preceptor.view.tables import cell, cells
from preceptor.view.text import marked, visible
from preceptor.view.traces import ScoredTrace, trace_cards

if TYPE_CHECKING:
    from jinja2 import Environment


class Report:
    """A page under construction. Every method adds one block and returns the report.

    >>> Report("A run", "gsm8k, 400 problems").text("Nothing was hidden.").render()[:15]
    '<!doctype html>'
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self.title, self.subtitle = title, subtitle
        self._blocks: list[tuple[str, Markup]] = []
        self._sections: list[str] = []
        self._charts = 0

    def __repr__(self) -> str:
        return f"<Report {self.title!r}: {len(self._blocks)} blocks>"

    def section(self, title: str) -> Report:
        """A heading; pages with two or more get a table of contents."""
        self._sections.append(title)
        return self._add("section", title=title, anchor=f"s{len(self._sections)}")

    def text(self, *paragraphs: str) -> Report:
        """Paragraphs of plain text."""
        return self._add("text", paragraphs=paragraphs)

    def facts(self, facts: Mapping[str, Any]) -> Report:
        """A row of key figures: label -> text, number, None or an interval."""
        return self._add("facts", facts=[(name, cell(value)) for name, value in facts.items()])

    def provenance(self, entries: Mapping[str, Any]) -> Report:
        """How the figures came about: command, model, data, seed, commit, budget."""
        return self._add("provenance", entries=[(name, cell(value).text) for name, value in entries.items()])

    def table(
        self, columns: Sequence[str], rows: Sequence[Sequence[Any]], caption: str = "", note: str = ""
    ) -> Report:
        """Cells are text, numbers, None (a dash) or anything with `value`, `low` and `high`.

        Columns that hold only numbers are right-aligned.
        """
        body, numeric = cells(columns, rows)
        return self._add(
            "table", columns=list(zip(columns, numeric, strict=True)), rows=body, caption=caption, note=note
        )

    def lines(
        self,
        lines: Sequence[Line],
        *,
        title: str,
        x: str,
        y: str,
        note: str = "",
        log_x: bool = False,
        y_limits: tuple[float, float] | None = None,
    ) -> Report:
        """Curves with interval bands."""
        rows = [
            [line.name, at, line.y[i], *_interval_text(line.low, line.high, i)]
            for line in lines
            for i, at in enumerate(line.x)
        ]
        return self._chart(
            charts.draw_lines,
            lines,
            title=title,
            note=note,
            names=[line.name for line in lines],
            columns=["series", x, y, "interval"],
            rows=rows,
            x=x,
            y=y,
            log_x=log_x,
            y_limits=y_limits,
        )

    def bars(self, bars: Sequence[Bar], *, title: str, x: str, note: str = "") -> Report:
        """One figure per name, with its interval."""
        rows = [[b.name, b.value, *_interval_text([b.low], [b.high], 0)] for b in bars]
        return self._chart(
            charts.draw_bars,
            bars,
            title=title,
            note=note,
            names=[],
            columns=["name", x, "interval"],
            rows=rows,
            x=x,
        )

    def reliability(
        self,
        series: Mapping[str, Sequence[BinLike]],
        *,
        title: str,
        x: str = "mean score of the bin",
        y: str = "share that came true",
        note: str = "",
    ) -> Report:
        """Scores against outcomes; the diagonal is perfect calibration, stems show where the scores lie."""
        rows = [[name, b.n, b.mean_score, b.mean_target] for name, bins in series.items() for b in bins]
        return self._chart(
            charts.draw_reliability,
            series,
            title=title,
            note=note,
            names=list(series),
            columns=["series", "n", x, y],
            rows=rows,
            x=x,
            y=y,
        )

    def traces(
        self,
        items: Sequence[ScoredTrace],
        *,
        reference: str | None = None,
        color_by: str | None = None,
        threshold: float | None = 0.5,
        limits: tuple[float, float] = (0.0, 1.0),
        opened: int = 2,
        title: str = "",
        note: str = "",
    ) -> Report:
        """Traces with colored steps; the first `opened` are unfolded.

        `reference` names the scorer that holds the truth; `color_by` the one that colors the steps (the first
        one unless given). A scorer that states no first error is read at `threshold` (None: not at all).
        `limits` are the scores at the two ends of the color scale.
        """
        names = list(dict.fromkeys(name for item in items for name in item.judgements))
        for name in (reference, color_by):
            if name is not None and name not in names:
                raise ValueError(f"traces: got scorer {name!r}, expected one of {names}")
        color_by = color_by or (names[0] if names else "")
        cards = trace_cards(
            items, names, reference=reference, color_by=color_by, threshold=threshold, limits=limits
        )
        return self._add(
            "traces",
            cards=cards,
            names=names,
            reference=reference,
            color_by=color_by,
            threshold=threshold,
            limits=limits,
            opened=opened,
            title=title,
            note=note,
            bins=BINS,
        )

    def render(self) -> str:
        """The whole page."""
        return (
            templates()
            .get_template("page.html")
            .render(
                title=self.title,
                subtitle=self.subtitle,
                groups=[(kind, [b for _, b in own]) for kind, own in groupby(self._blocks, lambda b: b[0])],
                sections=[(f"s{i + 1}", title) for i, title in enumerate(self._sections)],
                light=Markup(css_variables(dark=False)),
                dark=Markup(css_variables(dark=True)),
                bins=BINS,
            )
        )

    def write(self, path: str | Path) -> Path:
        """Write the page in one go: a reader never sees half of it."""
        return write_whole(path, self.render())

    def _add(self, block: str, **values: Any) -> Report:
        html = Markup(templates().get_template(f"{block}.html").render(**values))
        self._blocks.append((block, html))
        return self

    def _chart(
        self,
        draw: Any,
        data: Any,
        *,
        title: str,
        note: str,
        names: Sequence[str],
        columns: Sequence[str],
        rows: Sequence[Sequence[Any]],
        **settings: Any,
    ) -> Report:
        self._charts += 1
        svg = charts.render(
            draw, data, key=f"chart{self._charts}", title=title, description=note or title, **settings
        )
        body, numeric = cells(columns, rows)
        legend = [
            (name, i % len(SERIES), DASHES[i % len(DASHES)], MARKERS[i % len(MARKERS)])
            for i, name in enumerate(names)
        ]
        return self._add(
            "chart",
            svg=svg,
            title=title,
            note=note,
            legend=legend if len(legend) > 1 else [],
            columns=list(zip(columns, numeric, strict=True)),
            rows=body,
        )


def write_whole(path: str | Path, page: str) -> Path:
    """Write a page so that a reader never sees half of it."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(page.encode("utf-8"))
        os.chmod(name, 0o644)
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return target


def _interval_text(
    low: Sequence[float | None] | None, high: Sequence[float | None] | None, i: int
) -> list[str | None]:
    a, b = None if low is None else low[i], None if high is None else high[i]
    return [None if a is None or b is None else f"[{cell(a).text}, {cell(b).text}]"]


@lru_cache(maxsize=1)
def templates() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    environment.filters["marked"] = marked
    return environment


def _printable(value: Any) -> Any:
    """Whatever a template prints goes through here; only finished markup passes as it is."""
    return value if isinstance(value, Markup) else visible(str(value))
