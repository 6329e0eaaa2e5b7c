"""Fit, tuning and evaluation sides of labelled solutions, split by problem, and a check that nothing leaks.

A problem is its prompt without case, white space and ways to write a number or a formula. Beyond equal prompts,
a training row is left out if SHINGLE words in a row of an evaluation problem stand in its prompt or its solution.
Left out: problems that are the same but for their numbers or their wording.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from preceptor.errors import CheckFailed, InputError
from preceptor.judgement import NO_ERROR
from preceptor.trace import stream_seed
from preceptor.worlds.readers import LabelledTrace, read_bigbench_mistake, read_processbench
from preceptor.worlds.records import read_rows

SEED = 0
SHINGLE, SHORT = 13, 8
"""Words of a shingle; a prompt of fewer words is looked for as a whole if it has at least SHORT."""
TUNING = 5
"""Every fifth training problem of ProcessBench is kept for thresholds."""


def tokens(text: str) -> list[str]:
    """Words, numbers and symbols, without case, white space, LaTeX spacing, dollars and ways to write a number."""
    text = re.sub(r"(?<=\d)(?:,|\{,\}|\\!|\\,)+(?=\d{3})", "", text.lower())
    text = re.sub(r"\\[,;:! ]|\\(?:left|right|displaystyle|text)\b|[${}]", " ", text)
    text = re.sub(r"(?<![\d.])0+(?=\d)", "", text)
    text = re.sub(r"(\d+)\.0+(?!\d)", r"\1", text)
    text = re.sub(r"(\d+\.\d*?[1-9])0+(?!\d)", r"\1", text)
    return re.findall(r"\d+(?:\.\d+)?|[^\W\d_]+|[^\w\s]", text)


def normal(text: str) -> str:
    """Equal for prompts that are the same but for how they are written."""
    found = tokens(text)
    while found and found[-1] in ".?:":
        found.pop()
    return " ".join(found)


def words(text: str) -> list[str]:
    return [t for t in tokens(text) if t.isalnum() or t[0].isdigit()]


class Overlap:
    """Finds the prompts it was made of, or SHINGLE words of one in a row, in other texts."""

    def __init__(self, prompts: Iterable[str]):
        self.exact: set[str] = set()
        self.grams: dict[int, set[tuple[str, ...]]] = defaultdict(set)
        for prompt in prompts:
            self.exact.add(normal(prompt))
            own = words(prompt)
            if len(own) >= SHORT:
                n = min(len(own), SHINGLE)
                self.grams[n].update(tuple(own[i : i + n]) for i in range(len(own) - n + 1))

    def reason(self, prompt: str, text: str) -> str | None:
        """Why the item must not be used; None if it may."""
        if normal(prompt) in self.exact:
            return "same prompt"
        for name, own in (("prompt", words(prompt)), ("text", words(f"{prompt}\n{text}"))):
            for n, known in sorted(self.grams.items(), reverse=True):
                if any(tuple(own[i : i + n]) in known for i in range(len(own) - n + 1)):
                    shared = f"{SHINGLE} words of a prompt" if n == SHINGLE else "a whole short prompt"
                    return f"{shared} in the {name}"
        return None


@dataclass(frozen=True)
class Sides:
    """Fit and tuning are the training side."""

    fit: list[LabelledTrace]
    tuning: list[LabelledTrace]
    evaluation: list[LabelledTrace]
    removed: dict[str, int] = field(default_factory=dict)
    """Training rows that the overlap check took away, by set and reason."""

    @property
    def ids(self) -> dict[str, list[str]]:
        return {n: [f"{i.category}/{i.id}" for i in getattr(self, n)] for n in SIDES}

    def check(self) -> None:
        """Raise CheckFailed if a problem is on two sides."""
        sides = {n: {normal(i.trace.problem.prompt) for i in getattr(self, n)} for n in SIDES}
        for a, b in (("fit", "evaluation"), ("tuning", "evaluation"), ("fit", "tuning")):
            shared = sides[a] & sides[b]
            if shared:
                raise CheckFailed(
                    f"split: {len(shared)} problems are in {a} and in {b}, first {min(shared)!r}"
                )


SIDES = ("fit", "tuning", "evaluation")


def halves(items: Sequence[LabelledTrace]) -> dict[str, str]:
    """Side of each (normalised) prompt: half of each subset's problems is for evaluation, and every
    `TUNING`-th of the others for tuning. Fixed by the prompts, whatever their order."""
    subset: dict[str, str] = {}
    for item in sorted(items, key=lambda i: (i.category, i.id)):
        subset.setdefault(normal(item.trace.problem.prompt), item.category)
    side = {}
    for name in sorted(set(subset.values())):
        own = [p for p in subset if subset[p] == name]
        own.sort(key=lambda p: (stream_seed(SEED, "real-prm", p), p))
        cut = (len(own) + 1) // 2
        side |= dict.fromkeys(own[:cut], "evaluation")
        side |= {p: "fit" if i % TUNING else "tuning" for i, p in enumerate(own[cut:])}
    return side


def split(processbench: Sequence[LabelledTrace], others: Sequence[LabelledTrace]) -> Sides:
    """`others` are all for training, unless they overlap."""
    side = halves(processbench)
    out: dict[str, list[LabelledTrace]] = {name: [] for name in SIDES}
    for item in processbench:
        out[side[normal(item.trace.problem.prompt)]].append(item)
    removed: Counter[str] = Counter()

    def clean(rows: Sequence[LabelledTrace], against: Overlap, name: str) -> list[LabelledTrace]:
        kept = []
        for row in rows:
            why = against.reason(row.trace.problem.prompt, row.trace.text)
            if why is None:
                kept.append(row)
            else:
                removed[f"{name}, {row.trace.problem.world}: {why}"] += 1
        return kept

    held = Overlap(i.trace.problem.prompt for i in out["evaluation"])
    tuning = clean(out["tuning"], held, "tuning against evaluation")
    fit = clean([*out["fit"], *others], held, "fit against evaluation")
    fit = clean(fit, Overlap(i.trace.problem.prompt for i in tuning), "fit against tuning")
    sides = Sides(fit, tuning, out["evaluation"], dict(removed))
    sides.check()
    return sides


def read_sides(data: Path, rows: int | None = None) -> Sides:
    """Both data sets as they lie there, whichever subsets and tasks these are.

    `rows`: as many of every file at most, spread over it.
    """

    def some(found: list[LabelledTrace]) -> list[LabelledTrace]:
        return found if rows is None else found[:: max(1, len(found) // rows)][:rows]

    processbench = [
        i for f in sorted((data / "processbench").glob("*.json")) for i in some(read_processbench(f))
    ]
    mistakes = [
        i for f in sorted((data / "bigbench_mistake").glob("*.jsonl")) for i in some(read_bigbench_mistake(f))
    ]
    return split(processbench, mistakes)


def write_split(sides: Sides, data: Path, out: Path) -> None:
    """The subsets of tuning and evaluation as ProcessBench's own files, and what is where."""
    for name in ("tuning", "evaluation"):
        (out / name).mkdir(parents=True, exist_ok=True)
        own = defaultdict(set)
        for item in getattr(sides, name):
            own[item.category].add(item.id)
        for subset, ids in own.items():
            rows = [r.fields for r in read_rows(data / "processbench" / f"{subset}.json")]
            kept = [r for r in rows if str(r["id"]) in ids]
            (out / name / f"{subset}.json").write_text(json.dumps(kept), encoding="utf-8")
    record = {
        "removed": sides.removed,
        "sides": {n: counts(getattr(sides, n)) for n in SIDES},
        "evaluated_like_fit_but_for_numbers": alike(sides),
        "ids": sides.ids,
    }
    (out / "split.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def check_written(sides: Sides, out: Path) -> None:
    """Raise InputError if `out` holds another split than this one."""
    if json.loads((out / "split.json").read_text(encoding="utf-8"))["ids"] != sides.ids:
        raise InputError(
            f"{out}: got the files of another split, expected those of the data at hand. Use another --out, "
            "or remove it."
        )


def alike(sides: Sides) -> int:
    """Evaluation problems that are a fit problem with other numbers: these stay in, but should be known."""

    def shape(item: LabelledTrace) -> str:
        return re.sub(r"\d+(\.\d+)?", "0", normal(item.trace.problem.prompt))

    seen = {shape(i) for i in sides.fit}
    return len({i.trace.problem.prompt for i in sides.evaluation if shape(i) in seen})


def counts(items: Sequence[LabelledTrace]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for category in sorted({i.category for i in items}):
        own = [i for i in items if i.category == category]
        found[category] = {
            "traces": len(own),
            "problems": len({i.trace.problem.prompt for i in own}),
            "with_error": sum(i.judgement.first_error != NO_ERROR for i in own),
        }
    return found
