"""Specifies the real-data run of a reward model: what may be learnt from, and that all stages go through."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from preceptor.errors import CheckFailed, InputError
from preceptor.judgement import NO_ERROR, Judgement, Question, Source
from preceptor.reward import PRM
from preceptor.trace import Problem
from preceptor.worlds.readers import LabelledTrace, first_error_scores, joined

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))

import real_prm
from real_prm_rules import rules
from real_prm_split import Overlap, halves, normal, read_sides, split, words

STEPS = ("First we look at the numbers.", "Then we add them.", "So the sum is 7.")
SAD = "Anna buys three red pens and four blue pens at the small shop near her school and pays {} euros."


def item(
    prompt: str, first_error: int = NO_ERROR, *, name: str = "", world: str = "processbench", steps=STEPS
):
    trace = joined(Problem(prompt, world=world), steps)
    scores = first_error_scores(first_error, len(steps))
    judgement = Judgement(trace.id, Question.VALIDITY, Source("human"), scores, first_error=first_error)
    return LabelledTrace(
        trace, judgement, name or prompt[:20], "gsm8k" if world == "processbench" else "task"
    )


def many(n: int) -> list[LabelledTrace]:
    return [item(f"How many is {i} times {i + 3}?", i % 4 - 1, name=f"{i}") for i in range(n)]


@pytest.mark.parametrize(
    "one, other",
    [
        ("What is  1,000 + 2?", "what is 1000 + 2 ?"),
        ("Compute $\\frac{1}{2}$.", "Compute \\frac 1 2"),
        ("She pays 2.50 euros", "she pays 2.5 euros."),
        ("Find $1{,}234 \\cdot 05$", "find 1234\\cdot 5"),
    ],
)
def test_prompts_written_differently_are_one_problem(one: str, other: str):
    assert normal(one) == normal(other)


@pytest.mark.parametrize(
    "one, other", [("What is 1 + 2?", "What is 1 - 2?"), ("Take 25", "Take 2.5"), ("10", "1")]
)
def test_prompts_that_ask_something_else_are_not(one: str, other: str):
    assert normal(one) != normal(other)


def test_one_problem_is_on_one_side_however_it_is_written():
    rows = many(60)
    again = [replace(r, trace=item(r.trace.problem.prompt.upper().replace(" ", "  ")).trace) for r in rows]
    sides = split([*rows, *again], [])
    on = {i.trace.problem.prompt: n for n in ("fit", "tuning", "evaluation") for i in getattr(sides, n)}
    for one, other in zip(rows, again, strict=True):
        assert on[one.trace.problem.prompt] == on[other.trace.problem.prompt]
    assert len(sides.evaluation) == 60
    assert len(sides.tuning) == 12


def test_the_split_depends_on_the_prompts_and_not_on_their_order():
    rows = many(40)
    assert halves(rows) == halves(rows[::-1])


def test_training_rows_that_restate_an_evaluation_problem_are_left_out_and_counted():
    rows = many(40)
    side = halves([*rows, item(SAD.format(9))])
    while side[normal(SAD.format(9))] != "evaluation":
        rows = rows[:-1]
        side = halves([*rows, item(SAD.format(9))])
    near = item(SAD.format(12), world="bigbench_mistake")
    told = item("Something else entirely", world="bigbench_mistake", steps=("We know:", SAD.format(9)))
    free = item("Sort these words: pens shop school", world="bigbench_mistake")
    sides = split([*rows, item(SAD.format(9))], [near, told, free])
    others = [i.trace.problem.prompt for i in sides.fit if i.trace.problem.world == "bigbench_mistake"]
    assert others == [free.trace.problem.prompt]
    assert sides.removed == {
        "fit against evaluation, bigbench_mistake: 13 words of a prompt in the prompt": 1,
        "fit against evaluation, bigbench_mistake: 13 words of a prompt in the text": 1,
    }


def test_short_prompts_are_looked_for_as_a_whole():
    short = "What is the largest prime factor of 221 please"
    assert len(words(short)) < 13
    held = Overlap([short])
    assert held.reason("Another", f"I was asked: {short}?") == "a whole short prompt in the text"
    assert held.reason("Another", "What is the largest prime factor of 222 please") is None


def test_a_leak_stops_the_run():
    sides = split(many(20), [])
    with pytest.raises(CheckFailed, match="in fit and in evaluation"):
        replace(sides, fit=[*sides.fit, sides.evaluation[0]]).check()


def test_steps_behind_the_first_error_give_no_target_or_zero():
    row = item("What is 3 + 4?", 1)
    masked = real_prm.labels([row], real_prm.Variant())
    assert masked.judgements[0].scores == (1.0, 0.0)
    assert masked.traces[0].text == row.trace.prefix(2)
    assert masked.judgements[0].trace == masked.traces[0].id
    wrong = real_prm.labels([row], real_prm.Variant(after_error="wrong"))
    assert wrong.judgements[0].scores == (1.0, 0.0, 0.0)
    right = real_prm.labels([item("What is 3 + 4?")], real_prm.Variant())
    assert right.judgements[0].scores == (1.0, 1.0, 1.0)


def test_the_step_index_rule_sees_the_index_alone():
    rows = [item(f"Problem {i}", 1 if i % 2 else NO_ERROR, name=str(i)) for i in range(40)]
    rule = rules(rows)["step-index"]
    long = tuple(s * 9 for s in STEPS)
    plain, other = rule.score([rows[0].trace, item("Another?", steps=long).trace])
    assert plain.scores == other.scores
    assert plain.scores is not None
    assert plain.scores[1] == pytest.approx(0.5, abs=0.03)
    assert min(plain.scores[0], plain.scores[2]) > 0.85


@pytest.fixture(scope="module")
def run(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("real-prm")
    real_prm.main(shared_data, out, real_prm.QUICK, real_prm.STAGES, ["prm"])
    return out


def test_all_stages_go_through_on_a_few_rows(run: Path, capsys: pytest.CaptureFixture[str]):
    found = json.loads((run / "results.json").read_text())["rows"]
    names = ["no-error", "usual-position", "random", "step-index", "length", "shape", "prm", "prm + shape"]
    assert list(found) == names
    prm = found["prm"]
    assert prm["training"]["parity"]["max_difference"] < 1e-5
    assert prm["scored_tokens"] > 0
    assert [s["unscored"] for r in prm["reports"].values() for s in r["subsets"]] == [0, 0, 0, 0]
    assert sum(s["failed"] for s in prm["reports"]["0.5"]["subsets"]) <= prm["errors"]
    assert found["no-error"]["reports"]["0.5"]["mean_f1"]["value"] == 0.0
    assert found["length"]["over"]["length"]["value"] == 0.0
    assert found["step-index"]["auroc_equal_index"]["value"] == 0.5  # steps of one index get one score
    assert found["random"]["auroc_equal_index"]["low"] <= 0.5 <= found["random"]["auroc_equal_index"]["high"]
    assert "| prm |" in real_prm.table(run)


def test_nothing_trained_on_is_evaluated(run: Path, shared_data: Path):
    read = {r["problem"] for f in (run / "evaluation").glob("*.json") for r in json.loads(f.read_text())}
    tuned = {r["problem"] for f in (run / "tuning").glob("*.json") for r in json.loads(f.read_text())}
    sides = read_sides(shared_data, real_prm.QUICK.rows)
    trained = {i.trace.problem.prompt for i in sides.fit}
    assert read == {i.trace.problem.prompt for i in sides.evaluation}
    assert not read & (trained | tuned)
    texts, _ = real_prm.reading(sides, shared_data, real_prm.QUICK)
    assert not any(prompt in text for prompt in read | tuned for text in texts)


def test_the_threshold_does_not_look_at_the_evaluation_half(run: Path, shared_data: Path, tmp_path: Path):
    """Other labels there give other figures at the same threshold."""
    sides = read_sides(shared_data, real_prm.QUICK.rows)
    (tmp_path / "items").mkdir()
    (tmp_path / "evaluation").mkdir()
    for file in (run / "evaluation").glob("*.json"):
        rows = json.loads(file.read_text())
        turned = [{**r, "label": len(r["steps"]) - 1 if r["label"] == -1 else -1} for r in rows]
        (tmp_path / "evaluation" / file.name).write_text(json.dumps(turned))
    scorer = PRM.load(run / "models" / "prm")
    seen = [real_prm.evaluate("prm", scorer, sides, where, real_prm.QUICK) for where in (run, tmp_path)]
    assert seen[0]["thresholds"] == seen[1]["thresholds"]
    assert not np.array_equal(seen[0]["rows"]["math"], seen[1]["rows"]["math"])


def test_files_of_another_split_are_refused(run: Path, shared_data: Path):
    with pytest.raises(InputError, match="another split"):
        real_prm.main(shared_data, run, replace(real_prm.QUICK, rows=12), ("evaluate",), ["prm"])


def test_what_is_there_is_not_made_again(run: Path, shared_data: Path):
    weights = run / "models" / "prm" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    real_prm.main(shared_data, run, real_prm.QUICK, ("split", "pretrain", "train"), ["prm"])
    assert weights.stat().st_mtime_ns == before
