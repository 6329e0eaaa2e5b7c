"""Put the table of all search strategies into docs/search.md.

Run: python scripts/search_page.py
"""

from __future__ import annotations

import re
import sys
from dataclasses import MISSING, fields
from inspect import getdoc
from pathlib import Path
from typing import Any

from preceptor.generation import Sampling
from preceptor.search import STRATEGIES, Strategy, strategy

PAGE = Path(__file__).resolve().parents[1] / "docs" / "search.md"
BEGIN, END = "<!-- strategies -->\n", "\n<!-- /strategies -->"
COLUMNS = ("strategy", "what it does", "idea and source", "scorer", "asks", "main settings", "cost")
PLAIN = (bool, int, float, str, type(None))
UNSURE = re.compile(r"from memory|not found|not checked|\bours\b|[Ww]e assume")


def text_of(kind: type[Strategy]) -> str:
    """The docstring of the file, without numbers of our own lists."""
    return re.sub(r",? ?catalogue index \d+", "", getdoc(sys.modules[kind.__module__]) or "")


def sentences(text: str) -> list[str]:
    """Prose only: indented lines are tables and code."""
    prose = re.sub(r"\n\n(?: .*(?:\n|$))+", "\n\n", text)
    whole = " ".join(prose.split())
    return re.split(r"(?<=[\w)\]\"`'%]\.)(?<!e\.g\.) ", whole)


def idea(kind: type[Strategy]) -> str:
    return sentences(text_of(kind))[0].partition(" Needs no scorer; ")[0].rstrip(".")


def does(kind: type[Strategy]) -> str:
    return (kind.__doc__ or "").partition("\n")[0].rstrip(".")


def cost(kind: type[Strategy]) -> str:
    """What stands behind "Cost:", to the end of its sentence."""
    found = re.search(r"[Cc]ost: ((?:(?!\n\n).)+)", text_of(kind), re.DOTALL)
    if found is None:
        return "one call" if kind.__name__ == "Greedy" else ""
    return re.split(r"\.(?= [A-Z]|$)", " ".join(found[1].split()))[0]


def settings(kind: type[Strategy]) -> str:
    """Those that are given in place, with their defaults; of the others the temperature."""
    said = []
    for f in fields(kind):  # type: ignore[arg-type]
        if f.kw_only or f.name == "sampling":
            continue
        if f.default is MISSING and f.default_factory is MISSING:
            said.append(f"`{f.name}` (in Python)")
        elif isinstance(f.default, PLAIN) and len(repr(f.default)) < 24:
            said.append(f"`{f.name}={_word(f.default)}`")
    drawn = next(f for f in fields(kind) if f.name == "sampling").default_factory  # type: ignore[arg-type]
    if drawn is not MISSING:
        sampling: Sampling = drawn()
        name = "sampling.temperature" if hasattr(kind, "temperature") else "temperature"
        said.append(f"`{name}={sampling.temperature:g}`")
    return ", ".join(said)


def scorer(kind: type[Strategy]) -> str:
    if kind.needs_scorer:
        return "yes"
    return "if given" if kind.to_score is not Strategy.to_score else ""


def _word(value: Any) -> str:
    """As it is given to `--set`."""
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def unsure(kind: type[Strategy]) -> list[str]:
    """What the file says was not taken from the publication."""
    return [s for s in sentences(text_of(kind)) if UNSURE.search(s)]


def row(name: str) -> tuple[str, ...]:
    kind = strategy(name)
    asks = ", ".join(f"`{helper}`" for helper in kind.helpers)
    return (f"`{name}`", does(kind), idea(kind), scorer(kind), asks, settings(kind), cost(kind))


def table() -> str:
    """The table as markdown, and below it what in it is not from a publication."""
    lines = [COLUMNS, ("---",) * len(COLUMNS), *(row(name) for name in STRATEGIES)]
    marks = [f"- `{name}`: {' '.join(said)}" for name in STRATEGIES if (said := unsure(strategy(name)))]
    return "\n\n".join(
        [
            "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines),
            "### Not from the publication",
            "\n".join(marks),
        ]
    )


def main() -> None:
    text = PAGE.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{PAGE}: the marks {BEGIN.strip()} and {END.strip()} are not there")
    PAGE.write_text(before + BEGIN + table() + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
