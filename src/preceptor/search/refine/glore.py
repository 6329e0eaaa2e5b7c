"""GLoRe: when, where and how to refine one draft ("Global and Local Refinements", 2402.10963 from memory).

    1. a greedy draft
    2. when    refine if ORM(draft) < `when`; with None always, and the reranker decides
    3. where   the first step with SORM < `where`
    4. how     `global_`: helper "global" rewrites the draft; `local`: helper "local" gets the draft with a [BAD] mark
               before that step
    5. the highest ORM among draft, global and local; ties to the draft

One scorer carries both models: step scores are the SORM's, the last one is the ORM's. `StepsThenOutcome(sorm, orm)`
makes one of two; a step model that ends with the value of the whole serves as it is. The SORM's own word on the last
step is therefore not asked.

Deviations: the local refiner does not copy the steps before the mark, it is made to begin with them (which keeps them
byte for byte, and saves their tokens). The paper's threshold for "when" was not found; its main result reranks always.
An unfinished draft is not refined, an unscored one only with `when=None`. The prompts are ours; trained refiners
bring their own. Cost: up to three solutions; compare with best of 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar

from preceptor.annotate.judges.verdict import check_template, fence, fill
from preceptor.errors import BackendError, ItemError
from preceptor.generation import Sampling
from preceptor.judgement import NO_ERROR, Judgement, Question, Scorer, Source, first_below
from preceptor.search.refine.asking import TAGS, about, reworded, step_start, step_texts
from preceptor.search.state import Search
from preceptor.search.strategy import Ask, Strategy
from preceptor.search.tree import Node
from preceptor.search.vote import VOTES
from preceptor.trace import Problem, Trace

BAD = "[BAD]"
GLOBAL = """{problem}

Here is a draft of a solution, which may be wrong:

<solution>
{solution}
</solution>

Write the correct solution.
"""
LOCAL = """{problem}

Here is a draft of a solution. The step behind the mark [BAD] is wrong:

<solution>
{solution}
</solution>

Write the correct solution. Keep what stands before the mark.
"""


@dataclass(frozen=True)
class Glore(Strategy):
    """The best by ORM of a draft and its two refinements."""

    needs_scorer: ClassVar[bool] = True
    helpers: ClassVar[tuple[str, ...]] = ("global", "local")
    when: float | None = None
    """Refine drafts the ORM scores strictly below; None: all."""
    where: float = 0.5
    """The first step scored strictly below is the wrong one."""
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.0), kw_only=True)
    """Of the draft and of both refinements."""
    global_: str = field(default=GLOBAL, kw_only=True)
    local: str = field(default=LOCAL, kw_only=True)
    """Templates with the slots {problem} and {solution}."""

    def __post_init__(self) -> None:
        for template in (self.global_, self.local):
            check_template(template, "problem", "solution")

    @property
    def asked(self) -> int:
        return 3

    def select(self, search: Search) -> list[Ask]:
        if search.round == 0:
            return [Ask(search.tree.root, 1, self.sampling, role="solution")]
        if search.round > 1 or not search.done or not self._wanted(draft := search.done[0]):
            return []
        path = search.tree.path(draft)
        asked = about(self.global_, search.problem, path.text)
        asks = [Ask(draft, 1, self.sampling, role="solution", start=0, problem=asked, by="global")]
        wrong = first_below(draft.scores or (), self.where)
        draft.data["first_error"] = wrong
        if wrong is not None and wrong != NO_ERROR:
            asked = marked(self.local, search.problem, step_texts(path), wrong)
            start = step_start(path, wrong)
            asks.append(Ask(draft, 1, self.sampling, role="solution", start=start, problem=asked, by="local"))
        return asks

    def _wanted(self, draft: Node) -> bool:
        orm = _orm(draft)
        return self.when is None or (orm is not None and orm < self.when)

    def choose(self, search: Search) -> Node | None:
        nodes = self.candidates(search)
        winner = VOTES["bon"]([n.canon for n in nodes], [_orm(n) for n in nodes])
        return None if winner is None else nodes[winner]


def _orm(node: Node) -> float | None:
    """The score of the last step, and of no other where it is missing."""
    return node.scores[-1] if node.scores else None


def marked(template: str, problem: Problem, steps: Sequence[str], wrong: int) -> Problem:
    """The local refiner's question; marks that the draft itself holds are not marks."""
    texts = [fence(text, TAGS).text.replace(BAD, "(BAD)") for text in steps]
    shown = "".join([*texts[:wrong], f"{BAD} ", *texts[wrong:]])
    return reworded(problem, fill(template, problem=fence(problem.prompt, TAGS).text, solution=shown))


@dataclass(frozen=True)
class StepsThenOutcome:
    """Scorer: the scores of `steps` (a SORM), but on the last step that of `outcome` (an ORM).

    Where one of the two gives nothing, its scores are None and the error says so; cost is the sum.
    """

    steps: Scorer
    outcome: Scorer

    question = Question.QUALITY

    @cached_property
    def source(self) -> Source:
        return Source.of("steps-then-outcome", steps=str(self.steps.source), outcome=str(self.outcome.source))

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        columns = [scorer.score(traces) for scorer in (self.steps, self.outcome)]
        if any([j.trace for j in column] != [t.id for t in traces] for column in columns):
            raise BackendError(
                f"{self.source}: a member's judgements are not of the {len(traces)} traces, in order"
            )
        return [self._join(*row) for row in zip(traces, *columns, strict=True)]

    def _join(self, trace: Trace, steps: Judgement, outcome: Judgement) -> Judgement:
        n = len(trace.steps)
        parts = [_whole(j, n) for j in (steps, outcome)]
        scores = (*(parts[0].scores or (None,) * n)[:-1], *(parts[1].scores or (None,))[-1:])
        return Judgement(
            trace=trace.id,
            question=self.question,
            source=self.source,
            scores=scores[:n] if any(s is not None for s in scores) else None,
            flags=tuple(dict.fromkeys((*steps.flags, *outcome.flags))),
            usage=steps.usage + outcome.usage,
            error=None if None not in scores else next((p.error for p in parts if p.error), None),
        )


def _whole(judged: Judgement, n: int) -> Judgement:
    if judged.scores is None or len(judged.scores) == n:
        return judged
    why = f"{judged.source} gave {len(judged.scores)} scores for {n} steps"
    return replace(judged, scores=None, error=ItemError("score-count", why))
