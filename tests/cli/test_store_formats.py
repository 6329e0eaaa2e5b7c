"""`preceptor store import` takes public label files into a store; `store export --format` writes them.

Run: python -m pytest tests/cli/test_store_formats.py
"""

from __future__ import annotations

import json

import pytest

from preceptor.annotate.formats import FORMATS
from preceptor.cli import main
from preceptor.cli.stores import FILE_FORMATS
from preceptor.store import Store
from tests.annotate.formats.samples import RECORDS, rows, same, written


def run(capsys, *arguments, status=0):
    assert main(["store", *map(str, arguments)]) == status
    return capsys.readouterr()


def run_json(capsys, *arguments):
    return json.loads(run(capsys, *arguments, "--json").out)


def test_a_published_file_goes_through_a_store_and_comes_out_as_it_was(capsys, tmp_path, shared_data):
    file, store = shared_data / "processbench" / "gsm8k.json", tmp_path / "s.db"
    result = run_json(capsys, "import", file, "--store", store)
    assert (result["format"], result["items"], result["new"], result["bad"]) == ("processbench", 400, 400, {})
    again = run_json(capsys, "import", file, "--store", store)
    assert (again["new"], again["already_there"]) == (0, 400)
    out = tmp_path / "out.jsonl"
    result = run_json(capsys, "export", "--store", store, "--out", out, "--format", "processbench")
    assert (result["records"], result["left_out"], result["lost"]) == (400, {}, {})
    assert same(rows(file), rows(out))


def test_prm800k_keeps_its_lines_whatever_a_neutral_step_counts_as(capsys, tmp_path, shared_data):
    file = shared_data / "format_samples" / "samples_prm800k.jsonl"
    for rule in ("positive", "negative"):
        store, out = tmp_path / f"{rule}.db", tmp_path / f"{rule}.jsonl"
        run(capsys, "import", file, "--store", store, "--neutral", rule)
        words = run(capsys, "export", "--store", store, "--out", out, "--format", "prm800k").out
        assert "6 records" in words
        assert same(rows(file), rows(out))
        with Store(store) as kept:
            assert kept.verify() == []
            assert sum((j.scores or ()).count(0.0) for j in kept.judgements()) == (
                # Nine completions rated -1; six traces hold a 0.
                9 if rule == "positive" else 15
            )


def test_what_does_not_fit_is_said(capsys, tmp_path, shared_data):
    file, store = shared_data / "format_samples" / "samples_math-aps.jsonl", tmp_path / "s.db"
    run(capsys, "import", file, "--store", store)
    export = ["export", "--store", store, "--out", tmp_path / "o.jsonl", "--format"]
    words = run(capsys, *export, "axolotl-stepwise").out
    assert "left out: soft label and no threshold: 113" in words
    assert "gold answer: 21" in words
    result = run_json(capsys, *export, "axolotl-stepwise", "--threshold", "0.5")
    assert (result["records"], result["lost"]["soft labels"]) == (134, 113)
    said = run(capsys, *export, "processbench", status=2).err
    assert "grade undecided: 134" in said
    assert not (tmp_path / "o.jsonl").exists()


def test_only_decided_traces_of_one_source(capsys, tmp_path, shared_data):
    store, out = tmp_path / "s.db", tmp_path / "o.jsonl"
    run(capsys, "import", shared_data / "processbench" / "gsm8k.json", "--store", store)
    run(capsys, "import", shared_data / "format_samples" / "samples_math-shepherd.jsonl", "--store", store)
    export = ["export", "--store", store, "--out", out, "--format", "jsonl"]
    said = run(capsys, *export, status=2).err
    assert "2 of the label sources" in said
    assert run_json(capsys, *export, "--source", "human")["records"] == 400
    assert run_json(capsys, *export, "--source", "rollouts")["records"] == 7
    run(capsys, *export, "--source", "rollouts", "--decided", status=2)
    said = run(capsys, "export", "--store", store, "--out", out, "--decided", status=2).err
    assert "--format" in said
    plain = run_json(capsys, "export", "--store", store, "--out", out)
    assert plain == {"out": str(out), "bytes": out.stat().st_size}
    assert json.loads(out.read_text().splitlines()[0])["type"] == "problem"


def test_broken_files_are_told_of_by_line(capsys, tmp_path):
    store, path = tmp_path / "s.db", tmp_path / "in.jsonl"
    good = json.dumps(RECORDS["trl-stepwise"][0])
    path.write_text(good + "\n{broken\n")
    words = run(capsys, "import", path, "--store", store).out
    assert "1 bad records left out" in words
    assert "in.jsonl:2" in words
    assert "in.jsonl:2" in run(capsys, "import", path, "--store", store, "--strict", status=2).err
    said = run(capsys, "import", path, "--store", store, "--format", "scan", status=2).err
    assert "none of 2 records is scan" in said
    assert "in.jsonl:1" in said
    assert (
        "expected one of prm800k"
        in run(capsys, "import", path, "--store", store, "--format", "x", status=2).err
    )
    unknown = written(tmp_path / "other.jsonl", [{"colour": "red"}])
    assert "colour" in run(capsys, "import", unknown, "--store", store, status=2).err


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_the_help_names_every_format(name):
    assert name in FILE_FORMATS
