"""Rubric rewards ("Rubric Reward Model", catalogue index 154): a right answer is not yet a sound solution.

For each problem a policy writes a rubric from problem and reference; a judge reads problem, rubric and trace,
says where each criterion is met and which steps are flawed, and gives a score in [0, 1]. Published taxonomy of
unsound right answers: miracle steps; the four others are from memory, and `error` is ours. Score 0 for a wrong
answer and the threshold 0.8 are our defaults (not found). Prompts, grammars and one reply per trace are ours.
Cost: one rubric per problem and one judge call per trace. Left out: training on the score.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

from preceptor.annotate.judges.asking import Asking, no_steps, once
from preceptor.annotate.judges.checks import numbered
from preceptor.annotate.judges.rubric_text import (
    FLAWS,
    JUDGE,
    MIRACLE,
    TAGS,
    WRITE,
    Rubric,
    read_judgement,
    read_rubric,
    writing_prompt,
)
from preceptor.annotate.judges.rubric_text import written as written
from preceptor.annotate.judges.rubric_text import written_rubric as written_rubric
from preceptor.annotate.judges.verdict import fence, fill
from preceptor.annotate.rollout.montecarlo import outcome
from preceptor.errors import InputError, ItemError
from preceptor.generation import Continuation, Policy
from preceptor.judgement import NO_ERROR, Judgement, Question, Source
from preceptor.trace import Finish, Problem, Trace
from preceptor.usage import Ledger, Usage

UNREAD_RUBRIC, UNREAD_SCORE, UNGRADED = "unread-rubric", "unread-score", "ungraded"
WRONG_ANSWER = "wrong-answer"


@dataclass(frozen=True)
class RubricJudge:
    """Scorer of quality. The score of the trace stands at its last step; a miracle step before it has 0.0 at
    its place, the other steps None; a miracle at the last step shows in flags and rationale only.

    `first_error` is the first flawed step, `NO_ERROR` if the judge names none. `rationale[t]` is the kind of
    step t's flaw, at the last step the whole reply. Flags: the kinds of flaws, once per step; `wrong-answer`
    where the answer set the score to 0, `ungraded` where it could not be checked, `fenced-tag`. A trace whose
    problem got no rubric, or whose reply cannot be read, has an error and no scores.
    """

    name: ClassVar[str] = "rubric"
    cost: ClassVar[str] = "1 call of a judge, and 1 rubric per problem"
    question: ClassVar[Question] = Question.QUALITY

    policy: Policy
    """The judge."""
    writer: Policy | None = None
    """Who writes the rubrics, asked once per problem in the lifetime of this object; None: the judge itself."""
    gate: bool = True
    """Score 0 where the answer is graded wrong."""
    asking: Asking = field(default_factory=Asking)

    @cached_property
    def source(self) -> Source:
        return Source.of(
            self.name,
            policy=self.policy.fingerprint,
            writer=(self.writer or self.policy).fingerprint,
            gate=self.gate,
            templates=[WRITE, JUDGE],
            asking=self.asking.to_record(),
        )

    @cached_property
    def _rubrics(self) -> dict[str, Rubric]:
        return {}

    def rubrics(self, problems: Sequence[Problem]) -> list[tuple[Rubric | ItemError, Usage]]:
        """One per problem; whoever is first to need a rubric carries its cost. Failures are asked again."""
        new = {p.id: p for p in problems if p.id not in self._rubrics}
        asked = [self.asking.request(p, writing_prompt(p)) for p in new.values()]
        replies = dict(zip(new, once((self.writer or self.policy).generate, asked), strict=True))
        failed = {}
        for name, reply in replies.items():
            rubric = read_rubric(self.asking.lead + reply.text) if _whole(reply) else None
            if rubric is None:
                failed[name] = reply.error or ItemError(UNREAD_RUBRIC, "the rubric could not be read")
            else:
                self._rubrics[name] = rubric
        usages = {name: reply.usage for name, reply in replies.items()}
        return [
            (failed[p.id] if p.id in failed else self._rubrics[p.id], usages.pop(p.id, Usage()))
            for p in problems
        ]

    def prompt(self, trace: Trace, rubric: Rubric) -> tuple[str, bool]:
        """The judge's prompt, and whether something in it had to be made harmless."""
        problem, criteria = fence(trace.problem.prompt, TAGS), fence(str(rubric), TAGS)
        solution = numbered(trace.step_texts, TAGS)
        slots = {"problem": problem.text, "rubric": criteria.text, "solution": solution.text}
        shown = fill(JUDGE, **slots, flaws=", ".join(FLAWS))
        return shown, problem.touched or criteria.touched or solution.touched

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        """One judgement per trace, from one batched call for all rubrics and one for all traces."""
        sound = [trace for trace in traces if trace.steps]
        found = iter(self.rubrics([trace.problem for trace in sound]))
        rubrics = [next(found) if trace.steps else None for trace in traces]
        shown = [
            self.prompt(trace, got[0]) if got is not None and isinstance(got[0], Rubric) else None
            for trace, got in zip(traces, rubrics)
        ]
        asked = [self.asking.request(t.problem, s[0]) for t, s in zip(traces, shown) if s is not None]
        replies = iter(once(self.policy.generate, asked))
        judged = []
        for trace, got, own in zip(traces, rubrics, shown):
            if got is None:
                judged.append(no_steps(trace, self.question, self.source))
            elif isinstance(got[0], ItemError) or own is None:
                error = got[0] if isinstance(got[0], ItemError) else None
                judged.append(self._failed(trace, error, got[1]))
            else:
                judged.append(self._judge(trace, got[0], next(replies), got[1], own[1]))
        return judged

    def _judge(
        self, trace: Trace, rubric: Rubric, reply: Continuation, paid: Usage, touched: bool
    ) -> Judgement:
        usage, text, n = paid + reply.usage, self.asking.lead + reply.text, len(trace.steps)
        found = read_judgement(text, len(rubric.criteria), n) if _whole(reply) else None
        if found is None:
            error = reply.error or ItemError(UNREAD_SCORE, "the judge's reply could not be read")
            return self._failed(trace, error, usage, int(reply.error is None), touched)
        score, flags = found.score, ["fenced-tag"] if touched else []
        if self.gate:
            graded = outcome(trace)
            wrong = graded.decided and not graded.correct
            score = 0.0 if wrong else score
            flags += [WRONG_ANSWER] if wrong else [] if graded.decided else [UNGRADED]
        miracles = [0.0 if found.flaws.get(t) == MIRACLE else None for t in range(n - 1)]
        return Judgement(
            trace=trace.id,
            question=self.question,
            source=self.source,
            scores=(*miracles, score),
            first_error=min(found.flaws, default=NO_ERROR),
            rationale=(*(found.flaws.get(t) for t in range(n - 1)), text),
            flags=(*flags, *(found.flaws[t] for t in sorted(found.flaws))),
            usage=Ledger(scorer=usage),
        )

    def _failed(
        self, trace: Trace, error: ItemError | None, usage: Usage, undecided: int = 0, touched: bool = False
    ) -> Judgement:
        flags = [*(["fenced-tag"] if touched else []), *([error.kind] if error else [])]
        return Judgement(
            trace.id,
            self.question,
            self.source,
            None,
            undecided=undecided,
            flags=tuple(flags),
            usage=Ledger(scorer=usage),
            error=error,
        )


def verified_pass_at_n(
    correct: Sequence[Sequence[bool | None]],
    scores: Sequence[Sequence[float | None]],
    n: int,
    threshold: float = 0.8,
) -> float:
    """Chance that among `n` samples of a problem one is right *and* has a score of at least `threshold`,
    averaged over the problems; exact over all subsets of the samples given. Unknown is not verified.

    >>> verified_pass_at_n([[True, True, False, True]], [[0.9, 0.1, 0.9, 0.8]], 1)
    0.5
    """
    if not correct or n < 1 or any(len(own) < n for own in correct):
        raise InputError(
            f"verified_pass_at_n: got n {n}, expected 1 or more, and as many samples per problem"
        )
    chances = []
    for right, given in zip(correct, scores, strict=True):
        good = sum(bool(c) and s is not None and s >= threshold for c, s in zip(right, given, strict=True))
        chances.append(1 - math.comb(len(right) - good, n) / math.comb(len(right), n))
    return math.fsum(chances) / len(chances)


def _whole(reply: Continuation) -> bool:
    return reply.error is None and reply.finish is not Finish.LENGTH
