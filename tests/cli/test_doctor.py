"""Specifies `preceptor doctor`: one report, exit status 1 when a check fails, labelled traces in every form.

Run: python -m pytest tests/cli/test_doctor.py
"""

from __future__ import annotations

import json

import pytest

from preceptor.annotate import WorldOracle
from preceptor.bench.doctor import reference_cases
from preceptor.cli import main
from preceptor.store import Store
from preceptor.worlds import arithmetic
from tests.reward.test_scorer import save_random_prm
from tests.reward.toy import backbone

ORACLE = ["doctor", "--scorer", "world:arithmetic"]


@pytest.fixture(scope="module")
def blind(tmp_path_factory):
    """An untrained reward model."""
    path = tmp_path_factory.mktemp("blind")
    return str(save_random_prm(path / "prm", backbone(path / "lm")))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Right and wrong traces of 12 problems with the oracle's labels."""
    path = tmp_path_factory.mktemp("store") / "run.db"
    cases = reference_cases(arithmetic(n=12))
    traces = [t for c in cases for t in (c.right, c.wrong)]
    with Store(path) as kept:
        kept.put_problems([c.problem for c in cases])
        kept.put_traces(traces)
        kept.put_judgements(WorldOracle().score(traces))
    return path


def processbench(path, n=40):
    records = [
        {
            "id": f"gsm8k-{i}",
            "generator": "m",
            "problem": f"What is {i}+{i}+1?",
            "steps": [f"{i}+{i}={2 * i}", f"{2 * i}+1={2 * i + 1 + i % 2}"],
            "final_answer_correct": i % 2 == 0,
            "label": -1 if i % 2 == 0 else 1,
        }
        for i in range(1, n + 1)
    ]
    path.write_text(json.dumps(records))
    return path


def test_a_sound_scorer_ends_with_status_0_and_a_readable_report(capsys):
    assert main([*ORACLE, "--n", "12"]) == 0
    told = capsys.readouterr().out
    assert told.splitlines()[-1] == "no check failed"
    assert "PASS  right over wrong step" in told
    assert max(map(len, told.splitlines())) <= 112


def test_a_blind_scorer_ends_with_status_1_and_still_gives_its_record(blind, tmp_path, capsys):
    page = tmp_path / "doctor.html"
    assert main(["doctor", "--scorer", blind, "--n", "16", "--json", "--out", str(page)]) == 1
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert "right over wrong step" in found["failed"]
    assert found["out"] == str(page)
    assert "check failed:" in captured.err
    html = page.read_text()
    assert "not to be trusted" in html
    assert "attacks in detail" in html.lower()
    assert "cannot tell right from wrong" in html


def test_a_store_and_its_export_give_the_same_figures(store, tmp_path, capsys):
    export = tmp_path / "run.jsonl"
    with Store(store) as kept:
        kept.export(export)
    records = []
    for path in (store, export):
        assert main([*ORACLE, "--traces", str(path), "--json"]) == 0
        records.append(json.loads(capsys.readouterr().out))
    first, second = ({k: v for k, v in r.items() if k != "seconds"} for r in records)
    assert first == second
    assert first["cases"] == 24
    labelled = next(f for f in first["findings"] if f["check"] == "labelled errors")
    assert labelled["evidence"]["auroc"]["value"] == 1.0


def test_processbench_files_and_folders_are_read(tmp_path, blind, capsys):
    file = processbench(tmp_path / "gsm8k.json")
    counted = []
    for path in (file, tmp_path):
        assert main(["doctor", "--scorer", blind, "--traces", str(path), "--json", "--n", "30"]) == 1
        counted.append(json.loads(capsys.readouterr().out)["findings"])
    assert counted[0] == counted[1]
    assert counted[0][0]["evidence"]["traces"] > 30, "right traces get a wrong partner"


def test_problems_from_a_file_need_reference_solutions(tmp_path, capsys):
    problems = tmp_path / "p.jsonl"
    problems.write_text('{"prompt": "What is 1+1?", "gold": "2"}\n')
    assert main([*ORACLE, "--problems", str(problems)]) == 2
    assert "reference" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file"),
        ("", "empty file"),
        ("{broken\n", "t.jsonl:1"),
        ('{"problem": "p", "steps": ["a"]}\n', "ProcessBench"),
        ('{"id": "1", "generator": "m", "problem": "p", "steps": ["a"], "final_answer_correct": true, "label": 7}\n',
         "field 'label'"),
        ('{"type": "trace", "schema": 1}\n', "t.jsonl:1"),
    ],
    ids=["missing", "empty", "not JSON", "no labels", "label beyond the end", "broken export"],
)  # fmt: skip
def test_bad_files_are_typed_errors(content, said, tmp_path, capsys):
    path = tmp_path / "t.jsonl"
    if content is not None:
        path.write_text(content)
    assert main([*ORACLE, "--traces", str(path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err


def test_contradicting_words_are_refused_before_anything_is_scored(tmp_path, capsys):
    assert main([*ORACLE, "--problems", "world:arithmetic", "--traces", "x"]) == 2
    assert "both" in capsys.readouterr().err
    assert main([*ORACLE, "--out", str(tmp_path)]) == 2
    assert "expected a file" in capsys.readouterr().err
    assert main(["doctor", "--scorer", str(tmp_path)]) == 2
