"""docs/search.md says what the code has: all strategies, aggregators and votes, and examples that run.

Run: python -m pytest tests/search/test_page.py
"""

from __future__ import annotations

import re
import runpy
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from preceptor.cli.strategies import parsed, settings_of, strategy_of
from preceptor.search import AGGREGATORS, PARAMETRIC, STRATEGIES, VOTES, aggregate, strategy

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "search.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def marked(name: str) -> str:
    (found,) = re.findall(rf"<!-- {name} -->\n(.*?)\n<!-- /{name} -->", PAGE, re.DOTALL)
    return found


def rows(name: str) -> list[list[str]]:
    """Cells of a table, without its head."""
    lines = [line for line in marked(name).splitlines() if re.match(r"\| `[^`]+` \|", line)]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "scripts" / "search_page.py"))


def test_the_table_is_that_of_the_code(script):
    assert marked("strategies") == script["table"](), (
        "the strategies have changed: python scripts/search_page.py"
    )
    assert [row[0].strip("`") for row in rows("strategies")] == list(STRATEGIES)
    assert "catalogue" not in marked("strategies")


def test_every_row_says_what_it_is_where_it_is_from_and_what_it_costs(script):
    for name, does, idea, scorer, _, _, cost in rows("strategies"):
        assert min(len(does), len(idea)) > 12, name
        assert len(cost) > 5, f"{name}: its docstring has no Cost"
        assert scorer in ("yes", "if given", "")


def test_what_was_not_found_is_said(script):
    listed = set(re.findall(r"^- `([\w-]+)`: ", marked("strategies"), re.MULTILINE))
    unsure = {name for name in STRATEGIES if "not found" in script["text_of"](strategy(name))}
    assert len(unsure) > 15
    assert unsure <= listed


def test_a_setting_is_shown_as_it_is_given():
    for row, *_, settings, _ in rows("strategies"):
        name = row.strip("`")
        words = re.findall(r"`([\w.]+=[^`]*)`", settings)
        if "in Python" not in settings:
            strategy_of(name, settings_of([w for w in words if not w.startswith("n=none")]))


def test_all_aggregators_are_listed_and_do_what_the_page_says():
    listed = {name.strip("`"): float(value) for name, _, value in rows("aggregators")[1:]}
    assert {name.split(":")[0] for name in listed} == {*AGGREGATORS, *PARAMETRIC}
    for name, value in listed.items():
        assert aggregate([0.9, 0.5, 0.8], name) == pytest.approx(value, rel=4e-3), name


def test_all_votes_are_listed_and_choose_what_the_page_says():
    classes, scores = [*"aaabbc", None], [0.5, 0.3, 0.4, 0.8, 0.6, 0.85, 0.99]
    listed = {name.strip("`"): value for name, _, value in rows("votes")}
    assert set(listed) == set(VOTES)
    assert {name: classes[vote(classes, scores)] for name, vote in VOTES.items()} == listed


def test_the_strategy_on_the_page_runs_and_gives_what_it_says(tmp_path, capsys):
    code = next(block for block in BLOCKS if "class BestStep" in block)
    (tmp_path / "example.py").write_text(code, encoding="utf-8")
    runpy.run_path(str(tmp_path / "example.py"))
    said = capsys.readouterr().out.strip()
    assert said.startswith("<SolveResult BestStep(expand=4); accuracy 0.875")
    assert said in PAGE


def test_the_other_examples_compile_and_their_imports_are_there(capsys):
    assert len(BLOCKS) == 3
    for code in BLOCKS:
        compile(code, "docs/search.md", "exec")
        lines = [line for line in code.splitlines() if re.match(r"(from|import) ", line)]
        exec("\n".join(lines), {})
    exec(next(block for block in BLOCKS if "ComputeOptimal" in block), {})
    assert "<SolveResult ComputeOptimal(" in capsys.readouterr().out


def test_the_commands_name_strategies_and_settings_that_there_are():
    joined = PAGE.replace("\\\n", " ")
    commands = [shlex.split(c) for c in re.findall(r"^preceptor (?:solve|compare) .*$", joined, re.MULTILINE)]
    assert len(commands) == 5
    for words in commands:
        pairs = list(pairwise(words))
        settings = [value for flag, value in pairs if flag == "--set" and not value.startswith("prior=")]
        for flag, value in pairs:
            if flag == "--strategy":
                name, own = parsed(value)
                strategy_of(name, {**own, **settings_of(settings)})
