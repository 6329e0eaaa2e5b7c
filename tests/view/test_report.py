"""Report pages: everything is escaped and visible, self-contained, deterministic and written in one go."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.bench import Estimate
from preceptor.judgement import Question
from preceptor.view import Report, ScoredTrace
from preceptor.view.scale import BINS, css_variables, score_bin
from preceptor.view.tables import cell, cells, number
from preceptor.view.text import marked, visible
from preceptor.view.traces import seen_first_error, trace_cards
from tests.view.example import FARM, farm_traces, full_page, hostile_trace, judged, trace_of

VOID = {"meta", "br", "img", "path", "circle", "use", "link", "hr", "input"}


class Page(HTMLParser):
    """Tags, text and whether every element is closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def page() -> str:
    return full_page().render()


def test_every_element_is_closed_and_every_id_is_used_once(page: str):
    parsed = Page(page)
    assert parsed.open == []
    ids = [attrs["id"] for _, attrs in parsed.tags if "id" in attrs]
    assert len(ids) == len(set(ids)) > 50
    wanted = re.findall(r'(?:href="#|url\(#)([^")]+)', page)
    assert set(wanted) <= set(ids)


def test_nothing_is_loaded_from_anywhere_and_scripts_are_forbidden(page: str):
    parsed = Page(page)
    assert not {"script", "img", "iframe", "link", "object"} & {tag for tag, _ in parsed.tags}
    links = [v for _, attrs in parsed.tags for k, v in attrs.items() if k in ("src", "href", "xlink:href")]
    assert all(link is not None and link.startswith("#") for link in links)
    assert not re.search(r"@import|url\((?!#)", page)
    policy = next(a["content"] for t, a in parsed.tags if t == "meta" and "http-equiv" in a)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_markup_in_model_output_is_shown_as_text(page: str):
    text = "".join(Page(page).words)
    assert "<script>document.title='owned'</script>" in text
    assert "</td></table></details><style>main{display:none}</style>{{ 7*7 }}" in text
    assert "What is <b>x</b>?" in text
    assert "Best of 16, a $cost &" in text


def test_hidden_characters_are_written_out_and_marked(page: str):
    for escape in ("\\u0007", "\\u0000", "\\ud83d", "\\u202e", "\\u200b", "\\u2028"):
        assert f'<span class="esc">{escape}</span>' in page
    page.encode("utf-8")


@given(st.text(st.characters(), max_size=40))
def test_visible_text_can_always_be_encoded_and_hides_nothing(text: str):
    shown = visible(text)
    shown.encode("utf-8")
    assert visible(shown) == shown
    assert all(c.isprintable() or c in "\n\t" or c.isspace() for c in shown)
    assert "<" not in re.sub(r"</?span[^>]*>", "", str(marked(text)))


def test_ordinary_text_of_any_script_stays_as_it_is():
    text = "Σ x² ≤ π, 中文, हिन्दी, é\n\tend"
    assert visible(text) == text


def test_the_same_data_give_the_same_bytes(page: str):
    assert full_page().render() == page
    assert not re.search(r"<metadata|dc:date|Matplotlib v", page)


def test_a_chart_keeps_its_text_as_text_and_follows_the_page_colors(page: str):
    svgs = re.findall(r"<svg [^>]*role=\"img\".*?</svg>", page, re.DOTALL)
    assert len(svgs) == 4
    for svg in svgs:
        assert "<title" in svg
        assert "<desc" in svg
        assert "<text" in svg
        assert not re.search(r"#010[ab]", svg)
    assert ">samples per problem</text>" in page


def test_a_chart_offers_its_data_as_a_table(page: str):
    text = "".join(Page(page).words)
    assert text.count("Data of this chart") == 4
    assert "[0.749, 0.809]" in text


def test_a_failed_write_leaves_the_old_page_and_no_rubbish(tmp_path: Path):
    target = Report("old").write(tmp_path / "deep" / "page.html")
    assert target.read_text(encoding="utf-8").startswith("<!doctype html>")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("x")
    with pytest.raises(OSError, match="taken"):
        Report("new").write(tmp_path / "taken")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["deep", "taken"]
    assert [p.name for p in target.parent.iterdir()] == ["page.html"]


