"""The world `deduction`: facts, rules and a hypothesis in FoVer's notation, to prove, disprove or leave unknown.

A step is `fact1 & fact3 -> int1: FORMULA`, the last one ends in `hypothesis` or `¬hypothesis`; then comes
`Answer: PROVED` (DISPROVED, UNKNOWN). A step is *valid* when what it concludes follows from what it cites, by truth
tables (`truth_tables.py`, no solver), whatever the steps before it are worth. Facts are never spent, so the right
answer stays reachable until a wrong one is given. Generation is in `deduction_facts.py`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

from preceptor.grade import grade
from preceptor.trace import Problem
from preceptor.worlds import deduction_facts
from preceptor.worlds.base import StepTruth
from preceptor.worlds.truth_tables import Formula, follows, read

_STEP = re.compile(r"(.+?)\s*->\s*(?:(int\d{1,3}):\s*(.+)|(¬?hypothesis))")


@dataclass(frozen=True)
class Deduction:
    """Chains of one to `depth` inferences among facts that do not matter."""

    name: str = "deduction"

    def problems(
        self, split: str = "test", n: int = 64, seed: int = 0, *, depth: int = 3, distractors: int = 3
    ) -> list[Problem]:
        """`n` problems of a split ("train", "dev" or "test"); `depth` (1 to 4) bounds the chain, and
        `distractors` (0 to 5) the facts beside it."""
        return list(islice(deduction_facts.generate(split, seed, depth, distractors), n))

    def judge(self, problem: Problem, steps: Sequence[str]) -> list[StepTruth]:
        """Kinds: "ok", "does not follow", "unknown premise" (not stated before), "name taken", "wrong answer",
        "after the answer", "unparseable" (also: more than 20 ground atoms). Nothing can be cited from a line
        that cannot be read; what a wrong step states can."""
        proof = _Proof.of(problem)
        truths: list[StepTruth] = []
        answered = None
        for step in steps:
            line = step.strip().removesuffix(";").rstrip()
            if answered is not None:
                truths.append(StepTruth(False, answered, "after the answer"))
            elif line.startswith("Answer:"):
                answered = grade(problem, line).correct
                truths.append(StepTruth(answered, answered, "ok" if answered else "wrong answer"))
            else:
                kind = proof.step(line)
                truths.append(StepTruth(kind == "ok", True, kind))
        return truths


@dataclass
class _Proof:
    """What may be cited so far."""

    hypothesis: str
    stated: dict[str, Formula] = field(default_factory=dict)

    @classmethod
    def of(cls, problem: Problem) -> _Proof:
        proof = cls(problem.meta["hypothesis_formula"])
        for line in problem.meta["facts_formula"].split("\n"):
            name, _, text = line.partition(": ")
            formula = read(text)
            if formula is None:
                raise ValueError(
                    f"problem {problem.id}: got the fact {text!r}, expected this world's notation"
                )
            proof.stated[name] = formula
        return proof

    def step(self, line: str) -> str:
        """The kind of a line; what it concludes is stated from now on."""
        found = _STEP.fullmatch(line)
        if found is None:
            return "unparseable"
        cited, name, text, end = found.groups()
        conclusion = read(text or end.replace("hypothesis", f"({self.hypothesis})"))
        if conclusion is None:
            return "unparseable"
        names = [part.strip() for part in cited.split("&")]
        if any(part not in self.stated for part in names):
            return "unknown premise"
        if name in self.stated:
            return "name taken"
        valid = follows([self.stated[part] for part in names], conclusion)
        if valid is None:
            return "unparseable"
        if name is not None:
            self.stated[name] = conclusion
        return "ok" if valid else "does not follow"
