"""Put the table of all labelling methods into docs/labels.md.

Run: python scripts/labels_page.py
"""

from __future__ import annotations

import re
import sys
from inspect import getdoc, signature
from pathlib import Path
from typing import Any

from preceptor.annotate import ANNOTATORS, annotator

PAGE = Path(__file__).resolve().parents[1] / "docs" / "labels.md"
BEGIN, END = "<!-- methods -->\n", "\n<!-- /methods -->"
COLUMNS = ("method", "question", "needs", "cost of a trace", "idea and source")


def question(cls: type[Any]) -> str:
    """A property where the parts decide."""
    return getattr(cls.question, "value", "as its parts")


def needs(cls: type[Any]) -> str:
    has = signature(cls).parameters
    if "policy" in has:
        kind = "a judge" if "asking" in has else "a policy"
        return kind + (" and other methods" if _parts(has) else "")
    if _parts(has):
        return "other methods"
    return "the code sandbox" if "sandbox" in has else "nothing"


def _parts(has: Any) -> bool:
    return any("Scorer" in str(p.annotation) and p.default is p.empty for p in has.values())


def idea(cls: type[Any]) -> str:
    """The first line of the file's docstring, which names the paper where there is one."""
    line = (getdoc(sys.modules[cls.__module__]) or "").partition("\n")[0].rstrip(".")
    return re.sub(r" \((catalogue )?index \d+\)|, catalogue index \d+", "", line)


def table() -> str:
    """The table as markdown."""
    rows = [
        (f"`{name}`", question(cls), needs(cls), getattr(cls, "cost", "nothing"), idea(cls))
        for name, cls in ((name, annotator(name)) for name in ANNOTATORS)
    ]
    lines = [COLUMNS, ("---",) * len(COLUMNS), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def main() -> None:
    text = PAGE.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{PAGE}: the marks {BEGIN.strip()} and {END.strip()} are not there")
    PAGE.write_text(before + BEGIN + table() + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
