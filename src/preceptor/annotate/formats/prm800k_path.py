"""The path through a PRM800K line: which text of each step the solution went on with, and what else was rated."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from preceptor.worlds.records import Row

Ref = tuple[int, int | str]
"""Step, and the completion's index or "human"."""


@dataclass
class Path:
    texts: list[str] = field(default_factory=list)
    ratings: list[int | None] = field(default_factory=list)
    refs: list[Ref] = field(default_factory=list)
    alternatives: list[tuple[int, int, str, int]] = field(default_factory=list)
    """(step, completion, text, rating) of the rated completions off the path."""
    kept: list[dict[str, Any]] = field(default_factory=list)
    """The label steps as published, without the texts and ratings on the path."""


def path_of(label: Row, before: list[str] | None) -> Path:
    """The path of a line; `before` are its pre-generated steps. It ends where no text was taken."""
    path, open_ = Path(), True
    for i, fields in enumerate(label.get("steps", list)):
        step = label.inner(f"steps[{i}]", fields)
        path.kept.append(copy.deepcopy(fields))
        completions = [
            step.inner(f"completions[{k}]", c)
            for k, c in enumerate(step.get("completions", list, type(None)) or ())
        ]
        where = _taken(step, completions, before, i) if open_ else None
        if open_:
            _rated(path, i, completions, where)
        if where is None:
            open_ = False
            continue
        text, rating = _said(step, completions, where)
        path.texts.append(text)
        path.ratings.append(rating)
        path.refs.append((i, where))
        _strip(path.kept[-1], where)
    return path


def _taken(step: Row, completions: list[Row], before: list[str] | None, i: int) -> int | str | None:
    """Where the text that the solution went on with stands; None where there is none."""
    chosen = step.get("chosen_completion", int, type(None))
    if chosen is not None:
        if not 0 <= chosen < len(completions):
            raise step.bad("chosen_completion", str(chosen), f"an index below {len(completions)}")
        return int(chosen)
    if step.get("human_completion", str, dict, type(None)) is not None:
        return "human"
    if before is not None and i < len(before):
        same = [k for k, c in enumerate(completions) if c.get("text", str) == before[i]]
        return same[0] if same else None
    return None


def _said(step: Row, completions: list[Row], where: int | str) -> tuple[str, int | None]:
    if isinstance(where, int):
        return completions[where].get("text", str), _rating(completions[where])
    human = step.get("human_completion", str, dict)
    if isinstance(human, str):
        return human, None
    inner = step.inner("human_completion", human)
    return inner.get("text", str), _rating(inner) if "rating" in human else None


def _rating(row: Row) -> int | None:
    rating: int | None = row.get("rating", int, type(None))
    if rating not in (None, -1, 0, 1):
        raise row.bad("rating", str(rating), "-1, 0, 1 or null")
    return rating


def _rated(path: Path, i: int, completions: list[Row], where: int | str | None) -> None:
    for k, completion in enumerate(completions):
        rating = _rating(completion)
        if k != where and rating is not None:
            path.alternatives.append((i, k, completion.get("text", str), rating))


def _strip(step: dict[str, Any], where: int | str) -> None:
    """Take out what the trace and the ratings say."""
    if isinstance(where, int):
        del step["completions"][where]["text"], step["completions"][where]["rating"]
    elif isinstance(step["human_completion"], str):
        step["human_completion"] = ""
    else:
        del step["human_completion"]["text"]


def refill(
    steps: list[dict[str, Any]], refs: list[list[Any]], texts: list[str], ratings: list[int | None]
) -> None:
    """Put the path's texts and ratings back into the label steps."""
    for (i, where), text, rating in zip(refs, texts, ratings, strict=False):
        if where != "human":
            steps[i]["completions"][where] |= {"text": text, "rating": rating}
        elif isinstance(steps[i]["human_completion"], str):
            steps[i]["human_completion"] = text
        else:
            steps[i]["human_completion"]["text"] = text
            if "rating" in steps[i]["human_completion"]:
                steps[i]["human_completion"]["rating"] = rating
