"""The page and the chart of `preceptor compare`, from its compare.json and nothing else.

Accuracy against tokens and against FLOPs, one line a strategy, one point a budget. `compare.svg` is the first chart
by itself, with its legend and colors inside.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from preceptor.bench.statistics import Estimate
from preceptor.errors import InputError
from preceptor.view import charts
from preceptor.view.charts import Line
from preceptor.view.report import Report
from preceptor.view.scale import INK, css_variables
from preceptor.view.text import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AXES = {"tokens": "generated tokens per problem", "flops": "FLOPs per problem, policy and scorer"}
INK_LIGHT = {"ink": "#1b1d21", "muted": "#5b616b", "grid": "#e3e5e8", "paper": "#ffffff"}
INK_DARK = {"ink": "#e8e8e6", "muted": "#a0a6af", "grid": "#34373c", "paper": "#17181b"}


def write_comparison(run: str | Path, out: Path | None = None) -> Path:
    """Write compare.html and compare.svg beside compare.json; `InputError` where that is not one."""
    run = Path(run)
    try:
        record = json.loads((run / "compare.json").read_text(encoding="utf-8"))
        page = comparison_page(record)
        (run / "compare.svg").write_text(comparison_svg(record["cells"]), encoding="utf-8")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{run / 'compare.json'}: got {error!r}, expected what `preceptor compare` writes. Run it again."
        ) from error
    return page.write(out or run / "compare.html")


def comparison_page(record: Mapping[str, Any]) -> Report:
    """Table, charts, frontiers, the best of each budget."""
    cells, about = record["cells"], record["about"]
    page = Report(
        "Search strategies compared", f"{about['problems']}, {about['n']} problems, seed {about['seed']}"
    )
    page.text(
        "Every strategy ran at every budget on the same problems with the same seed. Accuracy is of the decided "
        "problems, with its 95 % Wilson interval; the difference to the first strategy is paired over problems, with a "
        "bootstrap interval. Tokens count all that was generated, dropped and unfinished texts included."
    )
    page.section("All cells")
    page.table(
        ["strategy", "budget", "accuracy", f"over {_name(cells[0])}", "tokens", "scored", "GFLOPs", "seconds"],
        [
            [_name(c), c["budget"], Estimate(**c["accuracy"]),
             None if c["over_first"] is None else Estimate(**c["over_first"]), round(c["tokens"]), round(c["scored"]),
             None if c["flops"] is None else c["flops"] / 1e9, c["seconds"]]
            for c in cells
        ],
        caption="Accuracy, and costs per problem",
        note="A dash: not known. FLOPs are what was executed, of policy and scorer, attention included where the shape "
        "of the model is known.",
    )  # fmt: skip
    for axis, x in AXES.items():
        lines = _lines(cells, axis)
        if lines:
            page.lines(lines, title=f"Accuracy against {x.split(',')[0]}", x=x, y="accuracy", log_x=_wide(lines),
                       note="Bands: 95 % intervals.")  # fmt: skip
    page.table(
        ["strategy", "budget", "rounds", "finished", "asked", "undecided", "failed", "stopped"],
        [
            [_name(c), c["budget"], c["rounds"], c["finished"], c["asked"], c["undecided"], c["failed"],
             ", ".join(f"{name} {n}" for name, n in c["stops"].items())]
            for c in cells
        ],
        caption="How the runs went",
        note="Rounds: calls of the policy, one behind the other. Finished and asked: complete solutions in all; "
        "a dash: as many as the budget buys.",
    )  # fmt: skip
    page.section("Frontiers")
    page.table(
        ["against", "strategy", "budget"],
        [
            [axis, _spaced(strategy), budget]
            for axis, steps in record["frontier"].items()
            for strategy, budget in steps
        ],
        caption="Cells that are more accurate than every cell that costs no more",
    )
    page.table(
        ["budget", "best", "chosen on half of the problems", "its accuracy on the others"],
        [
            [b["budget"], _spaced(b["strategy"]), _spaced(b["half"]), Estimate(**b["half_accuracy"])]
            for b in record["best"]
        ],
        caption="Best of each budget",
        note="The best was chosen by the figures above, which flatters it; the last column is free of that.",
    )
    page.section("How these figures came about")
    page.provenance(
        {"command": "preceptor compare", **about, **{c["strategy"]: c["settings"] for c in cells}}
    )
    return page


def comparison_svg(cells: Sequence[Mapping[str, Any]]) -> str:
    """A file of its own: accuracy against tokens."""
    lines = _lines(cells, "tokens")
    svg = charts.render(
        _with_legend,
        lines,
        key="compare",
        title="Accuracy against generated tokens",
        description="One line a strategy, one point a budget, 95 % intervals",
        x=AXES["tokens"],
        y="accuracy",
        log_x=_wide(lines),
        y_limits=None,
    )
    light, dark = (
        ";".join([*(f"--{k}:{v}" for k, v in ink.items()), css_variables(dark=ink is INK_DARK)])
        for ink in (INK_LIGHT, INK_DARK)
    )
    style = (
        f"<style>svg{{{light};background:var(--paper);font-family:system-ui,sans-serif}}"
        f"@media (prefers-color-scheme:dark){{svg{{{dark}}}}}</style>"
    )
    head, end, rest = svg.partition("</desc>")
    return str(Markup(head + end) + Markup(style) + Markup(rest)) + "\n"


def _with_legend(lines: Sequence[Line], **settings: Any) -> Figure:
    figure = charts.draw_lines(lines, **settings)
    names = [visible(line.name).replace("$", r"\$") for line in lines]
    width, height = figure.get_size_inches()
    rows = -(-len(names) // 2)
    figure.set_size_inches(width, height + 0.24 * rows)
    figure.legend(
        figure.axes[0].lines,
        names,
        loc="outside lower left",
        ncols=2,
        frameon=False,
        labelcolor=INK["ink"],
        fontsize=9.5,
    )
    return figure


def _lines(cells: Sequence[Mapping[str, Any]], axis: str) -> list[Line]:
    found = []
    for name in dict.fromkeys(c["strategy"] for c in cells):
        own = [c for c in cells if c["strategy"] == name and c[axis] and c["accuracy"]["value"] is not None]
        points = {c[axis]: c["accuracy"] for c in sorted(own, key=lambda c: c[axis])}
        if points:
            values = [[e[k] for e in points.values()] for k in ("value", "low", "high")]
            found.append(Line(_spaced(name), list(points), *values))
    return found


def _name(cell: Mapping[str, Any]) -> str:
    return _spaced(cell["strategy"])


def _spaced(name: str) -> str:
    """With blanks where a line may break."""
    return re.sub(r"[,:](?=[A-Za-z_][\w.]*=)", r"\g<0> ", name)


def _wide(lines: Sequence[Line]) -> bool:
    """Is a logarithmic axis due?"""
    xs = [x for line in lines for x in line.x]
    return bool(xs) and max(xs) > 8 * min(xs)
