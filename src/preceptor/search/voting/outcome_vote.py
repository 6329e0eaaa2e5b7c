"""Generative outcome verdicts (gORM of Multi-RM): a verifier reads the solution and says whether its answer is right.

10 verdicts a solution at temperature 0.6 and 8192 tokens, as published; weighted vote by the share of "Yes".
Deviations: the verdict in words is counted (the paper weighs Yes against No in the top 20 log-probabilities: that is
`WeightedVote` with the scorer `reward.generative.GenORM`), the prompt is ours, and a missing verdict is unknown and
not 0.5. Reported: more robust over domains than process verdicts, whose errors add up with length. The helper
"verifier" gives the verdicts, the policy itself where none is given. Cost: n solutions and 10 n verdicts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from preceptor.annotate.judges.self_prm import TEMPLATE
from preceptor.annotate.judges.verdict import fence, fill, verdict_word
from preceptor.generation import Sampling
from preceptor.search.voting.pass_rate_vote import PassRateVote
from preceptor.trace import Problem

WORDS = ("Yes", "No")
_TAGS = ("problem", "solution")


@dataclass(frozen=True)
class OutcomeVote(PassRateVote):
    """Weighted vote by how many verdicts say that the answer is right."""

    verdicts: int = 10
    judging: Sampling = field(
        default_factory=lambda: Sampling(temperature=0.6, max_tokens=8192), kw_only=True
    )

    def question(self, problem: Problem, steps: Sequence[str]) -> str:
        asked, solution = fence(problem.prompt, _TAGS), fence("".join(steps).strip(), _TAGS)
        return fill(TEMPLATE, problem=asked.text, solution=solution.text, first=WORDS[0], second=WORDS[1])

    def accepts(self, reply: str, steps: int) -> bool | None:
        return verdict_word(reply, WORDS[:1], WORDS[1:])
