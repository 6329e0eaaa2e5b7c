"""Put the table of all credit methods into docs/credit.md, and its cells into the file that `preceptor credit` reads.

Run: python scripts/credit_page.py    (a second; runs of the hack world are read from benchmarks/credit_hacks.jsonl)
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from preceptor.credit import MARKS, METHODS, CreditConfig, methods, ops
from preceptor.credit.bias import repetition, shift, step_count, telescopes
from preceptor.credit.hack_world import LEFT_OUT, SCORERS, Figures, fingerprint, verdict
from preceptor.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "credit.md"
CELLS = ROOT / "src" / "preceptor" / "cli" / "credit_results.json"
RUNS = ROOT / "benchmarks" / "credit_hacks.jsonl"
BEGIN, END = "<!-- credit -->\n", "\n<!-- /credit -->"
COLUMNS = (
    *("method", "what it is", "needs", "step count", "shift", "telescopes", "a repeat"),
    *("in the world", "accuracy", "steps", "oracle"),
)


@cache
def comments() -> dict[str, str]:
    """What the tables of `credit/methods/` say above each row."""
    found = {}
    for module in pkgutil.iter_modules(methods.__path__):
        source = importlib.import_module(f"{methods.__name__}.{module.name}").__file__ or ""
        text = Path(source).read_text(encoding="utf-8")
        for said, name in re.findall(r"((?:^ {4}# .*\n)*)^ {4}\"(\w+)\": CreditConfig\(", text, re.MULTILINE):
            found[name] = " ".join(line.strip().removeprefix("# ") for line in said.splitlines())
    return found


@cache
def module_line(name: str) -> str:
    """First paragraph of the file of a method's own operations; "" without one."""
    if name not in {m.name for m in pkgutil.iter_modules(ops.__path__)}:
        return ""
    doc = importlib.import_module(f"{ops.__name__}.{name}").__doc__ or ""
    return " ".join(doc.split("\n\n")[0].split())


def what(name: str) -> str:
    """The row's comment, else its file's first sentence, else whose variant it is."""
    said = comments().get(name) or module_line(name)
    if not said:
        told = [n for n in METHODS if comments().get(n) or module_line(n)]
        named = sorted((n for n in told if name.startswith(n + "_")), key=len, reverse=True)
        kin = [*named, *(n for n in told if n.split("_")[0] == name.split("_")[0])]
        return f"variant of `{kin[0]}`" if kin else ""
    said = re.sub(
        r"[;,]? ?\(?abstract index \d+\)?|, repo [\w./-]+|; repo [\w./-]+| \(repo [\w./-]+[^)]*\)", "", said
    )
    first = re.match(r".{12,}?\.(?= [A-Z`]|$)|.{60,}?;", said)
    return (first[0] if first else said).rstrip(".;").replace("()", "").strip()


def needs(config: CreditConfig) -> str:
    return ", ".join(sorted(n.removeprefix("scalars.") for n in config.needs))


def biases(config: CreditConfig) -> tuple[str, str, str, str]:
    count, moved, gains = step_count(config), shift(config), repetition(config)
    size = f" ({count.size:.2f})" if count.verdict != "none" else ""
    if abs(gains).max() < 0.005:
        repeat = "0"
    else:
        repeat = f"{gains[0]:+.2f}, {gains[-1]:+.2f}" if np.ptp(gains) >= 0.01 else f"{gains[-1]:+.2f}"
    return count.verdict + size, f"{moved:.2f}" if moved >= 0.005 else "0", telescopes(config), repeat


@cache
def runs() -> dict[tuple[str, str], dict[str, Any]]:
    lines = (json.loads(x) for x in RUNS.read_text(encoding="utf-8").splitlines())
    return {(x["method"], x["scorer"]): x for x in lines}


def run(name: str, scorer: str) -> dict[str, Any] | None:
    """The stored run; None without one of the present settings."""
    line = runs().get((name, scorer))
    if line is None:
        return None
    same = line["fingerprint"] == fingerprint(METHODS[name], SCORERS[scorer], *line["settings"].values())
    return line if same else None


def world(name: str) -> tuple[str, str, str, str]:
    """Verdict of the seeds' medians, accuracy with its spread and steps; accuracy with the oracle."""
    cells = []
    for scorer in ("fallible", "oracle"):
        line = run(name, scorer)
        if line is None or "error" in line:
            cells.append(("not run" if line is None else line["error"], *[""] * 3))
            continue
        acc, steps, shares = line["accuracy"], line["steps"], line["shares"]
        typical = Figures(median(acc), median(steps), {k: median(v) for k, v in shares.items()})
        spread = f" ({min(acc):.2f}-{max(acc):.2f})" if max(acc) - min(acc) >= 0.02 else ""
        cells.append(
            (verdict(typical), f"{median(acc):.2f}{spread}", f"{median(steps):.1f}", f"{median(acc):.2f}")
        )
    return cells[0][0], cells[0][1], cells[0][2], cells[1][3] or cells[1][0]


@cache
def row(name: str) -> tuple[str, ...]:
    config = METHODS[name]
    try:
        found = biases(config)
    except InputError as err:
        found = (str(err), "", "", "")
    return (f"`{name}`", what(name), needs(config), *found, *world(name))


def cells() -> dict[str, dict[str, str]]:
    """Method -> its cells, for `preceptor credit`."""
    keys = ("what", *COLUMNS[3:7], "verdict", *COLUMNS[8:])
    rows = {name: row(name) for name in METHODS}
    return {name: dict(zip(keys, (r[1], *r[3:]), strict=True)) for name, r in rows.items()}


def table() -> str:
    """The table as markdown, what follows from it, and what in it is not from a publication."""
    rows = [row(name) for name in METHODS]
    lines = [COLUMNS, ("---",) * len(COLUMNS), *rows]
    marks = [f"- `{name}`: {'; '.join(MARKS[name])}" for name in METHODS if MARKS.get(name)]
    return "\n\n".join(
        [
            "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines),
            "Indifferent to the number of steps, to a kinder scorer and to repeats, and solved without a habit: "
            + ", ".join(r[0] for r in rows if sound(r))
            + ".",
            "### What the world does not have of a method",
            "\n".join(f"- `{name}`: {why}" for name, why in LEFT_OUT.items()),
            "### Not from the publication",
            "\n".join(marks),
        ]
    )


def sound(cells: tuple[str, ...]) -> bool:
    said = dict(zip(COLUMNS, cells, strict=True))
    return (said["step count"], said["shift"], said["a repeat"], said["in the world"]) == (
        "none",
        "0",
        "0",
        "solves",
    )


def main() -> None:
    text = PAGE.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{PAGE}: the marks {BEGIN.strip()} and {END.strip()} are not there")
    PAGE.write_text(before + BEGIN + table() + END + after, encoding="utf-8")
    CELLS.write_text(json.dumps(cells(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
