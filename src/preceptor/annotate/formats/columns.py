"""Formats that are a prompt, a list of steps and a list of as many labels: TRL, axolotl, SCAN, UnPRM, FoVer.

The labels of one file are of one kind, because column stores and trainers demand it: the kind of the first item
written. Marks that are right or wrong answer *validity* and make `bool` labels; values, rollout rates and other
soft scores make `float`. In a file of `bool` a soft item is left out unless there is a threshold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from preceptor.annotate.formats.base import Labelled, ReadOptions, Writing
from preceptor.annotate.formats.pieces import clipped, hard, is_hard, labelled, lose_rest, rest, texts_of
from preceptor.judgement import Judgement, Question, Source
from preceptor.trace import Problem, Trace
from preceptor.worlds.records import Row

KINDS = {bool: "bool", int: "int", float: "float"}


def kind_of(row: Row, field: str, values: Sequence[Any], kinds: Sequence[str], nulls: bool = False) -> str:
    """Of which kind the labels of one record are; 0 and 1 among floats are floats."""
    types = {type(v) for v in values if v is not None or not nulls}
    types -= {int} if float in types else set()
    names = {KINDS.get(t, t.__name__) for t in types} or {kinds[0]}
    (kind,) = names if len(names) == 1 else ("a mixture",)
    if kind not in kinds:
        raise row.bad(field, f"labels {ascii(list(values))[:60]}", f"a list of {' or '.join(kinds)}")
    if kind == "int" and any(v not in (0, 1, None) for v in values):
        raise row.bad(field, f"labels {ascii(list(values))[:60]}", "0 or 1")
    return kind


@dataclass(frozen=True)
class Columns:
    """Where a format keeps what, and which labels it can hold."""

    format: str
    prompt: str
    steps: str
    labels: str
    source: Source
    kinds: tuple[str, ...] = ("bool", "int", "float")
    """Kinds of labels it may have; the first is the one it has by default."""
    gold: str = ""
    """Field of the gold answer, if it has one."""
    nulls: bool = False
    """Whether a step may be unjudged."""
    question: Question | None = None
    """What the labels mean; None: marks answer validity and numbers value."""

    def looks(self, fields: Mapping[str, Any]) -> bool:
        values = fields.get(self.labels)
        return {self.prompt, self.steps} <= set(fields) and isinstance(values, list)

    def items(self, row: Row, options: ReadOptions) -> list[Labelled]:
        steps, values = row.texts(self.steps), row.get(self.labels, list)
        if len(values) != len(steps):
            raise row.bad(self.labels, f"{len(values)} labels", f"one for each of {len(steps)} steps")
        kind = kind_of(row, self.labels, values, self.kinds, self.nulls)
        if kind == "float":
            row.inner("", {self.labels: [v for v in values if v is not None]}).numbers(self.labels)
        gold = row.get(self.gold, str, type(None)) if self.gold in row.fields else None
        problem = Problem(row.text(self.prompt), gold, world=self.format, segmenter="blank_line")
        known = (self.prompt, self.steps, self.labels, *([self.gold] if gold is not None else []))
        extra: dict[str, Any] = {"label_kind": kind}
        if own := rest(row.fields, *known):
            extra[self.format] = own
        question = self.question or (Question.VALUE if kind == "float" else Question.VALIDITY)
        scores = [None if v is None else float(v) for v in values]
        return [labelled(problem, steps, scores, self.source, question, extra)]

    def record(self, trace: Trace, judgement: Judgement, writing: Writing) -> dict[str, Any]:
        steps, scores = self._taken(trace, judgement, writing)
        kind = writing.kind = writing.kind or self._kind(judgement, scores, writing)
        values: list[Any] = list(scores)
        if kind != "float":
            sure = iter(hard([s for s in scores if s is not None], writing))
            values = [None if s is None else bool(next(sure)) for s in scores]
            values = [None if v is None else int(v) for v in values] if kind == "int" else values
        own = dict(judgement.extra.get(self.format, {}))
        read = [None if v is None else float(v) for v in values]
        question = self.question or (Question.VALUE if kind == "float" else Question.VALIDITY)
        gold = bool(self.gold)
        lose_rest(trace, judgement, writing, read, (self.source, question), self.format, gold_answer=gold)
        if self.gold and trace.problem.gold is not None:
            own[self.gold] = trace.problem.gold
        return {self.prompt: trace.problem.prompt, self.steps: steps, self.labels: values, **own}

    def _taken(
        self, trace: Trace, judgement: Judgement, writing: Writing
    ) -> tuple[list[str], Sequence[float | None]]:
        if self.nulls and any(s is not None for s in judgement.scores or ()):
            return texts_of(trace)[0], judgement.scores or ()
        return clipped(trace, judgement, writing)

    def _kind(self, judgement: Judgement, scores: Sequence[float | None], writing: Writing) -> str:
        """The kind of labels of a file that begins with this item."""
        if len(self.kinds) == 1:
            return self.kinds[0]
        asked = writing.options.labels or ("bool" if writing.options.threshold is not None else None)
        asked = asked or judgement.extra.get("label_kind")
        if asked in self.kinds:
            return str(asked)
        marks = judgement.question is Question.VALIDITY and not judgement.counts and is_hard(scores)
        wanted = "bool" if marks else "float"
        return wanted if wanted in self.kinds else self.kinds[0]
