"""Specifies `preceptor learn`, `preceptor credit` and `preceptor view` of trainings.

Run: python -m pytest tests/cli/test_learning.py
"""

from __future__ import annotations

import doctest
import json
import re
from pathlib import Path

import pytest

from preceptor.cli import crediting, main
from preceptor.credit import MARKS, METHODS
from preceptor.learn.offline import ELSEWHERE, RECIPES

pytest.importorskip("trl")

ROOT = Path(__file__).parents[2]
TRAIN = ["--policy", "world:arithmetic", "--problems", "world:arithmetic?split=train"]
ORACLE = ["--scorer", "world:arithmetic"]
SMALL = [
    "--steps",
    "2",
    "--prompts",
    "2",
    "--generations",
    "6",
    "--max-tokens",
    "64",
    "--lr",
    "1e-4",
    "--n",
    "6",
]


def one_object(capsys):
    captured = capsys.readouterr()
    (line,) = captured.out.strip().splitlines()
    return json.loads(line), captured.err


def learn(method, out, *more):
    return main(["learn", "--method", method, *TRAIN, "--out", str(out), *more])


@pytest.mark.parametrize(
    "method, more",
    [
        ("pure", ORACLE),
        ("igpo", []),
        ("slate", ORACLE),
        ("scrl", []),
        ("r3l", []),
        ("echo", ["--episodes", "--problems", "world:minesweeper?split=train&size=4&mines=3"]),
        ("dr_grpo", ["--lora", "2", "--num-iterations", "2", "--kl", "0.01", "--stop-on", "kl"]),
    ],
)
def test_any_method_runs_by_its_name(method, more, tmp_path, capsys):
    held = ["--held-out", "world:arithmetic?split=dev", "--eval-every", "1"] if method == "pure" else []
    assert learn(method, tmp_path / "run", *more, *SMALL, *held, "--json") == 0
    result, words = one_object(capsys)
    assert (result["method"], result["steps"], result["stopped"]) == (method, 2, None)
    assert Path(result["model"], "config.json").is_file()
    assert re.search(r"learn +2/2 steps \| .* \| accuracy .* tokens in .* steps", words)
    rows = [json.loads(x) for x in Path(result["metrics"]).read_text().splitlines()]
    assert [r["step"] for r in rows if "credit" in r] == [1, 2]
    if held:
        assert [r["step"] for r in rows if "held_out_accuracy" in r] == [0, 1, 2]
        assert result["after"]["n"] == 128
        assert "held out" in words
    if method == "pure":
        assert rows[-2]["credit"]["process_mean"] > 0


def test_a_finished_run_is_read_and_another_one_is_not_mixed_with_it(tmp_path, capsys):
    more = [*SMALL, "--save-every", "1"]
    assert learn("rloo", tmp_path / "run", *more) == 0
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    assert learn("rloo", tmp_path / "run", *more, "--resume", "--json") == 0
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before
    capsys.readouterr()
    assert learn("outcome", tmp_path / "run", *more, "--resume") == 2
    assert "method: got 'outcome', the run has 'rloo'" in capsys.readouterr().err


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """A store of samples with the oracle's labels."""
    store = str(tmp_path_factory.mktemp("store") / "run.db")
    problems = ["--problems", "world:arithmetic?split=train", "--n", "12", "--store", store]
    sample = ["sample", "--policy", "world:arithmetic", "--samples", "4", "--max-tokens", "96", *problems]
    assert main(sample) == 0
    assert main(["label", "--method", "world-oracle", *problems]) == 0
    return store


@pytest.mark.parametrize("method", ["step_dpo", "orpo_self", "sft"])
def test_preferences_are_learned_from_samples_and_a_scorer(method, tmp_path, capsys):
    scorer = [] if method == "sft" else ORACLE
    more = ["--n", "12", "--generations", "4", "--max-tokens", "96", "--set", "batch=8", "--steps", "2"]
    held = ["--held-out", "world:arithmetic?split=dev"] if method == "sft" else []
    assert learn(method, tmp_path, *scorer, *more, *held, "--lr", "1e-5", "--json") == 0
    result, words = one_object(capsys)
    assert (result["traces"], result["steps"]) == (48, 2)
    assert result["records"] > 0
    assert "loss" in words
    assert (result["after"] is not None) == bool(held)
    assert main(["view", str(tmp_path), "--json"]) == 0
    page = Path(one_object(capsys)[0]["report"]).read_text()
    assert f"<h1>Training: {method}</h1>" in page
    assert "Loss" in page
    assert ("held out after" in page) == bool(held)


