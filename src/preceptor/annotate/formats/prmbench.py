"""PRMBench (arXiv 2501.03124): PRM800K solutions with one class of error written in; `error_steps` is 1-based.

All steps are judged, and several may be wrong. The class, redundancy and circularity among them, stays in
`extra` as published, and so do error steps beyond the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from preceptor.annotate.formats.base import DoesNotFit, Format, Labelled, ReadOptions, Writing, each
from preceptor.annotate.formats.pieces import hard, lose_rest, rest, texts_of
from preceptor.judgement import Judgement, Question, Source
from preceptor.trace import Trace
from preceptor.worlds.readers import prmbench_item
from preceptor.worlds.records import Row

NAME = "prmbench"
READS = (Source("injected/prmbench"), Question.VALIDITY)


def looks(fields: Mapping[str, Any]) -> bool:
    return {"modified_question", "modified_process", "error_steps"} <= set(fields)


def items(row: Row, options: ReadOptions) -> list[Labelled]:
    item = prmbench_item(row)
    own = rest(row.fields, "modified_question", "modified_process", "error_steps")
    if _errors(item.judgement.scores or ()) != row.fields["error_steps"]:
        own["listed"] = row.fields["error_steps"]
    return [(item.trace, replace(item.judgement, extra={NAME: own}))]


def record(trace: Trace, judgement: Judgement, writing: Writing) -> dict[str, Any]:
    own = dict(judgement.extra.get(NAME, {}))
    listed = own.pop("listed", None)
    scores = judgement.scores or ()
    if not scores and listed is None:
        raise DoesNotFit("no labels")
    if any(s is None for s in scores):
        raise DoesNotFit("unjudged step")
    marks = [float(m) for m in hard([s for s in scores if s is not None], writing)]
    errors = _errors(marks)
    if listed is not None and errors == sorted({e for e in listed if e <= len(scores)}):
        errors = listed
    lose_rest(
        trace, judgement, writing, marks or (None,), READS, NAME, flags=bool(listed), problem_meta=bool(own)
    )
    return {
        "idx": trace.id,
        "classification": "unknown",
        **own,
        "modified_question": trace.problem.prompt,
        "modified_process": texts_of(trace)[0],
        "error_steps": errors,
    }


def _errors(scores: Any) -> list[int]:
    return [t + 1 for t, s in enumerate(scores) if s == 0]


FORMAT = Format(NAME, "PRMBench: injected errors, several per solution", looks, items, each(record))
