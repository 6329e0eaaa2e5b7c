"""The page of training runs: what it shows, what it leaves out, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from preceptor.errors import InputError, RecordError
from preceptor.view.learning import WINDOW, read_run, write_learning


def step(k: int, **more: Any) -> dict[str, Any]:
    credit = {"steps_mean": 5.0, "tokens_per_step": 8.0, "flat_groups": 0.25}
    spent = {
        "trained_tokens": 90 * k,
        "generated_tokens": 100 * k,
        "seconds": {"generation": 0.5, "update": 1.5},
    }
    shown = {"length_mean": 40.0, "cut": 0, "failed": 0, "loss": 0.01 * k, "grad_norm": 0.5}
    watched = {"repetition": 0.0}
    return {
        "step": k, "accuracy": 0.3 + 0.01 * k, **spent, **shown, "credit": credit, "watched": watched, **more
    }  # fmt: skip


def held(k: int, correct: int, n: int = 20, undecided: int = 0) -> dict[str, Any]:
    return {"step": k, "held_out_accuracy": correct / (n - undecided), "held_out_correct": correct, "held_out_n": n,
            "held_out_undecided": undecided, "held_out_samples": "greedy", "generated_tokens": 100 * k}  # fmt: skip


def run(
    path: Path, rows: list[dict[str, Any]], result: dict[str, Any] | None = None, **settings: Any
) -> Path:
    path.mkdir()
    (path / "settings.json").write_text(json.dumps({"method": "outcome", **settings}))
    (path / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    if result is not None:
        (path / "result.json").write_text(json.dumps(result))
    return path


@pytest.fixture
def page(tmp_path):
    def draw(*runs: Path) -> str:
        return write_learning(runs, tmp_path / "page.html").read_text()

    return draw


def test_curves_are_there_where_their_figures_are(tmp_path, page):
    rows = [held(0, 5), *(step(k) for k in (1, 2, 3)), held(3, 9)]
    shown = page(run(tmp_path / "a", rows))
    for title in (
        "Held-out accuracy",
        "Accuracy in training",
        "Length of a completion",
        "Steps of a completion",
        "Loss",
    ):
        assert f"<figcaption>{title}</figcaption>" in shown
    for title in ("KL to the start", "Entropy", "Step rewards", "Margin"):
        assert title not in shown
    assert "generated tokens" in shown
    scored = [step(k, kl=0.1, credit={"process_right": 2.0, "process_wrong": 1.0}, watched={"score_right": 0.9})
              for k in (1, 2)]  # fmt: skip
    shown = page(run(tmp_path / "b", scored))
    assert "KL to the start" in shown
    assert "Step rewards, right against wrong" in shown
    assert "Mean step score, right against wrong" in shown
    assert "outcome, wrong" in shown


def test_held_out_intervals_are_of_the_decided_samples(tmp_path, page):
    shown = page(run(tmp_path / "a", [held(0, 5, 20, undecided=10), step(1), held(1, 6, 20, undecided=10)]))
    assert "0.500" in shown  # five of ten
    assert "[0.237, 0.763]" in shown


def test_long_runs_are_thinned_and_short_ones_are_not(tmp_path):
    from preceptor.view.learning import POINTS, _number, _thinned

    long = read_run(run(tmp_path / "long", [step(k) for k in range(1, 1001)]))
    xs, ys = _thinned(long, lambda r: _number(r, "loss"))
    assert len(xs) <= POINTS
    assert sum(ys) / len(ys) == pytest.approx(sum(0.01 * k for k in range(1, 1001)) / 1000, rel=0.02)
    short = read_run(run(tmp_path / "short", [step(k) for k in range(1, 4 * WINDOW)]))
    assert len(_thinned(short, lambda r: _number(r, "loss"))[0]) == 4 * WINDOW - 1


def test_warnings_and_what_ended_a_run_are_said(tmp_path, page):
    warning = {"kind": "length", "value": 90.0, "reference": 40.0}
    rows = [step(1), step(2, warnings=[warning]), step(3, warnings=[warning])]
    result = {"steps": 3, "before": None, "after": None, "seconds": {"update": 2.0},
              "stopped": {"kind": "length", "step": 3, "value": 90.0, "reference": 40.0}}  # fmt: skip
    shown = page(run(tmp_path / "a", rows, result))
    assert "Ended by a warning: outcome: length" in shown
    assert "Figures that left their range" in shown
    shown = page(run(tmp_path / "b", [step(1)]))
    assert "no figure left its range" in shown
    assert "Not finished: outcome." in shown


def test_several_runs_are_told_apart_even_with_one_name(tmp_path, page):
    first, second = run(tmp_path / "a", [step(1), step(2)]), run(tmp_path / "b", [step(1), step(2)])
    shown = page(first, second)
    assert "<title>Training runs compared</title>" in shown
    assert "a, b" in shown  # one method: the directories tell
    third = run(tmp_path / "c", [step(1, kl=0.5), step(2, kl=0.5)], method="pure")
    assert "pure alone has this figure." in page(first, third)
    (tmp_path / "deep").mkdir()
    assert "a (1), a (2)" in page(first, run(tmp_path / "deep" / "a", [step(1)]))


def test_the_page_loads_nothing_and_escapes_what_it_shows(tmp_path, page):
    shown = page(run(tmp_path / "a", [step(1)], method="<script>alert(1)</script>"))
    assert "<script" not in shown
    assert "&lt;script&gt;" in shown
    assert "src=" not in shown
    assert "http-equiv" in shown


def test_absent_and_broken_values_are_no_zeros(tmp_path, page):
    rows = [step(1, accuracy=None, loss=None), step(2, accuracy="high", loss=True), step(3)]
    shown = page(run(tmp_path / "a", rows))
    assert "Accuracy in training" in shown
    assert ">None<" not in shown
    assert ">0.000<" not in shown.partition("Accuracy in training")[2].partition("</details>")[0]


def test_the_same_files_give_the_same_page(tmp_path, page):
    where = run(tmp_path / "a", [held(0, 5), step(1), held(1, 9)])
    assert page(where) == page(where)


@pytest.mark.parametrize(
    "rows, settings, error, said",
    [
        ("", "{}", InputError, "empty file"),
        ('{"step": 1}\n', "{", InputError, "not JSON"),
        ('{"step": 1}\n', "[]", InputError, "JSON object"),
        ('{"step": 1}\n{"stop": 2}\n', "{}", RecordError, "metrics.jsonl:2"),
        ('{"step": 1}\nnonsense\n', "{}", RecordError, "metrics.jsonl:2"),
    ],
)
def test_files_that_are_no_training_are_named(rows, settings, error, said, tmp_path):
    (tmp_path / "metrics.jsonl").write_text(rows)
    (tmp_path / "settings.json").write_text(settings)
    with pytest.raises(error, match=said):
        write_learning([tmp_path], tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()
