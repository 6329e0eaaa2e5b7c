"""The page of a comparison of labelling methods: what it shows, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from preceptor.errors import InputError
from preceptor.view.labels import labels_page, read_labels, write_labels

CELL = {"kind": "cell", "cell": "coin & dice", "world": "arithmetic", "problems": 50, "traces": 400, "right": 0.4,
        "errors": 0.6, "steps": 4.9}  # fmt: skip
GOAL = {"kind": "goal", "cell": "coin & dice", "goal": "tokens at equal accuracy", "value": None, "aim": 0.1,
        "met": False, "note": "never"}  # fmt: skip


def row(method: str, setting: str, tokens: float, f1: float | None, **other: Any) -> dict[str, Any]:
    share = {"exact": 0.5, "early": 0.125, "late": 0.25, "missed": 0.0625, "unknown": 0.0625, "n": 240}
    bias = [
        {"third": third, **share, "offset": off}
        for third, off in ((None, -0.375), (0, 0.75), (1, 0.0), (2, -1.5))
    ]
    low, high = (None, None) if f1 is None else (f1 - 0.03, f1 + 0.03)
    return {"kind": "row", "cell": "coin & dice", "method": method, "setting": setting, "problems": 50,
            "tokens_per_trace": tokens, "tokens_per_label": tokens / 5, "accuracy": 0.7,
            "f1": {"value": f1, "low": low, "high": high, "n": 50, "undefined": 0}, "unknown": 3, "ece": 0.0171,
            "probability": False, "bins": [[10, 0.05, 0.1], [30, 0.95, 0.9]], "bias": bias, **other}  # fmt: skip


ROWS = [
    row("search", "budget 0", 0.0, 0.61, probability=True),
    row("search", "budget 40", 40.0, 0.83, probability=True),
    row("math-shepherd", "K=8", 713.0, 0.72, ece=0.2229),
    row("scan", "", 4265.0, None, bins=[]),
]


def test_every_row_and_goal_is_on_the_page_and_text_is_escaped():
    page = labels_page([CELL, *ROWS, GOAL]).render()
    assert all(
        name in page for name in ("search budget 40", "math-shepherd K=8", "scan", "tokens at equal accuracy")
    )
    assert "coin &amp; dice" in page
    assert "coin & dice" not in page
    assert "0.830" in page
    assert "-1.500" in page


def test_calibration_is_shown_only_of_scores_that_are_probabilities():
    page = labels_page([CELL, *ROWS]).render()
    assert "0.017" in page
    assert "0.223" not in page
    assert "Soft labels" not in labels_page([CELL, ROWS[2]]).render()


def test_a_method_that_costs_nothing_has_a_place_on_the_logarithmic_axis():
    page = labels_page([CELL, *ROWS]).render()
    frontier = page[page.index("Frontier") :]
    assert "search" in frontier
    assert "one token" in frontier
    assert "Frontier" not in labels_page([CELL, ROWS[2]]).render()


def test_the_page_of_a_file_is_written_and_the_same_lines_give_the_same_page(tmp_path: Path):
    path = tmp_path / "labels.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in (CELL, *ROWS, GOAL)))
    first = write_labels(path, tmp_path / "a.html").read_bytes()
    assert first == write_labels(path, tmp_path / "b.html").read_bytes()
    assert first.startswith(b"<!doctype html>")


@pytest.mark.parametrize(
    ("bad", "said"),
    [({"kind": "dog", "cell": "x"}, "kind 'dog'"), ({"kind": "row", "cell": "x"}, "a row without 'method'")],
)
def test_a_line_of_something_else_is_named(tmp_path: Path, bad: dict[str, Any], said: str):
    path = tmp_path / "labels.jsonl"
    path.write_text(json.dumps(CELL) + "\n" + json.dumps(bad) + "\n")
    with pytest.raises(InputError, match=f"line 2: got {said}"):
        read_labels(path)
