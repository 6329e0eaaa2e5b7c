"""Problems from a specification: a generated world, a file of problems, or a known data set's folder.

    world:NAME                         64 problems of its test split
    world:NAME?split=dev&largest=50    options of the world's `problems`
    FILE.jsonl, FILE.json, FILE.csv    every problem in the file; `.gz` is read transparently
    DIRECTORY                          its `test` file if there is one, else all its data files
    DIRECTORY?split=train              the file of that name

The form of a file is told by the fields of its first record (`SCHEMAS`), and then every record must have it.
Data sets with several solutions of one problem give each problem once. Left out: Hub names, other fields.
"""

from __future__ import annotations

import csv
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from preceptor.errors import InputError, RecordError
from preceptor.grade import GRADERS
from preceptor.segment import SEGMENTERS
from preceptor.trace import Problem, stream_seed
from preceptor.worlds import readers
from preceptor.worlds.records import Row, read_rows
from preceptor.worlds.twentyfour import puzzle

PROMPTS = ("prompt", "question", "problem", "input")
GOLDS = ("gold", "answer", "target", "ground_truth", "final_answer")
IDS = ("id", "unique_id", "problem_id")
"""A bare running number such as `idx` is no identity; without one of these the content is hashed."""
DATA_FILES = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".csv")


@dataclass(frozen=True)
class Schema:
    """One known form of a record."""

    fields: tuple[str, ...]
    """Fields by which it is known."""
    read: Callable[[Row], Problem]
    repeats: bool = False
    """Whether the published data has several records of one problem; otherwise that is an error."""
    when: Callable[[dict[str, Any]], bool] = lambda fields: True
    """Told apart by more than field names."""


def load_problems(spec: str, n: int | None = None, seed: int = 0) -> list[Problem]:
    """The problems `spec` names; with `n`, that many of them, drawn by `seed` and kept in file order.

    A draw depends on the problems and the seed alone, and a smaller `n` gives a subset of a larger one.
    Raises `InputError` for an unknown specification or fewer than `n` problems, and `RecordError` for the
    first bad record.
    """
    if n is not None and n < 1:
        raise InputError(f"n: got {n}, expected at least 1")
    if spec.startswith("world:"):
        problems = _world(spec.removeprefix("world:"), n, seed)
    else:
        problems = [p for path in _files(spec) for p in read_problems(path)]
        _check_distinct(problems, spec)
    if n is None or n == len(problems):
        return problems
    if n > len(problems):
        raise InputError(
            f"{spec}: got n={n}, but it has {len(problems)} problems. Ask for at most that many."
        )
    drawn = sorted(problems, key=lambda p: stream_seed("load", seed, p.id))[:n]
    kept = {p.id for p in drawn}
    return [p for p in problems if p.id in kept]


def read_problems(path: str | Path) -> list[Problem]:
    """All problems of one file."""
    path = Path(path)
    if path.suffix == ".csv":
        return _game24(path)
    schema: Schema | None = None
    found: dict[str, Problem] = {}
    lines: dict[str, int] = {}
    for row in read_rows(path):
        schema = schema or _schema(row)
        for field in schema.fields:
            if field not in row.fields:
                got = f"no such field among {sorted(row.fields)[:12]}"
                raise row.bad(field, got, f"the fields of the first record: {', '.join(schema.fields)}")
        problem = schema.read(row)
        if problem.id not in found:
            found[problem.id], lines[problem.id] = problem, row.line
        elif not schema.repeats:
            got = f"the id or the content of line {lines[problem.id]} again"
            raise row.bad(_known(row, IDS) or _known(row, PROMPTS) or "", got, "distinct problems")
    return list(found.values())


def _math(row: Row) -> Problem:
    reference = tuple(part for part in row.text("solution").split("\n\n") if part.strip())
    meta: dict[str, Any] = {
        name: row.get(name, str, int) for name in ("level", "subject") if name in row.fields
    }
    return replace(_plain(row), world="math", segmenter="blank_line", reference=reference, meta=meta)


def _plain(row: Row) -> Problem:
    """A prompt and a gold answer under one of the usual names, and our own optional fields."""
    prompt, gold = _known(row, PROMPTS) or PROMPTS[0], _known(row, GOLDS)
    own = {name: row.text(name) for name in ("world", "grader", "segmenter") if row.fields.get(name)}
    for name, known in (("grader", GRADERS), ("segmenter", SEGMENTERS)):
        if name in own and own[name] not in known and not own[name].startswith("marker:"):
            raise row.bad(name, repr(own[name]), f"one of {sorted(known)}")
    named = _known(row, IDS)
    return Problem(
        row.text(prompt),
        None if gold is None else _gold(row, gold),
        "" if named is None else str(row.get(named, str, int)),
        reference=tuple(row.texts("reference")) if row.fields.get("reference") else (),
        meta=row.get("meta", dict) if "meta" in row.fields else {},
        **own,
    )


def _gold(row: Row, field: str) -> str | None:
    value = row.get(field, str, float, type(None))
    if value is None and field != "gold":
        raise row.bad(field, "null", "text or a number", "Write 'gold': null where there is no gold answer.")
    return None if value is None else row.text(field) if isinstance(value, str) else str(value)


def _known(row: Row, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in row.fields), None)


