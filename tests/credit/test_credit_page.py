"""docs/credit.md says what the code has: every method, and an example that runs.

Run with `python -m pytest tests/credit/test_credit_page.py`.
"""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import numpy as np

from preceptor.credit import METHODS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "credit.md").read_text(encoding="utf-8")


def test_the_table_is_that_of_the_code() -> None:
    (table,) = re.findall(r"<!-- credit -->\n(.*?)\n<!-- /credit -->", PAGE, re.DOTALL)
    script = runpy.run_path(str(ROOT / "scripts" / "credit_page.py"))
    assert table == script["table"](), (
        "the methods have changed: python benchmarks/credit_hacks.py NAME for those that say `not run`, with and "
        "without --scorer oracle; then python scripts/credit_page.py"
    )
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(METHODS)


def test_the_table_says_what_every_method_is() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "credit_page.py"))
    said = {name: script["what"](name) for name in METHODS}
    assert [name for name, what in said.items() if len(what) < 12] == []
    assert not re.search("abstract index", " ".join(said.values()))


def test_methods_named_in_the_prose_are_there() -> None:
    prose = PAGE.partition("<!-- credit -->")[0].partition("## Which one")[2].partition("## Known hacks")[0]
    named = set(re.findall(r"`([a-z0-9_]+)`", prose)) - {"process_wrong", "tokens_per_step"}
    assert len(named) > 10
    assert named <= set(METHODS)


def test_the_example_runs_and_gives_what_it_says() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    lines = code.splitlines()
    scope: dict[str, object] = {}
    exec("\n".join(lines[:-1]), scope)
    call, said = lines[-1].split("  # ")
    expected = [[float(x) for x in row.split()] for row in re.findall(r"\[(.*?)\]", said)]
    assert np.allclose(np.array(eval(call, scope)), expected)
