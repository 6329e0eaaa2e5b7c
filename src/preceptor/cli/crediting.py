"""`preceptor credit`: the credit methods, what each is made of, what it needs and what it is known to pay for.

The biases and the runs in the hack world are those of docs/credit.md, stored in `credit_results.json`
(`python scripts/credit_page.py` writes both).
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from preceptor.cli import console
from preceptor.cli.options import AsJson
from preceptor.errors import InputError

if TYPE_CHECKING:
    from preceptor.credit import CreditConfig

RESULTS = Path(__file__).with_name("credit_results.json")
BIASES = ("step count", "shift", "telescopes", "a repeat")
KINDS = ("from memory", "not found", "not confirmed", "ours")
"""What a mark can say, the first that fits."""
PLACES = {
    "treeps_rag": "a tree of rollouts",
    "attnrl": "a tree of rollouts",
    "slate": "a tree of next steps",
    "r3l": "first attempts, a quarter of --generations, and what reflection makes of them",
}
"""Methods with a sampler of their own, variants included."""
BESIDE = {
    "cooper": "the reward model learns along",
    "echo": "`outcome`, and beside it the learner's loss on what a world replies: with --episodes",
    "prime": "without --scorer the reward model learns along",
    "oprl": "without --scorer the reward model learns along",
    "r3l": "the policy reflects and retries; the loss has no ratio",
    "scrl": "problems of the world arithmetic: their subproblems are asked for and graded",
}
FLAGS = {"echo": " --episodes"}
"""What a method's command cannot do without."""


