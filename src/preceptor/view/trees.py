"""The page of `preceptor view` for a search: the tree of every problem, with scores, visits, statuses and reasons.

Drawn from the files that `solve` leaves in a directory (`trees.jsonl`, and where they are `solutions.jsonl`,
`problems.jsonl`, `result.json`; of a run that is not finished, what `partial.jsonl` holds). One self-contained file:
a script draws the tree that is picked, and a content policy admits that very script, by its hash, and no other. Trees
are data, never markup: each stands as JSON in a block of its own, is parsed when it is picked, and becomes text nodes.

Left out: token ids and log-probabilities, and what is beyond `LIMIT` bytes of trees.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from preceptor.errors import InputError, RecordError
from preceptor.store.jsonl import read_jsonl, scan_jsonl
from preceptor.view.report import templates, write_whole
from preceptor.view.scale import BINS, css_variables
from preceptor.view.tree_data import Record, Searched, drawn

FILES = ("trees.jsonl", "partial.jsonl")
LIMIT = 64 << 20
"""Bytes of trees on one page."""


def has_trees(run: Path) -> bool:
    """Does this directory hold a search, or this file trees?"""
    if run.is_dir():
        return any((run / name).is_file() for name in FILES)
    if run.suffix != ".jsonl" or not run.is_file():
        return False
    with run.open("rb") as file:
        return b'"nodes"' in file.readline()


def write_trees(run: str | Path, out: str | Path | None = None) -> Path:
    """Write the page of the search in `run` (a directory, or a file of trees), by default beside its files."""
    run = Path(run)
    folder = run if run.is_dir() else run.parent
    page = trees_page(_searched(run, folder), _json(folder / "result.json"), title=run.resolve().name)
    return write_whole(out or (folder / "trees.html" if run.is_dir() else run.with_suffix(".html")), page)


def trees_page(searched: Iterator[Searched], result: Mapping[str, Any], title: str) -> str:
    """The page, as text."""
    blocks: list[Markup] = []
    index: list[Record] = []
    size = left_out = 0
    for one in searched:
        try:
            found = drawn(one)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise InputError(
                f"{title}: the tree of problem {one.tree.get('problem')!r} cannot be read ({error!r}). "
                "Run preceptor solve again."
            ) from error
        block = _block(found)
        size += len(block)
        if blocks and size > LIMIT:
            left_out += 1
            continue
        blocks.append(block)
        index.append({k: found[k] for k in ("id", "about", "verdict", "tokens", "count")})
    environment = templates()
    script = Markup(Path(__file__).with_name("templates").joinpath("trees.js").read_text(encoding="utf-8"))
    digest = b64encode(hashlib.sha256(str(script).encode("utf-8")).digest()).decode("ascii")
    return environment.get_template("trees.html").render(
        title=title,
        head=_block({"result": dict(result), "left_out": left_out, "problems": index, "bins": BINS}),
        blocks=blocks,
        script=script,
        digest=digest,
        light=Markup(css_variables(dark=False)),
        dark=Markup(css_variables(dark=True)),
        bins=BINS,
    )


def _searched(run: Path, folder: Path) -> Iterator[Searched]:
    problems = {r["id"]: r for r in _records(folder / "problems.jsonl")}
    trees = run if run.is_file() else folder / FILES[0]
    if trees.is_file():
        solutions = {r["problem"]: r for r in _records(folder / "solutions.jsonl")}
        for _, tree in read_jsonl(trees, {"problem": str, "nodes": list}):
            yield Searched(tree, solutions.get(tree["problem"], {}), problems.get(tree["problem"], {}))
        return
    parts = {}
    for _, line in scan_jsonl(folder / FILES[1]):
        if isinstance(line, RecordError):
            break  # torn where the run was killed
        if "solution" in line:
            parts[line["at"]] = line
    if not parts:
        raise InputError(f"{folder}: the run in it has finished no problem yet. Start it again, or wait.")
    for at in sorted(parts):
        tree = parts[at]["tree"]
        yield Searched(tree, parts[at]["solution"], problems.get(tree["problem"], {}))


def _records(path: Path) -> list[Record]:
    return [record for _, record in read_jsonl(path)] if path.is_file() else []


def _json(path: Path) -> Record:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _block(value: Any) -> Markup:
    """JSON that no HTML parser can take for anything else."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)
