"""Specifies the command line: each verb's help, one JSON object on stdout, exit statuses, and bad input.

Run: python -m pytest tests/cli
"""

from __future__ import annotations

import json
import re
import socket

import pytest

from preceptor.cli import main
from preceptor.cli.app import GROUPS, VERBS

WORLD = ["--policy", "world:arithmetic", "--problems", "world:arithmetic"]
ALL = [[v] for v in VERBS] + [[g, v] for g, (_, verbs) in GROUPS.items() for v in verbs]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """A store with traces, Monte Carlo labels and oracle labels."""
    store = str(tmp_path_factory.mktemp("cli") / "run.db")
    problems = ["--problems", "world:arithmetic?split=train", "--n", "12", "--store", store]
    assert main(["sample", "--policy", "world:arithmetic", "--samples", "3", *problems]) == 0
    assert (
        main(
            [
                "label",
                "--method",
                "omega-bisection",
                "--policy",
                "world:arithmetic",
                "--rollouts",
                "4",
                *problems,
            ]
        )
        == 0
    )
    assert main(["label", "--method", "world-oracle", *problems]) == 0
    return store


@pytest.fixture(scope="module")
def prm(labelled, tmp_path_factory):
    """A reward model trained a little by `preceptor train`."""
    out = str(tmp_path_factory.mktemp("prm"))
    assert (
        main(["train", "--labels", labelled, "--source", "world-oracle", "--out", out, "--epochs", "1"]) == 0
    )
    return out


