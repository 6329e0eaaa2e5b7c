"""Charts hold on poor and hostile data: no points, one point, gaps, many series, markup and dollars in names."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from preceptor.bench import reliability_bins
from preceptor.view import Bar, Line, Report
from preceptor.view.charts import draw_bars, draw_lines, draw_reliability, render, short_number


def line_chart(lines: list[Line], **settings: object) -> ElementTree.Element:
    options = {"x": "n", "y": "accuracy", "log_x": False, "y_limits": None} | settings
    return ElementTree.fromstring(render(draw_lines, lines, key="k", title="t", description="d", **options))


def words(svg: ElementTree.Element) -> list[str]:
    return [e.text or "" for e in svg.iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize("log_x", [False, True])
@pytest.mark.parametrize(
    "lines",
    [
        [],
        [Line("empty", [], [])],
        [Line("one", [4], [0.5], [0.4], [0.6])],
        [Line("unknown", [1, 2], [None, None], [None, None], [None, None])],
        [Line("flat", [1, 2, 3], [0.0, 0.0, 0.0])],
        [Line("from zero", [0, 1, 10], [0.1, 0.2, 0.3])],
        [Line(f"series {i}", [1, 2], [i, i + 1]) for i in range(14)],
    ],
    ids=lambda lines: lines[0].name if lines else "none",
)
def test_any_number_of_points_and_lines_gives_well_formed_svg(lines: list[Line], log_x: bool):
    assert line_chart(lines, log_x=log_x).get("viewBox")


def test_names_are_never_read_as_mathematics_or_markup():
    svg = line_chart([Line("a", [1, 2], [0, 1])], x="$\\frac{1}{", y="<b>&\x07")
    assert "$\\frac{1}{" in words(svg)
    assert "<b>&\\u0007" in words(svg)
    bars = render(draw_bars, [Bar("cost $x_ & $", 1.0)], x="<x>", key="k", title="<t>", description="&")
    assert "cost $x_ & $" in words(ElementTree.fromstring(bars))


def test_samples_on_a_logarithmic_axis_are_labeled_at_the_data():
    found = words(line_chart([Line("a", [1, 2, 4, 8, 1024], [0.1, 0.2, 0.3, 0.4, 0.5])], log_x=True))
    assert found[:5] == ["1", "2", "4", "8", "1.02k"]


def test_lines_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match="line 'a': got 2 x and 1 y"):
        line_chart([Line("a", [1, 2], [0.1])])


def test_bars_print_their_value_and_absence():
    svg = render(
        draw_bars,
        [Bar("a", -0.0131, -0.03, 0.01), Bar("b", None)],
        x="x",
        key="k",
        title="t",
        description="d",
    )
    assert {"−0.013", "not defined"} <= set(words(ElementTree.fromstring(svg)))
    assert render(draw_bars, [], x="x", key="k", title="t", description="d")


def test_reliability_needs_no_full_bins():
    series = {"none": (), "one": reliability_bins([0.5], [1])}
    assert render(draw_reliability, series, x="x", y="y", key="k", title="t", description="d")


def test_two_charts_on_a_page_share_no_id():
    lines = [Line("a", [1, 2], [0.1, 0.2])]
    page = Report("x").lines(lines, title="t", x="x", y="y").lines(lines, title="t", x="x", y="y").render()
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))


def test_axis_numbers_are_short():
    assert [short_number(v) for v in (0, 0.25, -0.5, 1500, 2_000_000, 1e-5)] == [
        "0", "0.25", "−0.5", "1.5k", "2M", "1e-05",
    ]  # fmt: skip
