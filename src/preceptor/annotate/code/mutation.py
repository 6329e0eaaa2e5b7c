"""AST-mutation labels (HGS-PRM, code part): break one line of a right program and keep what the tests notice.

Mutations (`mutate.py`) of each line of a program that passes; a mutant that fails is right before the mutated line
and wrong at it, lines after it are masked. A mutant that passes is never negative: `examples` drops it, `score`
calls it right and flags it. The unmodified program is right in every line.
Deviation: the number of mutants was not found; one per line, drawn by seed. Errors are synthetic, and tests that
notice little give few of them. Cost: one run of the tests per program and per mutant, no model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from preceptor.annotate.code.execution import ExecutionAnnotator, Variants, variant
from preceptor.annotate.code.mutate import draw, mutations
from preceptor.annotate.code.source import Program
from preceptor.errors import InputError
from preceptor.trace import Trace
from preceptor.usage import Usage


@dataclass(frozen=True)
class CodeMutation(ExecutionAnnotator):
    """`examples(traces)`: labelled mutants of those that pass, and themselves. `score`: any such traces."""

    name: ClassVar[str] = "code-mutation"
    cost: ClassVar[str] = "1 run of the tests per program; per_line T more for its mutants"
    keeps_survivors: ClassVar[bool] = False

    per_line: int = 1
    """Mutants of each line at most."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.per_line < 1:
            raise InputError(f"per_line: got {self.per_line}, expected 1 or more")

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "per_line": self.per_line, "seed": self.seed}

    def rewritten(self, traces: Sequence[Trace]) -> Variants:
        made: list[Trace] = []
        dropped: Counter[str] = Counter()
        for trace in traces:
            program, edits = Program(trace.text), mutations(trace.text)
            if not edits:
                dropped["no-mutation"] += 1
            for line in sorted({e.line for e in edits}):
                on_it = [e for e in edits if e.line == line]
                for k, edit in enumerate(draw(on_it, self.per_line, self.seed, trace.id, line)):
                    text = program.with_line(edit.line, edit.text)
                    found = variant(trace, text, f"{self.name}:{edit.operator}", k, Usage())
                    if found is None:
                        dropped["other-steps"] += 1
                    else:
                        made.append(found)
        return Variants(tuple(made), dict(dropped))
