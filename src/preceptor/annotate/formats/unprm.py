"""UnPRM's training lines: `{prompt, answer, completions, label: [true or false]}`; false from the first error on.

Left out: its raw search files (`state{i}`, `step{i}`).
"""

from __future__ import annotations

from preceptor.annotate.formats.base import Format, each
from preceptor.annotate.formats.columns import Columns
from preceptor.judgement import Question, Source

COLUMNS = Columns(
    "unprm", "prompt", "completions", "label", Source("rollouts/unprm"), ("bool", "int"), "answer",
    question=Question.VALUE,
)  # fmt: skip

FORMAT = Format(
    "unprm",
    "UnPRM training lines: prompt, answer, completions, label (marks)",
    COLUMNS.looks,
    COLUMNS.items,
    each(COLUMNS.record),
)
