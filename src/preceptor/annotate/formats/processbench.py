"""ProcessBench (arXiv 2412.06559): `{id, generator, problem, steps, final_answer_correct, label}`; `label` is
the 0-based first error, -1 for none. Holds one mark per trace: labels after the first error do not fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from preceptor.annotate.formats.base import DoesNotFit, Format, Labelled, ReadOptions, Writing, each
from preceptor.annotate.formats.pieces import lose_rest, rest, texts_of
from preceptor.judgement import Judgement, Question, Source
from preceptor.trace import Trace
from preceptor.worlds.readers import first_error_scores, processbench_item
from preceptor.worlds.records import Row

NAME = "processbench"
READS = (Source("human/processbench"), Question.VALIDITY)
FIELDS = ("generator", "problem", "steps", "final_answer_correct", "label")


def looks(fields: Mapping[str, Any]) -> bool:
    return {"problem", "steps", "final_answer_correct"} <= set(fields) and isinstance(
        fields.get("label"), int
    )


def items(row: Row, options: ReadOptions) -> list[Labelled]:
    item = processbench_item(row)
    extra = {NAME: rest(row.fields, *FIELDS)}
    return [(item.trace, replace(item.judgement, extra=extra))]


def record(trace: Trace, judgement: Judgement, writing: Writing) -> dict[str, Any]:
    first, grade = judgement.first_error, trace.grade
    if first is None:
        raise DoesNotFit("first error unknown")
    if grade is None or not grade.decided:
        raise DoesNotFit("grade undecided")
    steps = texts_of(trace)[0]
    read = first_error_scores(first, len(steps))
    lose_rest(trace, judgement, writing, read, READS, NAME, verdict=True, generator=True)
    said = enumerate(judgement.scores or read)
    writing.lose(labels_beside_the_first_error=any(s != read[t] for t, s in said))
    return {
        "id": trace.id,
        **judgement.extra.get(NAME, {}),
        "generator": trace.policy or "unknown",
        "problem": trace.problem.prompt,
        "steps": steps,
        "final_answer_correct": grade.correct,
        "label": first,
    }


FORMAT = Format(NAME, "ProcessBench: the first wrong paragraph of a solution", looks, items, each(record))
