"""GenPRM's raw labels, read only: one record is a problem with several traces, `steps: [[text]]`, and their
Monte Carlo values, `monte_carlo_scores: [[number]]`. A record with one flat trace is read as such.

The last value of a trace is its grade (the last step is graded, not rolled out). Rationales stay in `extra`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from preceptor.annotate.formats.base import Format, Labelled, ReadOptions
from preceptor.annotate.formats.pieces import labelled, rest
from preceptor.judgement import Question, Source
from preceptor.trace import Problem
from preceptor.worlds.records import Row

NAME = "genprm"
SOURCE = Source("rollouts/genprm")


def looks(fields: Mapping[str, Any]) -> bool:
    return {"problem", "steps", "monte_carlo_scores"} <= set(fields)


def items(row: Row, options: ReadOptions) -> list[Labelled]:
    traces, values = row.get("steps", list), row.get("monte_carlo_scores", list)
    if traces and all(isinstance(step, str) for step in traces):
        traces, values = [traces], values if values and isinstance(values[0], list) else [values]
    if len(traces) != len(values) or not traces:
        raise row.bad("monte_carlo_scores", f"{len(values)} lists", f"one for each of {len(traces)} traces")
    gold = (
        row.get("extracted_groundtruth", str, type(None)) if "extracted_groundtruth" in row.fields else None
    )
    problem = Problem(row.text("problem"), gold, world=NAME, segmenter="blank_line")
    shared = rest(row.fields, "problem", "extracted_groundtruth", "steps", "monte_carlo_scores")
    found = []
    for i, (steps, scores) in enumerate(zip(traces, values, strict=True)):
        inner = row.inner(f"[{i}]", {"steps": steps, "monte_carlo_scores": scores})
        texts, numbers = inner.texts("steps"), inner.numbers("monte_carlo_scores")
        if len(texts) != len(numbers):
            raise inner.bad("monte_carlo_scores", f"{len(numbers)} values", f"{len(texts)}, one a step")
        extra = {NAME: {"trace": i, **(shared if i == 0 else {})}}
        found.append(labelled(problem, texts, numbers, SOURCE, Question.VALUE, extra))
    return found


FORMAT = Format(
    NAME, "GenPRM raw: several traces a problem with Monte Carlo values (read only)", looks, items
)
