"""TRL's stepwise supervision: `{prompt, completions: [text], labels: [true or number]}`, for its PRM trainer.

The data do not say what joins the steps; they are joined by a blank line here. A trainer that takes labels as
class indices rounds 0.7 down to 0: give it marks (`WriteOptions(threshold=...)`) unless it regresses.
"""

from __future__ import annotations

from preceptor.annotate.formats.base import Format, each
from preceptor.annotate.formats.columns import Columns
from preceptor.judgement import Source

COLUMNS = Columns("trl-stepwise", "prompt", "completions", "labels", Source("import/trl-stepwise"))

FORMAT = Format(
    "trl-stepwise",
    "TRL stepwise supervision: prompt, completions, labels (marks or numbers)",
    COLUMNS.looks,
    COLUMNS.items,
    each(COLUMNS.record),
)
