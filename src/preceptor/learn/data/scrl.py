"""SCRL: a problem as a row of subproblems, each with an answer that can be checked (abstract index 141).

From the reference solution of a problem of the world `arithmetic`: J - 1 results on the way, evenly spaced, and last
the problem itself. The policy answers all in one text, in order, each on a line `Answer j: value`. c[i, j] is whether
answer j of attempt i is right; a missing answer, one out of order and one given twice count 0. `recut` makes a step
of each answer's span, from behind answer j - 1 to behind answer j, so that normalising c by position (the `turn` unit
of `preceptor.credit`) charges exactly those tokens; the advantages themselves are made there.

J: not found, 3 of the catalogue's 2-4. A subproblem is named by its operations on the problem's own numbers; how the
paper words them was not found.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from preceptor.credit import Signals
from preceptor.errors import InputError
from preceptor.grade import equivalent
from preceptor.judgement import Question, Source
from preceptor.learn.data.hooks import Item
from preceptor.learn.data.hooks import Source as Sampler
from preceptor.trace import Problem, Trace, content_id, steps_from_ends

_ANSWER = re.compile(
    r"^[ \t]*answer[ \t]{1,4}(\d{1,2})[ \t]*:[ \t]*([^\n]{0,200})(?:\n|\Z)", re.MULTILINE | re.I | re.ASCII
)


@dataclass(frozen=True)
class Subproblem:
    question: str
    gold: str


def subproblems(problem: Problem, count: int = 3) -> list[Subproblem]:
    """`count` of them, fewer where the solution is shorter; the last one is the problem itself."""
    if problem.world != "arithmetic" or count < 1:
        raise InputError(
            f"scrl: got world {problem.world!r} and {count} subproblems, expected 'arithmetic' and at least 1."
        )
    nodes, texts = problem.meta["nodes"], {f"g{i}": str(g) for i, g in enumerate(problem.meta["givens"])}
    for k, (op, a, b) in enumerate(nodes):
        texts[f"n{k}"] = f"({texts[a]}{op}{texts[b]})"
    results = [line.rpartition("=")[2].strip() for line in problem.reference[:-1]]
    inner, wanted = len(nodes) - 1, min(count, len(nodes)) - 1
    places = [j * inner // wanted - 1 for j in range(1, wanted + 1)]
    parts = [Subproblem(f"What is {texts[f'n{k}'][1:-1]}?", results[k]) for k in places]
    return [*parts, Subproblem(problem.prompt, problem.gold or "")]


def task(problem: Problem, count: int = 3) -> Problem:
    """The problem with its subproblems; one subproblem is the problem itself."""
    parts = subproblems(problem, count)
    if len(parts) == 1:
        return problem
    asked = "\n".join(f"{j}. {p.question}" for j, p in enumerate(parts[:-1], 1))
    prompt = (
        f"{problem.prompt}\nAnswer these first, in order, each on a line such as `Answer 1: 12`:\n{asked}\n"
        f"Then answer the question itself, as `Answer {len(parts)}: ...`."
    )
    return replace(
        problem,
        prompt=prompt,
        id="scrl-" + content_id(prompt, problem.gold),
        world="",
        reference=(),
        meta={**problem.meta, "of": problem.id, "golds": [p.gold for p in parts]},
    )


def answers(text: str, count: int) -> list[tuple[str, int] | None]:
    """(answer, end of its line) of each subproblem; None for one that is missing, doubled or out of order."""
    found: dict[int, list[tuple[str, int]]] = {}
    for m in _ANSWER.finditer(text):
        found.setdefault(int(m[1]), []).append((m[2].strip(), m.end()))
    out: list[tuple[str, int] | None] = []
    reached = 0
    for j in range(1, count + 1):
        said = found.get(j, [])
        one = said[0] if len(said) == 1 and said[0][1] > reached else None
        reached = one[1] if one else reached
        out.append(one)
    return out


def golds(problem: Problem) -> list[str]:
    """Of a task; of a plain problem its own."""
    return list(problem.meta.get("golds", [problem.gold or ""]))


def correctness(traces: Sequence[Trace]) -> NDArray[np.float64]:
    """(G, J) for the attempts at one task. A plain problem's one column is the grade's; NaN where it is undecided."""
    wanted = golds(traces[0].problem)
    rows = []
    for trace in traces:
        if len(wanted) == 1:
            known = trace.grade is not None and trace.grade.decided and trace.error is None
            rows.append([float(trace.grade.correct) if known and trace.grade else np.nan])
            continue
        said = answers(trace.text, len(wanted))
        rows.append(
            [float(a is not None and equivalent("numeric", a[0], g).correct) for a, g in zip(said, wanted)]
        )
    return np.array(rows)


def recut(trace: Trace) -> Trace:
    """The trace with a step for each answer's span; the last one goes to the end of the text, a missing answer's is
    empty."""
    count = len(golds(trace.problem))
    if count == 1:
        return replace(trace, steps=steps_from_ends([len(trace.text)]))
    ends, at = [], 0
    for said in answers(trace.text, count)[:-1]:
        at = said[1] if said else at
        ends.append(at)
    return replace(trace, steps=steps_from_ends([*ends, len(trace.text)]))


@dataclass(frozen=True)
class SCRL:
    """All that a loop needs for credit by position: `prepare` and `amend` as hooks, `signals` as the scorer."""

    question: ClassVar[Question] = Question.VALIDITY

    count: int = 3

    @property
    def source(self) -> Source:
        return Source.of("scrl", count=self.count)

    def prepare(self, problems: Sequence[Problem], step: int) -> list[Problem]:
        return [task(p, self.count) for p in problems]

    def amend(self, items: Sequence[Item], source: Sampler) -> list[Item]:
        return [x if x.trace.error is not None else replace(x, trace=recut(x.trace)) for x in items]

    def signals(self, traces: Sequence[Trace]) -> Signals:
        """One score an answer; None for a completion that failed."""
        rows = [None if t.error is not None else tuple(correctness([t])[0].tolist()) for t in traces]
        return Signals(tuple(_known(row) for row in rows), self.question)


def _known(row: tuple[float, ...] | None) -> tuple[float | None, ...] | None:
    return None if row is None else tuple(None if x != x else x for x in row)