def credit(
    name: Annotated[
        str | None, typer.Argument(help="One method, in full; all as a table when left out.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the methods of credit assignment, or describe one: its streams, what it needs, what is not from its
    publication, which biases it has and what it does in a world whose scorer can be fooled.

    Run one with `preceptor learn --method NAME`. docs/credit.md explains the columns.

    \b
      preceptor credit
      preceptor credit pure --json
    """
    from preceptor.credit import METHODS

    if name is not None and name not in METHODS:
        near = difflib.get_close_matches(name, METHODS, n=3)
        meant = f" Did you mean {' or '.join(near)}?" if near else ""
        raise InputError(
            f"credit: got {name!r}, expected one of the {len(METHODS)} names of `preceptor credit`.{meant}"
        )
    if name is not None:
        found = record_of(name)
        console.emit(found, as_json, described(found))
        return
    records = [record_of(key) for key in METHODS]
    console.emit({"methods": records}, as_json, "" if as_json else table(records))


def record_of(name: str) -> dict[str, Any]:
    """Everything that is known of a method, as JSON values."""
    from preceptor.credit import MARKS, METHODS
    from preceptor.learn.parts import helper

    config, stored = METHODS[name], results().get(name)
    return {
        "method": name,
        "what": None if stored is None else stored["what"],
        "streams": [stream_words(s) for s in config.streams],
        "besides": besides(config),
        "needs": sorted(n.removeprefix("scalars.") for n in config.needs),
        "scorer": helper(name) or None,
        "sampler": next(
            (what for key, what in PLACES.items() if name == key or name.startswith(f"{key}_")), None
        ),
        "note": BESIDE.get(name),
        "marks": list(MARKS.get(name, ())),
        "biases": None if stored is None else {key: stored[key] for key in BIASES},
        "world": None
        if stored is None
        else {key: stored[key] for key in ("verdict", "accuracy", "steps", "oracle")},
    }


@cache
def results() -> dict[str, dict[str, str]]:
    """Method -> cells of the table in docs/credit.md."""
    found: dict[str, dict[str, str]] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return found


def stream_words(stream: Any) -> str:
    """One stream in words.

    >>> from preceptor.credit import METHODS
    >>> stream_words(METHODS["progress"].streams[1])
    'progress > center (share, leave one out)'
    """
    text = " > ".join(part_words(part) for part in (stream.source, *stream.ops))
    weight = "" if stream.weight == 1.0 else f"{stream.weight:.3g} x "
    return weight + text + (" [at the end]" if stream.on == "end" else "")


def besides(config: CreditConfig) -> list[str]:
    """What is done before and after the streams."""
    found = [] if config.before is None else [f"before: {part_words(config.before)}"]
    found += [f"after: {part_words(op)}" for op in config.after]
    if config.keep != "decided":
        found.append(
            {"informative": "keep: prompts that teach", "judged": "keep: undecided rollouts too"}[config.keep]
        )
    if config.shared == "once":
        found.append("shared prefixes are trained on once")
    if config.clip is not None:
        found.append(f"clip: {part_words(config.clip)}")
    if config.aggregation != "token_mean":
        found.append(f"loss: {config.aggregation.replace('_', ' ')}")
    return found


def part_words(part: Any) -> str:
    """A part's name, with the settings that are not its defaults; of `Center` those that say what it compares."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", type(part).__name__).lower()
    if name == "center":
        told = [part.unit, part.form.replace("_", " "), *([] if part.scale == "none" else [part.scale])]
        return f"center ({', '.join(told)})"
    if name == "add":
        return "add outcome"
    if name == "scalar":
        return str(part.name)
    told = [f"{f.name} {_value(getattr(part, f.name))}" for f in fields(part) if _changed(part, f)]
    return name + (f" ({', '.join(told)})" if told else "")


def _changed(part: Any, field: Any) -> bool:
    if field.default is not MISSING:
        return bool(getattr(part, field.name) != field.default)
    return field.default_factory is MISSING or getattr(part, field.name) != field.default_factory()


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return "+".join(_value(v) for v in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}"
    return part_words(value) if is_dataclass(value) else str(value)


def marks_in_short(marks: list[str]) -> str:
    """Which kinds of marks a row has.

    >>> marks_in_short(["weights: (from memory)", "tau: not found, ours"])
    'from memory, not found'
    """
    kinds = {next((kind for kind in KINDS if kind in mark), "ours") for mark in marks}
    return ", ".join(kind for kind in KINDS if kind in kinds)


def biases_in_short(biases: dict[str, str]) -> str:
    """Those that there are: `steps` and `shift` with their size, `repeats` with the gain of one (and of eight)."""
    size = re.search(r"\(([\d.]+)\)", biases["step count"])
    return ", ".join(
        [
            *([f"steps {size[1]}"] if size else []),
            *([f"shift {biases['shift']}"] if biases["shift"] not in ("0", "") else []),
            *(
                [f"repeats {biases['a repeat'].replace(', ', '/')}"]
                if biases["a repeat"] not in ("0", "")
                else []
            ),
        ]
    )


def table(records: list[dict[str, Any]]) -> str:
    """One line a method; the streams last, since they are long."""
    head = ("method", "needs", "not published", "biases", "in the world", "streams")
    rows = [
        (
            r["method"],
            ", ".join(r["needs"]),
            marks_in_short(r["marks"]) or "-",
            "not stored" if r["biases"] is None else biases_in_short(r["biases"]) or "-",
            "not stored" if r["world"] is None else r["world"]["verdict"],
            " + ".join(r["streams"]),
        )
        for r in records
    ]
    widths = [max(len(line[i]) for line in (head, *rows)) for i in range(len(head) - 1)]
    lines = ["  ".join([*(c.ljust(w) for c, w in zip(row, widths)), row[-1]]) for row in (head, *rows)]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def described(record: dict[str, Any]) -> str:
    """One method in full."""
    shown = {
        "streams": "\n".ljust(17).join(f"+ {s}" if i else s for i, s in enumerate(record["streams"])),
        "besides": "; ".join(record["besides"]),
        "needs": ", ".join(record["needs"]),
        "--scorer": record["scorer"],
        "sampled as": record["sampler"],
        "note": record["note"],
        **(record["biases"] or {"biases": "not stored"}),
    }
    world = record["world"]
    if world is not None:
        steps = f", steps {world['steps']}" if world["steps"] else ""
        shown["in the world"] = (
            f"{world['verdict']} (accuracy {world['accuracy'] or '-'}{steps}; with an oracle {world['oracle'] or '-'})"
        )
    lines = [f"{record['method']}: {record['what'] or 'no description stored'}", ""]
    lines += [f"  {key:<14}{value}" for key, value in shown.items() if value]
    if record["marks"]:
        lines += ["", "not from the publication:", *(f"  - {mark}" for mark in record["marks"])]
    word = FLAGS.get(record["method"], "") + ("" if record["scorer"] is None else " --scorer WORD")
    return "\n".join(
        [*lines, "", f"preceptor learn --method {record['method']}{word} --policy P --problems D --out DIR"]
    )
