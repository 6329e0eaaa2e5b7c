"""MR-RLVR: fill what was masked, put steps back in order; a stage before RL on outcomes (abstract index 120).

From a solution two kinds of tasks, which need no label:

- `masked`: some numbers (or what `pattern` finds) are replaced by [1], [2], ...; the policy writes a line `[k] value`
  each; reward = share of them that match, as equal text or equal numbers. A blank that is answered twice counts 0.
- `reordered`: the steps in a shuffled, numbered list; the policy writes the numbers in the right order on a line
  `Order:`; reward = share of positions that are right, or with `distance="kendall"` the share of pairs in the right
  order. Equal steps are interchangeable; an answer that is no order of all the steps gets 0.

The exact distances were not found; positions are the default. Reversing n steps gives 0 for even n, 1/n for odd n
(the middle one stays), and by Kendall 0 always. How much to mask: not found, half is ours. Prompts are ours.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

from preceptor.annotate.judges.verdict import fill
from preceptor.errors import InputError
from preceptor.grade import equivalent
from preceptor.learn.data.hooks import Item, Source, about
from preceptor.trace import Problem, stream_seed

Distance = Literal["positions", "kendall"]
NUMBER = re.compile(r"(?<![\w.])\d{1,12}(?:\.\d{1,6})?(?![\w.]\d)", re.ASCII)
MASKED = """{problem}

In this solution some parts are hidden behind [1], [2], ...:
{solution}
Write each hidden part on a line of its own, as `[1] ...`."""
SHUFFLED = """{problem}

These are the steps of a solution in a wrong order:
{solution}
Write their numbers in the right order on one line, as `Order: 2 3 1`."""
_FILL = re.compile(r"^[ \t]*\[(\d{1,4})\][ \t]*(\S[^\n]{0,400})$", re.MULTILINE | re.ASCII)
_ORDER = re.compile(r"^[ \t]*order:([ \t,\d]{1,2000})$", re.MULTILINE | re.IGNORECASE | re.ASCII)


def masked(
    problem: Problem, *, share: float = 0.5, seed: int = 0, pattern: re.Pattern[str] = NUMBER
) -> Problem | None:
    """The task of filling `share` of what `pattern` finds in the reference (at least one); None where it finds
    nothing."""
    text = "".join(problem.reference)
    places = [m.span() for m in pattern.finditer(text)]
    if not places:
        return None
    rng = random.Random(stream_seed("mr-mask", seed, problem.id))
    chosen = sorted(rng.sample(places, max(1, round(share * len(places)))))
    shown, at = "", 0
    for k, (a, b) in enumerate(chosen, 1):
        shown, at = shown + text[at:a] + f"[{k}]", b
    hidden = [text[a:b] for a, b in chosen]
    task = about(problem, fill(MASKED, problem=problem.prompt, solution=shown + text[at:]), "mr-masked")
    return replace(task, meta={"of": problem.id, "task": "masked", "hidden": hidden})


def masked_reward(text: str, hidden: Sequence[str]) -> float:
    """Share of the hidden parts that `text` gives, each on one line `[k] value`."""
    said: dict[int, list[str]] = {}
    for found in _FILL.finditer(text):
        said.setdefault(int(found[1]), []).append(found[2].strip())
    right = sum(
        len(said.get(k, ())) == 1 and (said[k][0] == part or equivalent("numeric", said[k][0], part).correct)
        for k, part in enumerate(hidden, 1)
    )
    return right / len(hidden)


def reordered(problem: Problem, *, seed: int = 0) -> Problem | None:
    """The task of ordering the reference's steps; None where no other order of them exists."""
    steps = [s.strip() for s in problem.reference]
    if len(set(steps)) < 2:
        return None
    rng = random.Random(stream_seed("mr-order", seed, problem.id))
    places = list(range(len(steps)))
    while [steps[i] for i in places] == steps:
        rng.shuffle(places)
    shown = "\n".join(f"{k}) {steps[i]}" for k, i in enumerate(places, 1))
    task = about(problem, fill(SHUFFLED, problem=problem.prompt, solution=shown), "mr-reordered")
    return replace(
        task,
        meta={"of": problem.id, "task": "reordered", "shown": [steps[i] for i in places], "steps": steps},
    )


def order_of(text: str) -> list[int] | None:
    """The numbers of the one line `Order:`; None without one, or with several."""
    lines = _ORDER.findall(text)
    return [int(n[:6]) for n in re.findall(r"\d+", lines[0])] if len(lines) == 1 else None


def order_reward(
    text: str, shown: Sequence[str], steps: Sequence[str], distance: Distance = "positions"
) -> float:
    """Share right of the order that `text` gives; 0 where it gives none. `shown`: the steps as they were numbered."""
    order = order_of(text)
    if order is None or sorted(order) != list(range(1, len(steps) + 1)):
        return 0.0
    given = [shown[k - 1] for k in order]
    if distance == "positions":
        return sum(a == b for a, b in zip(given, steps, strict=True)) / len(steps)
    free: dict[str, list[int]] = {}
    for i, step in enumerate(steps):
        free.setdefault(step, []).append(i)
    places = [free[step].pop(0) for step in given]
    pairs = list(combinations(places, 2))
    return sum(a < b for a, b in pairs) / len(pairs)


@dataclass(frozen=True)
class MRRLVR:
    """Hook: every other problem becomes a masked task, the others reordered ones; their rewards for outcomes."""

    share: float = 0.5
    distance: Distance = "positions"
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1 or self.distance not in ("positions", "kendall"):
            raise InputError(
                f"mr_rlvr: got {self!r}, expected share in (0, 1] and distance 'positions' or 'kendall'."
            )

    def prepare(self, problems: Sequence[Problem], step: int) -> list[Problem]:
        """The kind of task changes from step to step. InputError where a reference gives no task."""
        return [self._task(p, step) for p in problems]

    def _task(self, problem: Problem, step: int) -> Problem:
        seed = stream_seed(self.seed, step)
        fills = stream_seed("mr-kind", seed, problem.id) % 2 == 0
        both = (masked(problem, share=self.share, seed=seed), reordered(problem, seed=seed))
        task = both[0 if fills else 1] or both[1 if fills else 0]
        if task is None:
            raise InputError(
                f"problem {problem.id}: its reference has nothing to mask and no steps to reorder."
            )
        return task

    def amend(self, items: Sequence[Item], source: Source) -> list[Item]:
        return [replace(x, outcome=None if x.trace.error else self.reward(x)) for x in items]

    def reward(self, item: Item) -> float:
        meta, text = item.trace.problem.meta, item.trace.text
        if meta["task"] == "masked":
            return masked_reward(text, meta["hidden"])
        return order_reward(text, meta["shown"], meta["steps"], self.distance)
