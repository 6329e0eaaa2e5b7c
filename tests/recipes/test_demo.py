"""Specifies the demo at a small size: every stage leaves its figures and files, and the report is drawn from them.

Run: python -m pytest tests/recipes
"""

from __future__ import annotations

import json
from contextlib import contextmanager

import pytest

from preceptor.cli import main
from preceptor.errors import InputError
from preceptor.recipes import DemoConfig, run_demo
from preceptor.view.demo import write_report

SMALL = DemoConfig(
    train_problems=10, samples=2, compared_problems=4, rollouts=3, test_problems=6, budget=150, epochs=1.0,
    learn_steps=1, learn_prompts=2, learn_generations=3,
)  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo")
    told = []

    @contextmanager
    def stage(name, unit):
        yield lambda done, total, note="": told.append((name, done, total))

    rows = run_demo(out, SMALL, stage)
    return out, rows, told


def test_every_stage_tells_its_progress_to_the_end(finished):
    _, _, told = finished
    last = {name: (done, total) for name, done, total in told}
    assert {
        "sample",
        "compare math-shepherd",
        "train world-oracle",
        "solve step-beam",
        "learn progress, prm",
    } <= set(last)
    assert all(done == total for done, total in last.values())


def test_the_figures_are_whole_and_within_the_budget(finished):
    out, rows, _ = finished
    assert rows == [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    by_stage = {r["stage"]: r for r in rows}
    assert by_stage["compare world-oracle"]["f1"]["value"] in (1.0, None)
    assert by_stage["compare omega-bisection"]["generated"] <= by_stage["compare math-shepherd"]["generated"]
    assert by_stage["prm world-oracle"]["parity"]["max_difference"] < 1e-4
    searched = [r for name, r in by_stage.items() if name.startswith("solve ")]
    assert len(searched) == 7
    assert all(r["tokens_per_problem"] <= SMALL.budget for r in searched)
    assert all(r["problems"] == SMALL.test_problems for r in searched)
    starts = [r["before"] for name, r in by_stage.items() if name.startswith("learn ")]
    assert starts == [starts[0]] * 3, "not the same start"


def test_held_out_problems_are_in_no_training_file(finished):
    out, _, _ = finished
    items = [
        json.loads(line) for line in (out / "prm" / "world-oracle" / "items.jsonl").read_text().splitlines()
    ]
    labels = [json.loads(line) for line in (out / "labels.jsonl").read_text().splitlines()]
    assert len(items) == SMALL.test_problems * SMALL.samples
    assert not {i["problem"]["id"] for i in items} & {i["problem"]["id"] for i in labels}


def test_the_report_shows_every_part_and_is_the_same_when_drawn_again(finished):
    out, _, _ = finished
    first = write_report(out).read_bytes()
    assert write_report(out).read_bytes() == first
    other = out.parent / "elsewhere.html"
    assert main(["view", str(out), "--out", str(other)]) == 0
    assert other.read_bytes() == first
    page = first.decode()
    for part in (
        "Step labels",
        "Reward models",
        "Search under one token budget",
        "Training the policy",
        "Real traces",
    ):
        assert part in page
    assert page.count("<svg") >= 4
    assert page.count('<tr class="step s') >= 20, "no colored steps"


def test_an_unfinished_run_is_refused(finished, tmp_path):
    out, _, _ = finished
    (tmp_path / "config.json").write_text((out / "config.json").read_text())
    (tmp_path / "metrics.jsonl").write_text((out / "metrics.jsonl").read_text().splitlines()[0] + "\n")
    with pytest.raises(InputError, match="preceptor demo"):
        write_report(tmp_path)
