"""FoVer: `{id, problem, solution_steps, error_labels, ...}`; in `error_labels` **true means correct**, null unknown.

Labels are local validity by a formal tool: a right step may follow a wrong one.
"""

from __future__ import annotations

from preceptor.annotate.formats.base import Format, each
from preceptor.annotate.formats.columns import Columns
from preceptor.judgement import Question, Source

COLUMNS = Columns(
    "fover", "problem", "solution_steps", "error_labels", Source("formal/fover"), ("bool",), nulls=True,
    question=Question.VALIDITY,
)  # fmt: skip

FORMAT = Format(
    "fover",
    "FoVer: problem, solution_steps, error_labels (true is correct, null unknown)",
    COLUMNS.looks,
    COLUMNS.items,
    each(COLUMNS.record),
)
