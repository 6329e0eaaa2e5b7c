"""docs/policy_training.md says what the code has: its tables, its commands, and an example that runs.

Run with `python -m pytest tests/learn/test_policy_training_page.py`.
"""

from __future__ import annotations

import re
import runpy
import shlex
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import pytest

from preceptor.cli import main
from preceptor.credit import METHODS
from preceptor.learn import data
from preceptor.learn.hooks_by_name import HOOKS, WORDS
from preceptor.learn.monitor import DETECTORS
from preceptor.learn.offline import ELSEWHERE, RECIPES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "policy_training.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(c) for c in re.findall(r"^preceptor learn .*$", PAGE.replace("\\\n", " "), re.MULTILINE)
]
CLASSES = {
    "h1": data.Horizon, "mr_rlvr": data.MRRLVR, "r3": data.R3, "scope_correct": data.ScopeCorrect, "srl": data.SRL,
    "thinktuning": data.ThinkTuning,
}  # fmt: skip


def table(head: str) -> list[list[str]]:
    """Cells of the rows below the header that begins with `head`."""
    (rows,) = re.findall(rf"^\| {re.escape(head)} \|.*\n\|[ |-]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows.splitlines()]


def names(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


def test_the_table_of_hooks_has_all_hooks_and_their_settings():
    rows = {names(r[0])[0]: r for r in table("hook")}
    assert set(rows) == set(HOOKS) == set(CLASSES)
    for name, row in rows.items():
        plain = {f.name for f in fields(CLASSES[name]) if isinstance(f.default, int | float | str)}
        assert set(names(row[3])) == plain - {"seed"} | set(WORDS.get(name, ()))


def test_the_table_of_other_methods_has_all_of_them_and_their_needs():
    rows = {names(r[0])[0]: r[2] for r in table("method")}
    assert set(rows) == set(RECIPES)
    for name, needs in rows.items():
        recipe = RECIPES[name]
        store = "" if recipe.searches else " or `--store`"
        assert needs == (f"`--scorer`{store}" if recipe.judged else "nothing")
    (elsewhere,) = re.findall(r"From Python only.*?\n\n", PAGE, re.DOTALL)
    assert set(names(elsewhere)) == set(ELSEWHERE)


def test_the_warnings_are_those_of_the_monitor():
    assert {n for row in table("warning") for n in names(row[0])} == set(DETECTORS)


def test_what_is_more_than_a_row_are_credit_methods():
    assert {n for row in table("methods") for n in names(row[0])} <= set(METHODS)


def test_options_and_commands_are_there(capsys):
    assert main(["learn", "--help"]) == 0
    there = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    others = {"--nproc_per_node", "--no-python"}
    assert {o.rstrip("_") for o in re.findall(r"--[a-z_-]*[a-z]", PAGE)} - others <= there
    assert len(COMMANDS) >= 5
    for words in COMMANDS:
        given = dict(pairwise(words))
        if "--method" in given:
            assert given["--method"] in METHODS or given["--method"] in RECIPES or given["--method"] == "..."
        assert given.get("--with", "r3") in HOOKS


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)", PAGE):
        assert (ROOT / "docs" / target).is_file(), target


def test_the_example_runs(tmp_path, monkeypatch):
    pytest.importorskip("trl")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    Path("example.py").write_text(code, encoding="utf-8")
    runpy.run_path("example.py")
    assert Path("runs/starts/model/config.json").is_file()
