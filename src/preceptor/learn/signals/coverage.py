"""Entities and waypoints that a trace mentions, as step rewards: E-GRPO (121), WCR on SSP (159), KG paths (140).

E-GRPO: gamma = share of the question's entities that stand, normalised, in a thought of the rollout; for a wrong answer
alpha * gamma / (greatest gamma of the group), 0 where that is 0; a right answer 1; over-length or malformed 0. WCR: the
share of the waypoints e_0..e_{L-1} of the path to the answer, those of the question left out, in the solver's own text;
a wrong answer gets alpha times it (alpha 0.3: not found, ours). Both: `reward`, and as step scores the share of the
items that a step is the first to name, so that a trace's steps add up to its share.

KG paths: 1.2 * coverage of the path's tokens + 0.3 if two or more are hit, times a factor against repetition, at most
1.5; plus 0.1 for a right and -1 for a wrong answer. `gate="correct"` pays the path to right answers only.

Items come from `Problem.meta`: "entities", "waypoints" (the path e_0..e_L) and "path" (text of its triples). What an
environment answered is not looked at, but for `observations=True`. Pure text: no cost.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, ClassVar, Literal

from preceptor.credit import Signals
from preceptor.errors import InputError
from preceptor.judgement import Question
from preceptor.learn.signals.base import Producer, by_problem
from preceptor.trace import Finish, Problem, Trace

_WORD = re.compile(r"[^\W_]+")
STOP_WORDS = frozenset(
    _WORD.findall(
        "a an the and or but if of to in on at by for from with as is are was were be been it its this that these "
        "those he she they we his her their our your not do does has have"
    )
)
"""About 45 function words; the published list is not found, ours."""


def normalised(text: str) -> str:
    """Lower-case words with single spaces between and around them."""
    return f" {' '.join(_WORD.findall(text.casefold()))} "


def entities_of(problem: Problem) -> list[str]:
    return _strings(problem, "entities")


def waypoints_of(problem: Problem) -> list[str]:
    """Without the last, the answer, and those that the question names."""
    question = normalised(problem.prompt)
    return [w for w in _strings(problem, "waypoints")[:-1] if normalised(w) not in question]


@dataclass(eq=False)
class Coverage(Producer):
    """`items(problem)`: what is to be mentioned; a problem without any has neither scores nor reward."""

    name: ClassVar[str] = "coverage"
    gives: ClassVar[frozenset[str]] = frozenset({"scores", "scalars.coverage", "scalars.reward"})
    question: ClassVar[Question] = Question.PROGRESS

    items: Callable[[Problem], Sequence[str]] = entities_of
    alpha: float = 0.3
    relative: bool = True
    """By the group's best (E-GRPO); False: as it is (WCR)."""
    observations: bool = False
    well_formed: Callable[[Trace], bool] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.alpha < 1:
            raise InputError(
                f"coverage: got alpha={self.alpha}, expected 0 <= alpha < 1: no wrong answer is worth a right one."
            )

    def signals(self, traces: Sequence[Trace]) -> Signals:
        self.begin()
        rows = [self._row(t) for t in traces]
        shares = [None if row is None else sum(row) for row in rows]
        rewards: list[float | None] = [None] * len(traces)
        for members in by_problem(traces):
            best = max((s for i in members if (s := shares[i]) is not None), default=0.0)
            for i in members:
                rewards[i] = self._reward(traces[i], shares[i], best if self.relative else 1.0)
        scalars = {"coverage": tuple(shares), "reward": tuple(rewards)}
        return Signals(tuple(rows), self.question, scalars=scalars)

    def _row(self, trace: Trace) -> tuple[float, ...] | None:
        items = dict.fromkeys(n for item in self.items(trace.problem) if (n := normalised(item)).strip())
        if trace.error is not None or not items:
            self.failed["no-items" if trace.error is None else trace.error.kind] += 1
            return None
        left, row = set(items), []
        for step, own in zip(trace.steps, trace.step_texts, strict=True):
            text = normalised(own + (f"\n{step.observation or ''}" if self.observations else ""))
            named = {n for n in left if n in text}
            left -= named
            row.append(len(named) / len(items))
        return tuple(row)

    def _reward(self, trace: Trace, share: float | None, best: float) -> float | None:
        if trace.error is not None or trace.grade is None or not trace.grade.decided:
            return None
        malformed = self.well_formed is not None and not self.well_formed(trace)
        if trace.finish is Finish.LENGTH or malformed:
            return 0.0
        if trace.grade.correct:
            return 1.0
        return None if share is None else self.alpha * share / best if best else 0.0


def waypoint_coverage(**options: Any) -> Coverage:
    """The waypoint coverage reward."""
    return Coverage(items=waypoints_of, relative=False, **options)


@dataclass(eq=False)
class PathReward(Producer):
    """`reward` and its part `path`."""

    name: ClassVar[str] = "path-reward"
    gives: ClassVar[frozenset[str]] = frozenset({"scalars.path", "scalars.reward"})
    question: ClassVar[Question] = Question.QUALITY

    gate: Literal["none", "correct"] = "none"

    def signals(self, traces: Sequence[Trace]) -> Signals:
        self.begin()
        paths = [None if t.error is not None else path_reward(t.text, _path_of(t.problem)) for t in traces]
        rewards = tuple(self._reward(t, p) for t, p in zip(traces, paths, strict=True))
        self.failed["no-tokens"] += paths.count(None)
        self.failed = +self.failed
        return Signals(question=self.question, scalars={"path": tuple(paths), "reward": rewards})

    def _reward(self, trace: Trace, path: float | None) -> float | None:
        if path is None or trace.grade is None or not trace.grade.decided:
            return None
        if not trace.grade.correct:
            return -1.0 + (path if self.gate == "none" else 0.0)
        return 0.1 + path


def path_reward(text: str, path: str) -> float:
    """min(phi * (1.2 coverage + 0.3 [two distinct hits]), 1.5), phi against repetition; 0 for an empty path."""
    own, wanted = _content(text), set(_content(path))
    if not own or not wanted:
        return 0.0
    hits = wanted & set(own)
    share = max(Counter(own).values()) / len(own)
    run = max(len(list(same)) for _, same in groupby(own))
    phi = max(0.0, max(0.0, 1 - 3 * max(0.0, share - 0.35)) * (1 - 0.05 * max(0, run - 3)))
    return min(phi * (1.2 * len(hits) / len(wanted) + 0.3 * (len(hits) >= 2)), 1.5)


def _content(text: str) -> list[str]:
    return [w for w in re.findall(r"[a-z0-9]+", text.lower()) if w not in STOP_WORDS]


def _path_of(problem: Problem) -> str:
    found = problem.meta.get("path", "")
    return found if isinstance(found, str) else " ".join(str(x) for x in found)


def _strings(problem: Problem, key: str) -> list[str]:
    return [str(x) for x in problem.meta.get(key, ())]
