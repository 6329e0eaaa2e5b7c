"""A second pass that reads the steps backwards (BiPRM: bidirectional process reward model).

The same scorer, in the same layout, judges the trace with its steps in reverse order, so that a step is read
with only the later steps (and the problem) before it. The score of a step is
`w * forward + (1 - w) * backward`: w = 1/2 in the first version, a learned gate in the later one. Both
passes are rows of one call. Our deviation: the published gate is a linear layer on hidden states (about
0.3 % of the parameters), ours reads the two scores and the place of the step, so it fits any scorer; its
exact inputs are not found in what we know of the paper.

The reversed text: steps change places, the white space that ends them does not. `a\\nb\\nc` becomes
`c\\nb\\na`: a last step without a newline is neither glued to the step it now precedes nor given a newline
the forward pass never had. White space that begins a step, and separators written as text, move with it.

Cost: two passes; one for a trace of one step, where both are the same, and one where w is 0 or 1. A pass
that is not needed is not made. Left out: training through the fused score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from preceptor.errors import InputError
from preceptor.judgement import Judgement, Question, Scorer, Source
from preceptor.reward.combine.gate import Gate
from preceptor.reward.combine.parts import ask, combined, names_of, scores_of
from preceptor.trace import Step, Trace


def reversed_trace(trace: Trace) -> Trace:
    """The trace with its steps in reverse order, and the white space at the ends of steps where it was.

    It has no writer, tokens or grade, since nobody wrote it; its parent is the trace.
    """
    bodies = [text.rstrip() for text in trace.step_texts]
    gaps = [text[len(body) :] for text, body in zip(trace.step_texts, bodies, strict=True)]
    text, steps = "", []
    for step, body, gap in zip(trace.steps[::-1], bodies[::-1], gaps, strict=True):
        start, text = len(text), text + body + gap
        steps.append(Step(start, len(text), step.kind, step.observation))
    return Trace(trace.problem, text, tuple(steps), trace.finish, parent=trace.id)


@dataclass(frozen=True)
class Reversed:
    """Scorer of the member's question: forward and backward scores, fused.

    A step that either pass left unscored has no score.
    """

    scorer: Scorer
    weight: float | Gate = 0.5
    """Share of the forward score, in [0, 1], or a fitted gate."""

    def __post_init__(self) -> None:
        if not isinstance(self.weight, Gate) and not 0 <= self.weight <= 1:
            raise InputError(f"weight: got {self.weight}, expected the forward share in [0, 1] or a Gate")

    @property
    def question(self) -> Question:
        return self.scorer.question

    @cached_property
    def source(self) -> Source:
        weight = self.weight.to_record() if isinstance(self.weight, Gate) else self.weight
        return Source.of("reversed", members=names_of([self.scorer]), weight=weight)

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        both = self.passes(traces)
        return [self._fuse(trace, *pair) for trace, pair in zip(traces, both, strict=True)]

    def passes(self, traces: Sequence[Trace]) -> list[tuple[Judgement | None, Judgement | None]]:
        """Per trace the forward and the backward judgement, each in its own order of steps; None for a pass
        that was not needed. What `Gate.fit` learns from."""
        forward = [i for i, t in enumerate(traces) if self.weight != 0 or len(t.steps) < 2]
        backward = [i for i, t in enumerate(traces) if self.weight != 1 and len(t.steps) > 1]
        rows = [traces[i] for i in forward] + [reversed_trace(traces[i]) for i in backward]
        judged = ask(self.scorer, rows)
        ahead = dict(zip(forward, judged[: len(forward)], strict=True))
        back = dict(zip(backward, judged[len(forward) :], strict=True))
        return [(ahead.get(i), back.get(i)) for i in range(len(traces))]

    def _fuse(self, trace: Trace, forward: Judgement | None, backward: Judgement | None) -> Judgement:
        parts = [j for j in (forward, backward) if j is not None]
        count = len(trace.steps)
        if forward is None or backward is None:
            scores = scores_of(parts[0], count)
            return combined(self, trace, scores if forward else scores[::-1], parts)
        pairs = zip(scores_of(forward, count), scores_of(backward, count)[::-1], strict=True)
        fused = [
            None if f is None or b is None else self._mix(f, b, (t + 1) / count)
            for t, (f, b) in enumerate(pairs)
        ]
        return combined(self, trace, fused, parts)

    def _mix(self, forward: float, backward: float, place: float) -> float:
        share = self.weight(forward, backward, place) if isinstance(self.weight, Gate) else self.weight
        return share * forward + (1 - share) * backward