def test_preferences_are_learned_from_the_labels_of_a_store(labelled, tmp_path, capsys):
    more = ["--store", labelled, "--n", "12", "--set", "batch=8", "--steps", "1", "--json"]
    assert learn("traj_dpo", tmp_path / "a", *more) == 0
    result, words = one_object(capsys)
    assert result["traces"] == 48
    assert "sample" not in words  # nothing was sampled
    assert learn("step_dpo", tmp_path / "b", *more) == 0
    assert one_object(capsys)[0]["records"] > 0


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--method", "puer"], "Did you mean pure"),
        (["--method", "pure"], "--scorer: a scorer of steps"),
        (["--method", "cooper"], "an assistant that rewrites"),
        (["--method", "outcome", *ORACLE], "Leave --scorer out"),
        (["--method", "echo"], "expected an environment that answers"),
        (["--method", "echo", "--episodes"], "expected one of minesweeper"),
        (["--method", "r3l", "--episodes"], "rollouts of its own"),
        (["--method", "step_dpo", *ORACLE, "--echo", "0.1"], "--echo: got with --method step_dpo"),
        (["--method", "ipr"], "Python only: it needs an expert"),
        (["--method", "step_dpo"], "--scorer WORD, or --store"),
        (["--method", "rest_mcts"], "--scorer WORD."),
        (["--method", "sft", *ORACLE], "outcomes alone"),
        (["--method", "step_dpo", *ORACLE, "--lora", "4"], "--lora: got with --method step_dpo"),
        (["--method", "pure", *ORACLE, "--store", "{tmp}/s.db"], "--store: got with --method pure"),
        (["--method", "step_dpo", *ORACLE, "--set", "betta=1"], "betta"),
        (["--method", "step_dpo", *ORACLE, "--set", "beta"], "NAME=VALUE"),
        (["--method", "traj_dpo", "--store", "{tmp}/none.db"], "no such file"),
        (["--method", "outcome", "--stop-on", "boredom"], "boredom"),
        (["--method", "outcome", "--report-to", "nowhere"], "nowhere"),
        (["--method", "outcome", "--num-iterations", "2", "--save-every", "3"], "multiple of num_iterations"),
        (["--method", "outcome", "--option", "device=cpu"], "without --scorer"),
        (["--method", "pure", "--scorer", "{tmp}/none"], "none"),
        (["--method", "attnrl", "--generations", "4"], "at least 6"),
    ],
)
def test_what_cannot_work_is_said(arguments, said, tmp_path, capsys):
    filled = [a.format(tmp=tmp_path) for a in arguments]
    assert main(["learn", *TRAIN, "--n", "16", "--out", str(tmp_path / "o"), *filled]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err


def test_a_server_cannot_be_trained(tmp_path, capsys):
    world = ["--problems", "world:arithmetic", "--policy", "openai:http://127.0.0.1:9#m"]
    for method in ("outcome", "sft"):
        assert main(["learn", "--method", method, *world, "--out", str(tmp_path)]) == 2
        assert "without weights at hand" in capsys.readouterr().err


def test_every_preference_method_has_a_recipe_or_a_reason():
    from preceptor.learn.preference import METHODS as PREFERENCE

    assert set(PREFERENCE) <= set(RECIPES) | set(ELSEWHERE) | {"drm"}  # `drm` is a credit method here
    assert not set(RECIPES) & set(METHODS)
    assert not set(RECIPES) & set(ELSEWHERE)


# credit


def test_the_stored_figures_are_those_of_the_page():
    page = (ROOT / "docs" / "credit.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"<!-- credit -->\n(.*?)\n\n", page, re.DOTALL)
    rows = [re.split(r"(?<!\\) \| ", line.strip("| ")) for line in table.splitlines()[2:]]
    cells = {r[0].strip("`"): [c.replace("\\|", "|") for c in (r[1], *r[3:])] for r in rows}
    stored = {name: list(row.values()) for name, row in crediting.results().items()}
    assert list(stored) == list(METHODS)
    assert stored == cells, "python scripts/credit_page.py writes both"


def test_every_method_is_listed_with_its_needs_and_marks(capsys):
    assert main(["credit"]) == 0
    lines = capsys.readouterr().out.splitlines()[2:]
    assert [line.split()[0] for line in lines] == list(METHODS)
    assert all(
        ("from memory" in line) == any("(from memory)" in m for m in MARKS.get(line.split()[0], ()))
        for line in lines
    )
    assert main(["credit", "--json"]) == 0
    found = {r["method"]: r for r in one_object(capsys)[0]["methods"]}
    assert found["oprl"]["world"]["verdict"].startswith("hacked")
    assert found["attnrl"]["sampler"] == found["treeps_rag_local"]["sampler"] == "a tree of rollouts"
    assert found["prime"]["needs"] == ["outcome", "tokens"]
    assert found["prof"]["besides"][0].startswith("before: consistency")
    assert all(len(r["streams"]) == len(METHODS[n].streams) and all(r["streams"]) for n, r in found.items())


def test_one_method_is_described_in_full(capsys):
    assert main(["credit", "clip_delta"]) == 0
    text = capsys.readouterr().out
    assert "add outcome" in text
    for mark in MARKS["clip_delta"]:
        assert mark in text
    assert "preceptor learn --method clip_delta --scorer WORD" in text
    assert main(["credit", "clip_delts"]) == 2
    assert "Did you mean clip_delta" in capsys.readouterr().err


def test_the_examples_of_the_words_are_true():
    assert doctest.testmod(crediting).failed == 0


# view


def test_trainings_are_drawn_alone_and_side_by_side(tmp_path, capsys):
    for name in ("rloo", "outcome"):
        assert learn(name, tmp_path / name, *SMALL) == 0
    capsys.readouterr()
    assert main(["view", str(tmp_path / "rloo"), "--json"]) == 0
    assert one_object(capsys)[0]["report"] == str(tmp_path / "rloo" / "report.html")
    both = [str(tmp_path / "rloo"), str(tmp_path / "outcome")]
    assert main(["view", *both]) == 2
    assert "--out" in capsys.readouterr().err
    assert main(["view", *both, "--out", str(tmp_path / "both.html")]) == 0
    page = (tmp_path / "both.html").read_text()
    assert page.count("<svg") > 10
    assert main(["view", both[0], str(tmp_path), "--out", str(tmp_path / "x.html")]) == 2
    assert "settings.json" in capsys.readouterr().err
    (tmp_path / "rloo" / "metrics.jsonl").write_text('{"step": 1, "accuracy": 0.5}\n{"step": 2, "acc')
    assert main(["view", both[0]]) == 2
    assert "metrics.jsonl:2" in capsys.readouterr().err
