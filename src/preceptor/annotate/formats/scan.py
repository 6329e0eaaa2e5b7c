"""SCAN's released labels: `{question, steps, scores}`, scores in [0, 1] that end with the first
error; soft values just before it. Answers value.
"""

from __future__ import annotations

from preceptor.annotate.formats.base import Format, each
from preceptor.annotate.formats.columns import Columns
from preceptor.judgement import Question, Source

COLUMNS = Columns(
    "scan", "question", "steps", "scores", Source("rollouts/scan"), ("float", "int"), question=Question.VALUE
)

FORMAT = Format(
    "scan",
    "SCAN: question, steps, scores that end with the first error",
    COLUMNS.looks,
    COLUMNS.items,
    each(COLUMNS.record),
)
