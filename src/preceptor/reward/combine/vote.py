"""Several scorers vote: on each step, or on the first error.

    steps         a member calls a step good when its score is at least its threshold; the score is the
                  share of members that do. A step is right when more than half say so (a tie is not, as in
                  Natural Program), and `first_error` is the first that is not right
    first_error   each member names its first error: its own where it gives one, else its first score below
                  the threshold. `first_error` is the one named most often; a tie at the top is no decision
                  (None, flagged `"tie"`). A member that names e says that the steps before e are right, e
                  is wrong, and nothing of later ones; the score of a step is the share of right among the
                  members that say something, None where nobody does

A vote share is not a mean of probabilities: verdicts (0.9, 0.4, 0.4) have the mean 0.567 and the share 1/3
(GenPRM's example). Members that do not judge a step abstain with `missing="skip"`; with `"none"` nothing is
decided without them. Cost: the sum of the members'.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from preceptor.errors import InputError
from preceptor.judgement import NO_ERROR, Judgement, Question, Scorer, Source, first_below
from preceptor.reward.combine.parts import Scores, ask, combined, names_of, one_question, scores_of
from preceptor.trace import Trace


@dataclass(frozen=True)
class Vote:
    """Scorer of the members' common question, or of `answers`; scores are shares in [0, 1]."""

    members: tuple[Scorer, ...]
    thresholds: float | tuple[float, ...] = 0.5
    """One for all members, or one each."""
    on: Literal["steps", "first_error"] = "steps"
    missing: Literal["none", "skip"] = "none"
    answers: Question | None = None

    def __post_init__(self) -> None:
        one_question(self.members, self.answers)
        if self.on not in ("steps", "first_error") or self.missing not in ("none", "skip"):
            raise InputError(
                f"got on={self.on!r} and missing={self.missing!r}, expected 'steps' or 'first_error', and "
                "'none' or 'skip'"
            )
        if len(self._thresholds) != len(self.members):
            raise InputError(
                f"thresholds: got {len(self._thresholds)}, expected one number or {len(self.members)}"
            )

    @property
    def _thresholds(self) -> tuple[float, ...]:
        if isinstance(self.thresholds, tuple):
            return self.thresholds
        return (self.thresholds,) * len(self.members)

    @property
    def question(self) -> Question:
        return one_question(self.members, self.answers)

    @cached_property
    def source(self) -> Source:
        return Source.of(
            "vote",
            members=names_of(self.members),
            thresholds=self._thresholds,
            on=self.on,
            missing=self.missing,
            question=self.question.value,
        )

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        columns = [ask(member, traces) for member in self.members]
        count = self._count_steps if self.on == "steps" else self._count_first_errors
        return [count(trace, [c[i] for c in columns]) for i, trace in enumerate(traces)]

    def _count_steps(self, trace: Trace, parts: list[Judgement]) -> Judgement:
        rows = zip(*(scores_of(j, len(trace.steps)) for j in parts), strict=True)
        verdicts = [
            [None if s is None else s >= th for s, th in zip(row, self._thresholds, strict=True)]
            for row in rows
        ]
        shares = [self._share(row) for row in verdicts]
        right = [None if s is None else float(s > 0.5) for s in shares]
        skipped = any(None in row and share is not None for row, share in zip(verdicts, shares, strict=True))
        flags = ("member-missing",) if skipped else ()
        return combined(self, trace, shares, parts, first_error=first_below(right, 0.5), flags=flags)

    def _share(self, verdicts: Sequence[bool | None]) -> float | None:
        given = [v for v in verdicts if v is not None]
        if not given or (len(given) < len(verdicts) and self.missing == "none"):
            return None
        return sum(given) / len(given)

    def _count_first_errors(self, trace: Trace, parts: list[Judgement]) -> Judgement:
        named = [
            _first_error(j, scores_of(j, len(trace.steps)), th)
            for j, th in zip(parts, self._thresholds, strict=True)
        ]
        votes = [e for e in named if e is not None]
        if not votes or (len(votes) < len(named) and self.missing == "none"):
            return combined(self, trace, [None] * len(trace.steps), parts)
        scores: list[float | None] = []
        for t in range(len(trace.steps)):
            heard = [e == NO_ERROR or e > t for e in votes if e == NO_ERROR or e >= t]
            scores.append(sum(heard) / len(heard) if heard else None)
        ranked = Counter(votes).most_common()
        tie = len(ranked) > 1 and ranked[0][1] == ranked[1][1]
        flags = [name for name, on in (("tie", tie), ("member-missing", len(votes) < len(named))) if on]
        winner = None if tie else ranked[0][0]
        return combined(self, trace, scores, parts, first_error=winner, flags=flags)


def _first_error(judged: Judgement, scores: Scores, threshold: float) -> int | None:
    return first_below(scores, threshold) if judged.first_error is None else judged.first_error
