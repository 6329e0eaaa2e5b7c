"""docs/labels.md says what the code has: all methods, and examples that run.

Run: python -m pytest tests/annotate/test_page.py
"""

from __future__ import annotations

import re
import runpy
from pathlib import Path

from preceptor.annotate import ANNOTATORS, FirstErrorSearch
from preceptor.annotate.formats import FORMATS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "labels.md").read_text(encoding="utf-8")


def section(name: str) -> str:
    return PAGE.partition(f"## {name}\n")[2].partition("\n## ")[0]


def test_the_table_is_that_of_the_code():
    (table,) = re.findall(r"<!-- methods -->\n(.*?)\n<!-- /methods -->", PAGE, re.DOTALL)
    script = runpy.run_path(str(ROOT / "scripts" / "labels_page.py"))
    assert table == script["table"](), "the methods have changed: python scripts/labels_page.py"
    assert re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE) == list(ANNOTATORS)
    assert "catalogue" not in table


def test_the_knobs_of_the_search_have_the_defaults_that_the_page_says():
    rows = dict(re.findall(r"^\| `(\w+)` \| ([\w.]+) \|", section("The first-error search"), re.MULTILINE))
    shown = {
        name: "none" if (value := getattr(FirstErrorSearch, name)) is None else str(value) for name in rows
    }
    assert rows == shown
    assert len(rows) == 4


def test_every_format_is_in_the_table_and_only_those_that_can_be_written_are_said_to():
    rows = [r for r in section("Files of labels").splitlines() if r.startswith("| `")]
    written = {name: row.split(" | ")[2] == "yes" for row in rows for name in re.findall(r"`([\w-]+)`", row)}
    assert written == {name: format.writes for name, format in FORMATS.items()}


def test_the_examples_are_python_and_their_imports_are_there():
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 2
    for code in blocks:
        compile(code, "docs/labels.md", "exec")
        exec("\n".join(line for line in code.splitlines() if line.startswith("from preceptor")), {})