@pytest.mark.parametrize("verb", ALL, ids=" ".join)
def test_every_verb_explains_itself_with_an_example(verb, capsys):
    assert main([*verb, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"preceptor {' '.join(verb)} " in text.split("Options:")[0].split("\n", 1)[1], (
        "no example in the help"
    )
    assert "--json" in text


def one_object(capsys):
    captured = capsys.readouterr()
    lines = captured.out.strip().splitlines()
    assert len(lines) == 1, captured.out
    return json.loads(lines[0]), captured.err


def test_sample_counts_everything_and_costs_nothing_twice(tmp_path, capsys):
    arguments = ["sample", *WORLD, "--n", "6", "--samples", "2", "--store", str(tmp_path / "a.db"), "--json"]
    assert main(arguments) == 0
    first, words = one_object(capsys)
    assert first["traces"] == 12
    assert first["generated_tokens"] > 0
    assert re.search(r"sample\s+12/12 traces \|.*/s \|", words), "no progress line on stderr"
    assert main(arguments) == 0
    again, _ = one_object(capsys)
    assert again["generated_tokens"] == 0
    assert again["reused_tokens"] == first["generated_tokens"]
    assert again["accuracy"] == first["accuracy"]


def test_a_second_annotator_pays_only_for_what_is_new(labelled, capsys):
    problems = ["--problems", "world:arithmetic?split=train", "--n", "12", "--store", labelled]
    capsys.readouterr()
    label = [
        "label",
        "--method",
        "math-shepherd",
        "--policy",
        "world:arithmetic",
        "--rollouts",
        "4",
        *problems,
        "--json",
    ]
    assert main(label) == 0
    result, _ = one_object(capsys)
    assert result["question"] == "value"
    assert result["reused_tokens"] > 0
    assert result["failed"] == 0


def test_train_writes_a_model_that_score_and_solve_can_use(labelled, prm, tmp_path, capsys):
    capsys.readouterr()
    out = tmp_path / "scores.jsonl"
    assert main(["score", "--scorer", prm, "--traces", labelled, "--out", str(out), "--json"]) == 0
    result, _ = one_object(capsys)
    assert result["scored"] == result["traces"] == len(out.read_text().splitlines())
    solve = [
        "solve",
        "--strategy",
        "best-of-n",
        *WORLD,
        "--scorer",
        prm,
        "--n",
        "4",
        "--budget",
        "tokens=200",
    ]
    assert main([*solve, "--out", str(tmp_path / "bon"), "--json"]) == 0
    result, _ = one_object(capsys)
    assert result["problems"] == 4
    assert result["tokens_per_problem"] <= 200
    assert len((tmp_path / "bon" / "trees.jsonl").read_text().splitlines()) == 4


def test_the_store_verbs_agree_with_what_was_put_in(labelled, tmp_path, capsys):
    capsys.readouterr()
    assert main(["store", "verify", "--store", labelled]) == 0
    assert main(["store", "export", "--store", labelled, "--out", str(tmp_path / "x.jsonl"), "--json"]) == 0
    out = capsys.readouterr().out
    size = json.loads(out.strip().splitlines()[-1])["bytes"]
    assert size == (tmp_path / "x.jsonl").stat().st_size > 1000


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["sample", "--policy", "world:nowhere", "--problems", "world:arithmetic"], "world:arithmetic"),
        (["sample", "--policy", "no/such/dir/", "--problems", "world:arithmetic"], "hub id"),
        (["sample", "--policy", "world:arithmetic", "--problems", "nowhere.jsonl"], "nowhere.jsonl"),
        (["sample", "--policy", "world:arithmetic", "--problems", "{tmp}/bad.jsonl"], "bad.jsonl:2"),
        (["sample", "--policy", "world:arithmetic", "--problems", "{tmp}/empty.jsonl"], "empty.jsonl"),
        (["sample", "--policy", "{tmp}/no-tokenizer", "--problems", "world:arithmetic"], "tokenizer"),
        (["sample", "--policy", "openai:http://127.0.0.1:{port}/v1#m", "--problems", "world:arithmetic", "--n", "1"],
         "127.0.0.1"),
        (["label", "--method", "guess", "--problems", "world:arithmetic"], "omega-bisection"),
        (["label", "--method", "math-shepherd", "--problems", "world:arithmetic"], "sample"),
        (["label", "--method", "world-oracle", "--problems", "world:arithmetic", "--n", "2"], "preceptor sample"),
    ],
)  # fmt: skip
def test_unusable_input_is_exit_status_2_and_says_what_to_do(
    arguments, said, tmp_path, capsys, tiny_policy_dir
):
    (tmp_path / "bad.jsonl").write_text('{"prompt": "1+1?", "gold": "2"}\n{"prompt": 3}\n')
    (tmp_path / "empty.jsonl").write_text("")
    broken = tmp_path / "no-tokenizer"
    broken.mkdir()
    for name in ("config.json", "model.safetensors"):
        (broken / name).write_bytes((tiny_policy_dir / name).read_bytes())
    words = [a.format(tmp=tmp_path, port=free_port()) for a in arguments]
    assert main([*words, "--store", str(tmp_path / "s.db")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert "Traceback" not in captured.err


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["solve", "--strategy", "best", *WORLD, "--out", "{tmp}/o"], "best-of-n"),
        (
            [
                "solve",
                "--strategy",
                "best-of-n",
                *WORLD,
                "--n",
                "1",
                "--budget",
                "tokens=50",
                "--out",
                "{tmp}/o",
            ],
            "scorer",
        ),
        (["solve", "--strategy", "majority", *WORLD, "--budget", "coins=3", "--out", "{tmp}/o"], "tokens"),
        (["solve", "--strategy", "majority", *WORLD, "--keep", "3", "--out", "{tmp}/o"], "keep"),
        (["score", "--scorer", "{tmp}", "--traces", "{tmp}/x"], "config.json"),
        (["train", "--labels", "{tmp}/none.db", "--out", "{tmp}/o"], "none.db"),
        (["bench", "pools", "--data", "{tmp}/none.gz"], "none.gz"),
        (["bench", "processbench", "--data", "{tmp}", "--scorer", "world:arithmetic"], "gsm8k.json"),
        (["store", "stats", "--store", "{tmp}/none.db"], "none.db"),
        (["view", "{tmp}"], "config.json"),
        (["learn", "--method", "magic", *WORLD, "--out", "{tmp}/o"], "progress"),
    ],
)
def test_the_other_verbs_refuse_what_they_cannot_use(arguments, said, tmp_path, capsys):
    assert main([a.format(tmp=tmp_path) for a in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert "Traceback" not in captured.err


def test_a_store_that_does_not_verify_is_a_failed_check(labelled, tmp_path, capsys):
    import shutil
    import sqlite3

    broken = tmp_path / "broken.db"
    shutil.copy(labelled, broken)
    with sqlite3.connect(broken) as db:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")
        db.execute("UPDATE traces SET record = replace(record, 'Answer', 'Anfwer')")
    assert main(["store", "verify", "--store", str(broken)]) == 1
    assert "check failed" in capsys.readouterr().err
