"""Steps of a formal proof, `fact1 & int2 -> int3: FORMULA`, and the facts and the hypothesis they speak of.

A conclusion is `intN: FORMULA`, `hypothesis`, `¬hypothesis`, or a bare formula; a step may hold several of them,
parted by `;` or a new line (merged steps). The last line is `The final answer is PROVED` (DISPROVED, UNKNOWN) or
`Answer: PROVED`. Premises are names stated before; assumptions (proof by contradiction) are not read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from preceptor.annotate.formal.logic import Formula, LogicError, Not, parse
from preceptor.trace import Problem

VERDICTS = ("PROVED", "DISPROVED", "UNKNOWN")
HYPOTHESIS = "hypothesis"

_FINAL = re.compile(r"(?:The final answer is|Answer:)\s*(PROVED|DISPROVED|UNKNOWN)\.?", re.IGNORECASE)
_NAMED = re.compile(r"(int\d{1,4})\s*:\s*(.*)", re.DOTALL)
_PREMISE = re.compile(r"(?:fact|int)\d{1,4}")
_ASSUMED = re.compile(r"\[|#F#|\bassump|\bvoid\b|hypothesis")
_FACT = re.compile(r"^\s*(fact\d{1,4})\s*:\s*(.+?)\s*$", re.MULTILINE)
_HYPOTHESIS = re.compile(r"\$hypothesis\$\s*[:=]\s*(.+)")


@dataclass(frozen=True)
class Theory:
    """What a problem gives."""

    facts: Mapping[str, Formula]
    hypothesis: Formula


@dataclass(frozen=True)
class Inference:
    """One statement `premises -> conclusion`."""

    premises: tuple[str, ...]
    conclusion: Formula
    name: str | None
    """Under which later steps may cite the conclusion."""


def theory_of(problem: Problem) -> Theory:
    """From `meta["facts_formula"]` and `meta["hypothesis_formula"]`, else from the prompt's `$hypothesis$:` and
    `factN:` lines (the last hypothesis and the facts after it: examples may stand before). Raises `LogicError`."""
    facts, hypothesis = problem.meta.get("facts_formula"), problem.meta.get("hypothesis_formula")
    if not isinstance(facts, str) or not isinstance(hypothesis, str):
        asked = list(_HYPOTHESIS.finditer(problem.prompt))
        if not asked:
            raise LogicError("the problem has no hypothesis in its meta or its prompt")
        hypothesis, facts = asked[-1][1], problem.prompt[asked[-1].end() :]
    return Theory({name: parse(text) for name, text in _FACT.findall(facts)}, parse(hypothesis))


def verdict_of(statement: str) -> str | None:
    """The verdict that a final line states."""
    found = _FINAL.fullmatch(statement.strip())
    return None if found is None else found[1].upper()


def statements(step: str) -> list[str]:
    """The statements of a step, empty ones left out."""
    return [part.strip() for part in re.split(r"[;\n]", step) if part.strip()]


def read_inference(statement: str, hypothesis: Formula) -> Inference:
    """Raises `LogicError`, with a message that begins with "assumption" for a proof by contradiction."""
    left, arrow, right = statement.partition("->")
    if not arrow:
        raise LogicError(f"got {statement[:60]!r}, expected PREMISES -> CONCLUSION")
    names = tuple(name.strip() for name in left.split("&"))
    for name in names:
        if not _PREMISE.fullmatch(name):
            assumed = "assumption " if _ASSUMED.search(name) else ""
            raise LogicError(f"{assumed}{name[:40]!r} as a premise, expected names such as fact1 or int2")
    right = right.strip()
    if right == HYPOTHESIS:
        return Inference(names, hypothesis, None)
    if right in (f"¬{HYPOTHESIS}", f"~{HYPOTHESIS}"):
        return Inference(names, Not(hypothesis), None)
    named = _NAMED.fullmatch(right)
    if "#F#" in right:
        raise LogicError("assumption refuted by '#F#', expected a direct proof")
    return Inference(names, parse(named[2] if named else right), named[1] if named else None)
