"""axolotl's `stepwise_supervised`: `{prompt, completions: [text], labels: [true or false]}`.

The same fields as TRL's, but marks only: its tokenization takes `int(label)`, so a soft label would become 0.
Soft scores therefore need a threshold here. Cannot be told from TRL's by its looks: name it.
"""

from __future__ import annotations

from preceptor.annotate.formats.base import Format, each
from preceptor.annotate.formats.columns import Columns
from preceptor.judgement import Source

COLUMNS = Columns(
    "axolotl-stepwise", "prompt", "completions", "labels", Source("import/axolotl-stepwise"), ("bool", "int")
)

FORMAT = Format(
    "axolotl-stepwise",
    "axolotl stepwise_supervised: prompt, completions, labels (marks only)",
    COLUMNS.looks,
    COLUMNS.items,
    each(COLUMNS.record),
)
