"""Generated word problems: a chain of 2-8 dependent operations told as a short story with distractors.

A problem is a list of *nodes*, each one operation on two earlier numbers (numbers given in the text or
results of earlier nodes); the last node is the answer. Every number of a problem, given, distracting or
computed, occurs once, so a line of a solution says without doubt which numbers it uses. A solution is
one operation a line (`12*7=84`) and a last line `Answer: 84`. The truth about the lines of an attempt is
in `arithmetic_oracle.py`. Left out: fractions, negative numbers, units.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from preceptor.trace import Problem, content_id, stream_seed

NAMES = ("Mia", "Tom", "Ana", "Sam", "Leo", "Zoe", "Ben", "Ivy")
ITEMS = ("pens", "books", "apples", "cards", "coins", "shells", "eggs", "cups")
HOLDERS = ("boxes", "bags", "trays", "jars")
SPLITS = {"test": (0,), "dev": (1,), "train": tuple(range(2, 10))}
"""A problem belongs to the split that its content hash modulo 10 falls in."""

OPERATIONS = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a // b if b and a % b == 0 else None,
}

GAINS = ("{n} buys {b} more {i}.", "{n} finds {b} {i}.", "A friend gives {n} {b} {i}.")
LOSSES = ("{n} gives away {b} {i}.", "{n} loses {b} {i}.", "{n} sells {b} {i}.")
DISTRACTIONS = (
    "{m} has {d} {j}.",
    "{n} is {d} years old.",
    "There are {d} chairs in the room.",
    "The shop is {d} miles away.",
)


@dataclass
class _Story:
    """A problem under construction; fails (returns False) rather than break a rule."""

    rng: random.Random
    largest: int
    name: str
    item: str
    sentences: list[str] = field(default_factory=list)
    givens: list[int] = field(default_factory=list)
    nodes: list[tuple[str, str, str]] = field(default_factory=list)
    values: dict[str, int] = field(default_factory=dict)
    total: str = ""
    """Reference of the running total: "g0" for a given number, "n0" for a node."""

    def give(self, low: int, high: int) -> str | None:
        free = [v for v in range(low, high + 1) if v not in self.values.values()]
        if not free:
            return None
        ref = f"g{len(self.givens)}"
        self.givens.append(self.rng.choice(free))
        self.values[ref] = self.givens[-1]
        return ref

    def compute(self, op: str, left: str, right: str) -> str | None:
        value = OPERATIONS[op](self.values[left], self.values[right])
        if value is None or not 2 <= value <= self.largest or value in self.values.values():
            return None
        ref = f"n{len(self.nodes)}"
        self.nodes.append((op, left, right))
        self.values[ref] = value
        return ref

    def tell(self, template: str, **words: Any) -> None:
        self.sentences.append(template.format(n=self.name, i=self.item, **words))


def _start(story: _Story, product: bool) -> bool:
    a = story.give(2, 12 if product else 50)
    if a is None:
        return False
    if not product:
        story.total = a
        story.tell("{n} has {a} {i}.", a=story.values[a])
        return True
    b = story.give(2, 12)
    total = b and story.compute("*", a, b)
    if not b or not total:
        return False
    story.total = total
    story.tell(
        "{n} has {a} {h} with {b} {i} each.",
        a=story.values[a],
        b=story.values[b],
        h=story.rng.choice(HOLDERS),
    )
    return True


def _one_step(story: _Story, kind: str) -> bool:
    """An event that costs one operation: gain, loss, trade or share."""
    op, low, high = {"gain": ("+", 2, 50), "loss": ("-", 2, 50), "trade": ("*", 2, 6), "share": ("/", 2, 9)}[
        kind
    ]
    b = story.give(low, high)
    total = b and story.compute(op, story.total, b)
    if not b or not total:
        return False
    story.total = total
    value = story.values[b]
    if kind == "gain":
        story.tell(story.rng.choice(GAINS), b=value)
    elif kind == "loss":
        story.tell(story.rng.choice(LOSSES), b=value)
    elif kind == "trade":
        new = story.rng.choice([i for i in ITEMS if i != story.item])
        story.tell("{n} trades each of the {i} for {b} {new}.", b=value, new=new)
        story.item = new
    else:
        story.tell(
            "{n} puts the {i} equally into {b} {h} and keeps one of them.",
            b=value,
            h=story.rng.choice(HOLDERS),
        )
    return True


def _two_steps(story: _Story, kind: str) -> bool:
    """An event that costs a product and then a sum or a difference."""
    a, b = story.give(2, 12), story.give(2, 12)
    product = a and b and story.compute("*", a, b)
    total = product and story.compute("+" if kind == "delivery" else "-", story.total, product)
    if not a or not b or not total:
        return False
    story.total = total
    x, y = story.values[a], story.values[b]
    if kind == "delivery":
        story.tell("{n} buys {a} {h} with {b} {i} each.", a=x, b=y, h=story.rng.choice(HOLDERS))
    else:
        story.tell("{n} gives {b} {i} to each of {a} friends.", a=x, b=y)
    return True


def _distract(story: _Story, times: int) -> bool:
    for template in story.rng.sample(DISTRACTIONS, times):
        d = story.give(2, 50)
        if d is None:
            return False
        other = story.rng.choice([i for i in ITEMS if i != story.item])
        friend = story.rng.choice([n for n in NAMES if n != story.name])
        sentence = template.format(n=story.name, m=friend, j=other, d=story.values[d])
        story.sentences.insert(story.rng.randint(1, len(story.sentences)), sentence)
    return True


def _tell(rng: random.Random, operations: int, distractors: int, largest: int) -> _Story | None:
    story = _Story(rng, largest, rng.choice(NAMES), rng.choice(ITEMS))
    if not _start(story, product=rng.random() < 0.4):
        return None
    while len(story.nodes) < operations:
        room = operations - len(story.nodes)
        kind = rng.choice(("gain", "loss", "trade", "share") + (("delivery", "handout") if room > 1 else ()))
        event = _two_steps if kind in ("delivery", "handout") else _one_step
        if not event(story, kind):
            return None
    if not _distract(story, distractors):
        return None
    story.tell("How many {i} does {n} have now?")
    return story


def solution(givens: list[int], nodes: list[tuple[str, str, str]]) -> tuple[str, ...]:
    """The lines of the right solution in the order of the nodes, the answer line included."""
    values = {f"g{i}": v for i, v in enumerate(givens)}
    lines = []
    for k, (op, left, right) in enumerate(nodes):
        a, b = values[left], values[right]
        values[f"n{k}"] = OPERATIONS[op](a, b)
        lines.append(f"{a}{op}{b}={values[f'n{k}']}\n")
    return (*lines, f"Answer: {values[f'n{len(nodes) - 1}']}\n")


def _problem(story: _Story) -> Problem:
    meta = {"givens": story.givens, "nodes": [list(n) for n in story.nodes]}
    gold = str(story.values[story.total])
    prompt = " ".join(story.sentences)
    return Problem(
        prompt=prompt,
        gold=gold,
        id="arithmetic-" + content_id(prompt, gold),
        world="arithmetic",
        grader="numeric",
        segmenter="line",
        reference=solution(story.givens, story.nodes),
        meta=meta,
    )


def generate(
    split: str, seed: int, *, operations: tuple[int, int], distractors: tuple[int, int], largest: int
) -> Iterator[Problem]:
    """An endless stream of distinct problems of one split; ranges are inclusive."""
    if split not in SPLITS:
        raise ValueError(f"split: got {split!r}, expected one of {sorted(SPLITS)}")
    if not 1 <= operations[0] <= operations[1] <= 8:
        raise ValueError(f"operations: got {operations}, expected a range within 1..8")
    if not 0 <= distractors[0] <= distractors[1] <= len(DISTRACTIONS):
        raise ValueError(f"distractors: got {distractors}, expected a range within 0..{len(DISTRACTIONS)}")
    rng = random.Random(stream_seed("arithmetic", split, seed, operations, distractors, largest))
    seen: set[str] = set()
    while True:
        # The smaller of two draws: short problems are more common than long ones, as in real collections.
        count = min(rng.randint(*operations), rng.randint(*operations))
        distractions = rng.randint(*distractors)
        story = None
        while story is None:
            story = _tell(rng, count, distractions, largest)
        problem = _problem(story)
        if int(content_id(problem.id), 16) % 10 in SPLITS[split] and problem.id not in seen:
            seen.add(problem.id)
            yield problem