def test_numbers_intervals_and_absences_are_told_apart():
    assert (number(1_234_567), number(0.81249), number(1234.5), number(2e-7)) == (
        "1,234,567",
        "0.812",
        "1,234.5",
        "2.00e-07",
    )
    assert cell(None).absent
    assert not cell(0).absent
    assert cell(np.int64(3)).text == "3"
    assert cell(np.float32(0.5)).text == "0.500"
    assert (cell(True).text, cell(True).numeric) == ("yes", False)
    full = cell(Estimate(0.5, 0.4, 0.6, 10))
    assert (full.text, full.interval) == ("0.500", "[0.400, 0.600]")
    assert cell(Estimate(None, None, None, 0)).absent


def test_a_column_is_right_aligned_only_if_it_holds_numbers_alone():
    _, numeric = cells(["a", "b", "c"], [["x", 1, None], ["y", "n/a", 2.5]])
    assert numeric == [False, False, True]
    with pytest.raises(ValueError, match="row 1: got 2 cells, expected 3"):
        cells(["a", "b", "c"], [[1, 2, 3], [1, 2]])


def test_the_score_scale_has_distinct_ends_and_clips_beyond_them():
    assert [score_bin(s) for s in (-3.0, 0.0, 0.5, 1.0, 9.0)] == [0, 0, 5, 10, 10]
    assert score_bin(0.0, -1.0, 1.0) == 5
    for dark in (False, True):
        colors = re.findall(r"--s\d+:(#[0-9a-f]{6})", css_variables(dark=dark))
        assert len(set(colors)) == BINS
        ink = 0.9 if dark else 0.012
        assert min(_contrast(_luminance(c), ink) for c in colors) > 4.5


def test_steps_carry_every_scorer_and_name_true_and_seen_errors():
    wrong, right = trace_cards(
        farm_traces(),
        ["PRM", "Monte Carlo", "Bisection", "Oracle"],
        reference="Oracle",
        color_by="PRM",
        threshold=0.5,
        limits=(0.0, 1.0),
    )
    assert [s.true_error for s in wrong.steps] == [False, True, False, False]
    assert wrong.steps[1].called_by == ("Monte Carlo", "Bisection")
    assert wrong.steps[2].called_by == ("PRM",)
    assert [s.text for s in wrong.steps[1].scores] == ["0.58", "0.12", "0.00", "0.00"]
    assert wrong.steps[1].scores[1].detail == "1/8"
    assert wrong.steps[2].scores[2].text == "–"
    assert (right.clean_by, right.unknown_by) == (("PRM", "Monte Carlo"), ("Bisection",))
    assert right.failures == (("Bisection", "timeout: no answer in 30 s"),)
    assert (wrong.verdict, right.verdict) == ("incorrect", "correct")


def test_a_scorer_that_skipped_a_trace_leaves_dashes_and_no_shift():
    trace = trace_of(FARM, ("a\n", "b\n"), None, None)
    items = [
        ScoredTrace(trace, {"B": judged(trace, "b", Question.VALIDITY, (0.2, None))}),
        ScoredTrace(trace, {"A": judged(trace, "a", Question.VALIDITY, (0.9, 0.8))}),
    ]
    first, second = trace_cards(
        items, ["A", "B"], reference=None, color_by="A", threshold=None, limits=(0.0, 1.0)
    )
    assert [[s.text for s in step.scores] for step in first.steps] == [["–", "0.20"], ["–", "–"]]
    assert [s.bin for s in first.steps] == [None, None]
    assert [s.bin for s in second.steps] == [9, 8]
    assert first.verdict == "not graded"


def test_a_stated_first_error_wins_over_the_threshold():
    item = hostile_trace()
    stated = judged(item.trace, "x", Question.VALIDITY, (0.1, 0.9, 0.9, 0.9), first_error=2)
    assert seen_first_error(stated, 0.5) == 2
    assert seen_first_error(item.judgements["PRM"], None) is None


def test_a_scorer_name_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="got scorer 'Human', expected one of"):
        Report("x").traces(farm_traces(), reference="Human")


def _luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(a: float, b: float) -> float:
    return (max(a, b) + 0.05) / (min(a, b) + 0.05)