def _ends_in_gold(fields: dict[str, Any]) -> bool:
    return isinstance(fields["answer"], str) and fields["answer"].split("\n")[-1].startswith("#### ")


def _has_models(fields: dict[str, Any]) -> bool:
    return any(isinstance(v, dict) and {"is_correct", "solution"} <= set(v) for v in fields.values())


SCHEMAS: dict[str, Schema] = {
    "processbench": Schema(("problem", "steps", "label"), readers.processbench_problem, True),
    "prmbench": Schema(("modified_question", "modified_process", "idx"), readers.prmbench_problem, True),
    "bigbench_mistake": Schema(("input", "steps", "target"), readers.bigbench_problem, True),
    "bon_pools": Schema(("problem_id", "question", "ground_truth", "candidates"), readers.bon_problem),
    "gsm8k solutions": Schema(("question", "ground_truth"), readers.gsm8k_solved_problem, when=_has_models),
    "gsm8k": Schema(("question", "answer"), readers.gsm8k_problem, when=_ends_in_gold),
    "math": Schema(("problem", "solution", "answer"), _math),
    "prompt and gold": Schema(("prompt",), _plain),
    **{f"{prompt} and {gold}": Schema((prompt, gold), _plain) for prompt in PROMPTS[1:] for gold in GOLDS},
}
"""Known forms; the first that fits is taken."""


def _schema(row: Row) -> Schema:
    for schema in SCHEMAS.values():
        if set(schema.fields) <= set(row.fields) and schema.when(row.fields):
            return schema
    known = "; ".join(f"{name}: {', '.join(s.fields)}" for name, s in list(SCHEMAS.items())[:8])
    raise RecordError(
        row.path,
        row.line,
        None,
        f"a record with the fields {sorted(row.fields)[:20]}",
        f"one of {list(PROMPTS)} with one of {list(GOLDS)}, or a known data set ({known})",
        "Rename the fields.",
    )


def _files(spec: str) -> list[Path]:
    """The data files of a path, or of `PATH?split=NAME`."""
    path, split = Path(spec), None
    if not path.exists() and "?split=" in spec:
        place, _, split = spec.rpartition("?split=")
        path = Path(place)
    if path.is_file() and split is None:
        return [path]
    if not path.is_dir():
        raise InputError(
            f"problems: got {spec!r}, expected world:NAME, a file or a folder (with ?split=NAME). "
            "Check the path."
        )
    files = {p.name.split(".")[0]: p for p in sorted(path.iterdir()) if p.name.endswith(DATA_FILES)}
    wanted = split or ("test" if "test" in files else "24" if "24" in files else None)
    if wanted is None and files:
        return list(files.values())
    if wanted not in files:
        raise InputError(
            f"{path}: got split {wanted}, expected one of {sorted(files)} ({', '.join(DATA_FILES)})"
        )
    return [files[wanted]]


def _check_distinct(problems: list[Problem], spec: str) -> None:
    seen: set[str] = set()
    for problem in problems:
        if problem.id in seen:
            raise InputError(
                f"{spec}: got problem {problem.id!r} in two files, expected distinct ones. Name one file."
            )
        seen.add(problem.id)


def _game24(path: Path) -> list[Problem]:
    """The puzzle list of Tree of Thoughts (arXiv 2305.10601): a column `Puzzles` with four numbers a row."""
    found: dict[str, Problem] = {}
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            for line, fields in enumerate(csv.DictReader(file), start=2):
                row = Row(path, line, dict(fields))
                text = row.text("Puzzles").split()
                if len(text) != 4 or not all(
                    t.isascii() and t.isdigit() and 1 <= int(t[:4]) <= 13 for t in text
                ):
                    raise row.bad("Puzzles", repr(fields["Puzzles"]), "four numbers from 1 to 13")
                problem = puzzle([int(t) for t in text])
                if problem.id in found:
                    raise row.bad("Puzzles", f"{problem.id} again", "distinct puzzles")
                found[problem.id] = problem
    except (OSError, UnicodeDecodeError, csv.Error) as e:
        raise InputError(f"{path}: got {e}, expected a readable CSV file in UTF-8. Check the path.") from e
    if not found:
        raise InputError(f"{path}: got no row, expected a CSV file with a column 'Puzzles'.")
    return list(found.values())


def _world(text: str, n: int | None, seed: int) -> list[Problem]:
    from preceptor.worlds import WORLDS

    name, _, query = text.partition("?")
    if name not in WORLDS:
        raise InputError(f"world: got {name!r}, expected one of {sorted(WORLDS)}")
    make = WORLDS[name].problems
    options = {key: _value(value) for key, value in parse_qsl(query, keep_blank_values=True)}
    known = set(inspect.signature(make).parameters) - {"n", "seed"}
    if unknown := sorted(set(options) - known):
        raise InputError(f"world:{name}: got options {unknown}, expected some of {sorted(known)}")
    if n is not None:
        options["n"] = n
    try:
        return list(islice(make(seed=seed, **options), n))
    except (ValueError, TypeError) as e:
        raise InputError(f"world:{name}: {e}. Options were {options}.") from e


def _value(text: str) -> Any:
    """A number, a truth value or a list where it reads as one, else the text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return tuple(value) if isinstance(value, list) else value
