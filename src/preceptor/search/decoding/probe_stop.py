"""Early stopping by a probe: when the hidden states say that the answer is known, ask for it ("Knowing before saying").

The policy writes step by step; behind each step the scorer, a probe on its hidden states (`reward.probes.Probe`), says
how likely success is. Above `threshold` the text is interrupted with an instruction to answer now, at most 15 tokens,
greedy; where no answer ends within them the try is dropped, and the text goes on as if nobody had asked. 0.5 is the
published threshold; 1.0 never stops, so the full text is written.

Deviations: published probes are read at tenths of a text whose length is known, ours behind every step from
`first_step` on; a probe at the last token of the prompt is left out, as is one probe a position. Any scorer can stand
in. Cost: one path, read once by the probe, and the forced answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from preceptor.generation import Sampling
from preceptor.search.decoding.walk import at, drop, go_to
from preceptor.search.state import Search
from preceptor.search.strategy import Ask, Strategy, elect, steps
from preceptor.search.tree import Node, Status

FORCED = "forced"


@dataclass(frozen=True)
class ProbeStop(Strategy):
    """One path, ended by a forced answer once the probe is confident."""

    needs_scorer: ClassVar[bool] = True
    threshold: float = 0.5
    """The score of the last step must be higher."""
    instruction: str = "Answer: "
    """Put behind the last whole step."""
    answer_tokens: int = 15
    first_step: int = 1
    """The probe is asked from this step on."""
    max_steps: int = field(default=40, kw_only=True)
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.8), kw_only=True)
    """`max_tokens` is the limit of one step."""

    def __post_init__(self) -> None:
        if min(self.answer_tokens, self.first_step, self.max_steps) < 1 or not self.instruction:
            raise ValueError(
                f"probe stop: got {self!r}, expected answer_tokens, first_step, max_steps >= 1 and an instruction"
            )

    def select(self, search: Search) -> list[Ask]:
        node, sampling = at(search), steps(self.sampling, search.problem)
        if node is None or search.memory.get("over"):
            return []
        if search.memory.get("confident"):
            short = replace(sampling, temperature=0.0, max_tokens=self.answer_tokens)
            return [Ask(node, 1, short, role=FORCED, insert=self.instruction)]
        return [] if search.memory.get("t", 0) >= self.max_steps else [Ask(node, 1, sampling)]

    def to_score(self, search: Search, kids: Sequence[Node]) -> list[Node]:
        return [k for k in kids if k.role != FORCED and k.status is Status.LIVE and self._due(search)]

    def _due(self, search: Search) -> bool:
        return bool(search.memory.get("t", 0) + 1 >= self.first_step)

    def prune(self, search: Search, kids: Sequence[Node]) -> None:
        (kid,) = kids
        if kid.role == FORCED:
            search.memory["confident"] = False
            if kid.status is Status.LIVE:  # the answer's line has ended, not the policy's text
                search.conclude(kid)
            if kid.status is Status.DONE and kid.canon is not None:
                search.memory["over"] = True
            elif kid.status in (Status.DONE, Status.CUT):
                drop([kid], f"probe stop: no answer within {self.answer_tokens} tokens")
            return
        score = kid.scores[-1] if kid.scores else None
        search.memory["confident"] = (
            score is not None and score > self.threshold and kid.status is Status.LIVE
        )
        search.memory["t"] = search.memory.get("t", 0) + 1
        go_to(search, kid)

    def choose(self, search: Search) -> Node | None:
        return elect(self.candidates(search), "majority")
