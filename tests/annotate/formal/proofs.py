"""Generated proofs, right and corrupted, with the independent truth of the world `deduction`."""

from __future__ import annotations

import itertools
import random
import re

from preceptor.trace import Problem, Trace, steps_from_ends
from preceptor.worlds.deduction import Deduction

WORLD = Deduction()


def trace_of(problem: Problem, lines: list[str]) -> Trace:
    lines = [line if line.endswith("\n") else line + "\n" for line in lines]
    return Trace(problem, "".join(lines), steps_from_ends(list(itertools.accumulate(map(len, lines)))))


def small(facts: list[str], hypothesis: str = "{H}", gold: str = "PROVED") -> Problem:
    listed = "\n".join(f"fact{i}: {fact}" for i, fact in enumerate(facts, start=1))
    return Problem("p", gold, meta={"facts_formula": listed, "hypothesis_formula": hypothesis})


def corrupted(problem: Problem, rng: random.Random) -> list[str]:
    """The reference with about half of its lines changed: other premises, other conclusions, another verdict."""
    facts = dict(line.split(": ", 1) for line in problem.meta["facts_formula"].split("\n"))
    lines = list(problem.reference)
    for t, line in enumerate(lines):
        if rng.random() < 0.5:
            continue
        if line.startswith("Answer:"):
            lines[t] = f"Answer: {rng.choice(('PROVED', 'DISPROVED', 'UNKNOWN'))}\n"
            continue
        cited, _, conclusion = line.partition(" -> ")
        kind = rng.randrange(4)
        if kind == 0:
            cited = rng.choice(list(facts))
        elif kind == 1:
            cited = " & ".join(rng.sample(list(facts), min(2, len(facts))))
        elif ": " in conclusion:
            name, _, formula = conclusion.strip().partition(": ")
            other = rng.choice(list(facts.values()))
            new = other if kind == 2 else re.sub("¬", "", formula) if "¬" in formula else f"¬({formula})"
            conclusion = f"{name}: {new}\n"
        lines[t] = f"{cited} -> {conclusion}"
    return lines


def proofs(n: int, seed: int = 0) -> list[Trace]:
    rng = random.Random(seed)
    return [trace_of(p, corrupted(p, rng)) for p in WORLD.problems("train", n, seed)]
