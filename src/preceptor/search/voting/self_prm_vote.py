r"""Self-PRM ("Is PRM Necessary?", 2505.11227): the policy looks for errors in its own samples and drops the flawed.

The model that wrote the solutions is asked for the index of the first wrong paragraph, or -1; the answer is the
majority among the solutions it finds free of errors, the plain majority where it finds none. One verdict a solution,
weight 1 or 0, ties by majority (tie rule and averaging not found, ours). Reported to help at larger n, and to accept
mostly wrong solutions on hard problems (precision below 10 %): see `verdict_quality`. Prompt and reading are those of
`annotate/judges/critique.py`; an index that names no paragraph is unread. Cost: n solutions and n critiques.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from preceptor.annotate.judges.critique import TEMPLATE
from preceptor.annotate.judges.verdict import boxed_index, fence, fill, paragraphs, step_index
from preceptor.judgement import NO_ERROR
from preceptor.search.voting.pass_rate_vote import PassRateVote
from preceptor.trace import Problem


@dataclass(frozen=True)
class SelfPRMVote(PassRateVote):
    """Majority among the samples in which their writer finds no error."""

    helpers: ClassVar[tuple[str, ...]] = ()
    asks: ClassVar[str] = ""
    verdicts: int = 1

    def question(self, problem: Problem, steps: Sequence[str]) -> str:
        asked = fence(problem.prompt, ("problem", "paragraph")).text
        return fill(TEMPLATE, problem=asked, solution=paragraphs(steps).text, base="0")

    def accepts(self, reply: str, steps: int) -> bool | None:
        written = boxed_index(reply)
        index = None if written is None else step_index(written, steps)
        return None if index is None else index == NO_ERROR
