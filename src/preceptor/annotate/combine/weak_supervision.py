"""Several scorers made one by a label model (programmatic weak supervision, catalogue index 63).

A part votes 1 on a step whose score reaches its threshold, 0 below it, and abstains where it gives none; a part that
failed abstains on the whole trace. Scores are posteriors. `structure="steps"` takes steps as independent (the survey's
model), "first-error" keeps one first error per trace (ours). Fit once (`fitted`, or `fit_to` for judgements that are
there already) and label with the result: unfitted, `score` fits on the traces of each call and flags it. Cost: that of
the parts. Left out: choosing the parts; end models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import ClassVar, Literal

from preceptor.annotate.combine import first_error_model, label_model
from preceptor.annotate.combine.first_error_model import FirstErrorModel, Votes
from preceptor.annotate.combine.label_model import EM, LabelModel, Vote
from preceptor.annotate.combine.parts import ask, at_least, failures, spent
from preceptor.errors import InputError, ItemError
from preceptor.judgement import Judgement, Question, Scorer, Source, first_below
from preceptor.trace import Trace

HERE, DEPENDENT = "fitted-on-batch", "dependent-parts"


@dataclass(frozen=True)
class WeakSupervision:
    """Scorer of validity, in [0, 1]: P(the step is right), or with "first-error" P(no error so far).

    None where every part abstains (with "first-error": on the whole trace). Flags: `fitted-on-batch`, and
    `dependent-parts` where two parts vote too much alike to count as two.
    """

    name: ClassVar[str] = "weak-supervision"
    cost: ClassVar[str] = "the sum of its parts"
    question: ClassVar[Question] = Question.VALIDITY

    parts: tuple[Scorer, ...]
    """Value parts may stand beside validity parts: each is read through its own confusion."""
    structure: Literal["steps", "first-error"] = "steps"
    thresholds: tuple[float, ...] | None = None
    """One per part; None: 0.5 each. For a soft Monte Carlo rate take a number just above 0."""
    model: LabelModel | FirstErrorModel | None = None
    """What the parts are worth; None fits it anew in every call of `score`."""
    em: EM = field(default_factory=EM)
    dependent: tuple[tuple[int, int], ...] = ()
    """Pairs of parts that the fit found too much alike."""

    def __post_init__(self) -> None:
        at_least(self.parts, 1, self.name)
        if self.structure not in ("steps", "first-error"):
            raise InputError(f"structure: got {self.structure!r}, expected 'steps' or 'first-error'.")
        if len(self._thresholds) != len(self.parts):
            raise InputError(
                f"thresholds: got {self.thresholds}, expected one for each of {len(self.parts)} parts."
            )
        wanted = LabelModel if self.structure == "steps" else FirstErrorModel
        if self.model is not None and not (
            isinstance(self.model, wanted) and len(self.model.labellers) == len(self.parts)
        ):
            raise InputError(
                f"model: got a {type(self.model).__name__} of {len(self.model.labellers)} labellers, expected a "
                f"{wanted.__name__} of {len(self.parts)}."
            )

    @property
    def _thresholds(self) -> tuple[float, ...]:
        return (0.5,) * len(self.parts) if self.thresholds is None else self.thresholds

    @cached_property
    def source(self) -> Source:
        return Source.of(
            self.name,
            parts=[str(part.source) for part in self.parts],
            structure=self.structure,
            thresholds=list(self._thresholds),
            model=None if self.model is None else asdict(self.model),
            em=asdict(self.em),
        )

    def fitted(self, traces: Sequence[Trace]) -> WeakSupervision:
        """The same with a model learned from these traces; asks the parts."""
        return self.fit_to(traces, ask(self.parts, traces))

    def fit_to(self, traces: Sequence[Trace], judged: Sequence[Sequence[Judgement]]) -> WeakSupervision:
        """The same with a model learned from judgements: per trace, one of each part."""
        votes = [self.votes(trace, parts) for trace, parts in zip(traces, judged, strict=True)]
        rows = [row for own in votes for row in own]
        if not any(vote is not None for row in rows for vote in row):
            raise InputError(f"{self.name}: got no vote on {len(traces)} traces, expected some to fit to.")
        model: LabelModel | FirstErrorModel
        if self.structure == "steps":
            model = label_model.fit(rows, self.em)
        else:
            model = first_error_model.fit(votes, self.em)
        pairs = tuple(found.pair for found in label_model.dependent(rows, self.em))
        return replace(self, model=model, dependent=pairs)

    def votes(self, trace: Trace, parts: Sequence[Judgement]) -> Votes:
        """Per step, the vote of each part."""
        columns = [
            _column(judged, len(trace.steps), threshold)
            for judged, threshold in zip(parts, self._thresholds, strict=True)
        ]
        return list(zip(*columns, strict=True))

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        return self.join(traces, ask(self.parts, traces))

    def join(self, traces: Sequence[Trace], judged: Sequence[Sequence[Judgement]]) -> list[Judgement]:
        """Merges judgements that are there already: per trace, one of each part. Their costs are summed."""
        votes = [self.votes(trace, parts) for trace, parts in zip(traces, judged, strict=True)]
        voted = any(vote is not None for own in votes for row in own for vote in row)
        fresh = self.model is None and voted
        used = self.fit_to(traces, judged) if fresh else self
        flags = (*([HERE] if fresh else []), *([DEPENDENT] if used.dependent else []))
        return [
            self._judge(trace, own, parts, used.model, flags)
            for trace, own, parts in zip(traces, votes, judged, strict=True)
        ]

    def _judge(
        self,
        trace: Trace,
        votes: Votes,
        parts: Sequence[Judgement],
        model: LabelModel | FirstErrorModel | None,
        flags: tuple[str, ...],
    ) -> Judgement:
        kept = tuple(dict.fromkeys(flag for part in parts for flag in part.flags))
        base = Judgement(trace.id, self.question, self.source, None, flags=kept + flags, usage=spent(parts))
        if model is None or not any(vote is not None for row in votes for vote in row):
            return replace(base, error=ItemError("no-votes", f"every part abstained: {failures(parts)}"))
        if isinstance(model, LabelModel):
            scores = tuple(
                q if any(v is not None for v in row) else None
                for q, row in zip(model.posterior(votes), votes)
            )
            return replace(base, scores=scores, first_error=first_below(scores, 0.5))
        posterior = model.posterior(votes)
        return replace(
            base,
            scores=first_error_model.labels(posterior),
            first_error=first_error_model.first_error(posterior),
        )


def _column(judged: Judgement, steps: int, threshold: float) -> list[Vote]:
    scores = (None,) * steps if judged.scores is None else judged.scores
    return [None if s is None else int(s >= threshold) for s in scores]
