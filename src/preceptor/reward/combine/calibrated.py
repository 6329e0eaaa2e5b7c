"""A scorer whose scores are mapped to probabilities that come true (temperature, Platt, isotonic).

The map is fitted on one set of traces with targets and applied to any other. Fit it on *problems* that are
not measured on: steps of one problem, and of one trace, resemble each other, so a split by step or by
trace makes the result look better than it is. The split is the caller's task. All maps are non-decreasing:
rankings by one step's score are kept or tied, never swapped (products and means over steps may change).

The question stays the member's; where the targets are labels of another question (a quality score mapped to
the chance that a step is valid), say so with `answers`. The member's `rationale` is passed on; its
`first_error` and `counts` are not, since they may contradict the new scores. Cost: the member's. Left out:
calibration by place in the trace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from preceptor.errors import InputError, ItemError
from preceptor.judgement import Judgement, Question, Scorer, Source
from preceptor.reward.combine.calibration_maps import ScoreMap, fit_map, map_from_record
from preceptor.reward.combine.parts import Scores, ask, combined, names_of, scores_of
from preceptor.trace import Trace


@dataclass(frozen=True)
class Calibrated:
    """Scorer of the member's question, or of `answers`; scores in [0, 1].

    A trace with a score the map cannot take (outside [0, 1] under temperature or `platt`) has none, and the
    error `"outside-range"`.
    """

    scorer: Scorer
    map: ScoreMap
    answers: Question | None = None

    @classmethod
    def fit(
        cls,
        scorer: Scorer,
        traces: Sequence[Trace],
        targets: Sequence[Scores | None],
        method: str = "temperature",
        answers: Question | None = None,
    ) -> Self:
        """Score the traces in one call and fit the map of the method: `"temperature"`, `"platt"`,
        `"platt-raw"` or `"isotonic"`.

        `targets` has one entry per trace: None, or a number in [0, 1] or None per step, as in
        `[j.scores for j in labels]`. InputError where the lengths differ or nothing is left to fit.
        """
        if len(traces) != len(targets):
            raise InputError(f"got {len(traces)} traces and {len(targets)} targets, expected as many of each")
        pairs: list[tuple[float, float]] = []
        for trace, judged, target in zip(traces, ask(scorer, traces), targets, strict=True):
            if target is None:
                continue
            if len(target) != len(trace.steps):
                raise InputError(
                    f"trace {trace.id}: got {len(target)} targets for {len(trace.steps)} steps. Give one "
                    "target, or None, per step."
                )
            both = zip(scores_of(judged, len(trace.steps)), target, strict=True)
            pairs += [(s, y) for s, y in both if s is not None and y is not None]
        table = np.asarray(pairs, dtype=np.float64).reshape(-1, 2)
        return cls(scorer, fit_map(table[:, 0], table[:, 1], method), answers)

    @property
    def question(self) -> Question:
        return self.scorer.question if self.answers is None else self.answers

    @cached_property
    def source(self) -> Source:
        names = names_of([self.scorer])
        return Source.of("calibrated", members=names, map=self.map.to_record(), question=self.question.value)

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        return [self._apply(t, j) for t, j in zip(traces, ask(self.scorer, traces), strict=True)]

    def _apply(self, trace: Trace, judged: Judgement) -> Judgement:
        scores = scores_of(judged, len(trace.steps))
        try:
            mapped = [None if s is None else self.map(s) for s in scores]
        except InputError as problem:
            error = ItemError("outside-range", str(problem))
            return combined(self, trace, [None] * len(scores), [judged], error=error)
        return combined(self, trace, mapped, [judged], rationale=judged.rationale)

    def to_record(self) -> dict[str, Any]:
        """JSON object with the map, the question, and the source of the scorer it was fitted to."""
        return {
            "map": self.map.to_record(),
            "answers": None if self.answers is None else self.answers.value,
            "scorer": str(self.scorer.source),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any], scorer: Scorer) -> Self:
        """Put the map back on its scorer; InputError when it was fitted to another one."""
        if record["scorer"] != str(scorer.source):
            raise InputError(
                f"calibration: fitted to {record['scorer']}, got {scorer.source}. Fit it anew: a map holds for "
                "one scorer only."
            )
        answers = record.get("answers")
        return cls(scorer, map_from_record(record["map"]), None if answers is None else Question(answers))
