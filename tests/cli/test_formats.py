"""`preceptor formats` says how every family is read, docs/formats.md says the same, and `score --format` reads so."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from preceptor.cli import main
from preceptor.cli.formats import HEAD, fact_of, record_of, row_of
from preceptor.cli.options import options_of
from preceptor.errors import InputError
from preceptor.reward.formats import FORMATS
from preceptor.store import Store
from tests.reward.formats.families_turns import eurus, llama
from tests.reward.toy import toy_labels

DOCS = Path(__file__).parents[2] / "docs" / "formats.md"


def said(capsys, *arguments: str) -> str:
    assert main(["formats", *arguments]) == 0
    return capsys.readouterr().out


def test_the_table_has_a_line_for_every_record(capsys):
    lines = said(capsys).splitlines()
    assert lines[0].split() == list(HEAD)
    assert [line.split()[0] for line in lines[1:]] == sorted(FORMATS)
    # Columns stand below their heads.
    start = lines[0].index("readout")
    assert all(line[start - 1] == " " != line[start] for line in lines[1:])


def test_the_page_in_docs_has_the_table_of_the_command(capsys):
    text = DOCS.read_text(encoding="utf-8")
    (table,) = re.findall(r"<!-- formats -->\n(.*?)\n<!-- /formats -->", text, re.DOTALL)
    assert table == said(capsys, "--markdown").strip(), (
        "the records have changed: python scripts/formats_page.py"
    )


def test_the_formats_that_the_page_names_exist():
    text = DOCS.read_text(encoding="utf-8")
    named = re.findall(r"--format (\w+)|format=\"(\w+)\"|preceptor formats ([a-z]\w*)", text)
    assert {"".join(name) for name in named} == {"qwen", "eurus"}
    assert {"qwen", "eurus"} <= set(FORMATS)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_one_family_in_full_shows_all_its_facts(name, capsys):
    text = said(capsys, name)
    record = FORMATS[name]
    for line in (*record.models, *record.unsure, *record.notes, *record.columns().values()):
        assert line in text
    found = json.loads(said(capsys, name, "--json"))
    assert found == record_of(record)
    assert found["unsure"] == list(record.unsure)
    marks = row_of(found, wide=True)[HEAD.index("unsure")]
    assert all(fact_of(line) in marks for line in record.unsure)
    assert (marks == "-") == (not record.unsure)


def test_json_is_one_object_with_every_family(capsys):
    found = json.loads(said(capsys, "--json"))
    assert [r["name"] for r in found["formats"]] == sorted(FORMATS)
    by_name = {r["name"]: r for r in found["formats"]}
    assert by_name["eurus"]["needs"] == ["reference"]
    assert by_name["eurus"]["threshold"] == 0.5005
    assert by_name["trl"]["models"] == []


def test_marks_of_the_catalogue_are_kept():
    """Facts known from memory only are shown as such."""
    for name in ("eurus", "fover", "visualprm"):
        assert any("from memory" in line for line in FORMATS[name].unsure)


def test_an_unknown_family_is_bad_input(capsys):
    assert main(["formats", "nonsense"]) == 2
    assert "nonsense" in capsys.readouterr().err


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    path = tmp_path_factory.mktemp("traces") / "run.db"
    with Store(path) as store:
        found = toy_labels(2, 2).traces
        store.put_problems({t.problem.id: t.problem for t in found}.values())
        store.put_traces(found)
    return str(path)


def test_score_reads_a_checkpoint_by_its_format(tmp_path, traces, capsys):
    directory = str(llama(tmp_path / "m"))
    out = tmp_path / "scores.jsonl"
    common = ["score", "--scorer", directory, "--traces", traces]
    assert main(common) == 2  # a language model does not say how it is read
    assert "format" in capsys.readouterr().err
    assert main([*common, "--format", "rlhflow-prm", "--out", str(out), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["scored"] == result["traces"] == 4
    assert result["scorer"].startswith("rlhflow-prm")
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert all(0 < s < 1 for line in lines for s in line["scores"])
    assert main([*common, "--format", "nonsense"]) == 2


def test_options_reach_the_format(tmp_path, traces, capsys):
    directory = eurus(tmp_path / "m")
    common = ["score", "--scorer", str(directory), "--traces", traces, "--format", "eurus", "--json"]
    assert main(common) == 2
    assert "reference" in capsys.readouterr().err
    assert (
        main([*common, "--option", f"reference={directory / 'reference'}", "--option", "sigmoid=false"]) == 0
    )
    result = json.loads(capsys.readouterr().out)
    assert result["scored"] == 4
    assert any(s < 0 for j in result["judgements"] for s in j["scores"])


def test_options_are_values_words_or_files(tmp_path):
    text = tmp_path / "first.txt"
    text.write_text("{problem}\n{step}")
    found = options_of(["a=1", "b=0.5", "c=true", "d=model/", "e=", f"f=@{text}", 'g="x"', "h=null"])
    assert found == {
        "a": 1, "b": 0.5, "c": True, "d": "model/", "e": "", "f": "{problem}\n{step}", "g": '"x"', "h": "null",
    }  # fmt: skip
    for word in ["novalue", "=x", "a b=1", "format=qwen", f"f=@{tmp_path}/absent"]:
        with pytest.raises(InputError, match="--option"):
            options_of([word])
