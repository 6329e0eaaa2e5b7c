"""Each step judged with the problem and the steps it cites, and nothing else (Natural Program verification).

For every step one small trace is made of the cited steps, in their order, and the step; the scorer's score
of its last step is the score. An uncited step can thus neither mislead the scorer nor excuse the step. All
small traces of all traces go into one call.

A step that cites itself or a later step, a number no step has, or nothing is not judged: its score is
`refused`, None unless set, and the judgement is flagged `"forward-citation"`, `"dangling-citation"` or
`"no-citation"`. The published rule lets a step without citation fail: `refused=0.0`. With `closure` the
steps that the cited ones cite are shown too, down to the problem; a scorer that must follow the whole
derivation needs it. A refused step in that chain adds nothing of its own.

The paper's three checks (grounding, reasoning, calculation), several verdicts per step and the
unanimity-plurality vote belong to the judge and to `search`. Cost: one small trace per step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from preceptor.errors import InputError, ItemError
from preceptor.judgement import Judgement, Question, Scorer, Source
from preceptor.reward.combine.citations import NOWHERE, Cited, Citer, WrittenCitations
from preceptor.reward.combine.parts import ask, combined, names_of
from preceptor.trace import Finish, Step, Trace


def restricted(trace: Trace, t: int, cited: Sequence[int]) -> Trace:
    """The trace of the `cited` steps, all before t, in their order, and step t."""
    text, steps = "", []
    for i in (*sorted(set(cited)), t):
        old = trace.steps[i]
        start, text = len(text), text + trace.text[old.start : old.end]
        steps.append(Step(start, len(text), old.kind, old.observation))
    whole = t == len(trace.steps) - 1
    finish = trace.finish if whole else Finish.BOUNDARY
    return Trace(trace.problem, text, tuple(steps), finish, parent=trace.id)


def fault(t: int, cited: Cited) -> str | None:
    """The flag of citations that step t cannot be judged by, if they are such."""
    if cited is None:
        return "no-citation"
    if any(i >= t for i in cited):
        return "forward-citation"
    return "dangling-citation" if NOWHERE in cited else None


def closures(cited: Sequence[Cited]) -> list[Cited]:
    """Per step the steps it rests on, directly or through others; faulty citations are left as they are."""
    out: list[Cited] = []
    for t, own in enumerate(cited):
        if own is None or fault(t, own):
            out.append(own)
            continue
        rest = set(own)
        for i in own:
            further = out[i]
            if further is not None and fault(i, further) is None:
                rest |= set(further)
        out.append(tuple(sorted(rest)))
    return out


@dataclass(frozen=True)
class Premises:
    """Scorer of the member's question. `rationale` is the member's on the last step of each small trace."""

    scorer: Scorer
    cites: Citer = field(default_factory=WrittenCitations)
    """A function of the trace; its `name` (or `__qualname__`) stands in the source."""
    closure: bool = False
    refused: float | None = None
    """Score of a step with faulty citations."""

    @property
    def question(self) -> Question:
        return self.scorer.question

    @cached_property
    def source(self) -> Source:
        name = getattr(self.cites, "name", None) or getattr(self.cites, "__qualname__", "")
        if not name:
            raise InputError(f"cites: got {self.cites!r}, expected a function, or an object with a `name`")
        names = names_of([self.scorer])
        return Source.of("premises", members=names, cites=name, closure=self.closure, refused=self.refused)

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        cited = [self._cited(trace) for trace in traces]
        small = [
            [
                (t, restricted(trace, t, own))
                for t, own in enumerate(rows)
                if own is not None and not fault(t, own)
            ]
            for trace, rows in zip(traces, cited, strict=True)
        ]
        judged = iter(ask(self.scorer, [row for rows in small for _, row in rows]))
        return [
            self._join(trace, rows, {t: next(judged) for t, _ in own})
            for trace, rows, own in zip(traces, cited, small, strict=True)
        ]

    def _cited(self, trace: Trace) -> Sequence[Cited]:
        cited = self.cites(trace)
        if len(cited) != len(trace.steps):
            raise InputError(
                f"cites: got {len(cited)} entries for the {len(trace.steps)} steps of trace {trace.id}, "
                "expected one per step"
            )
        return closures(cited) if self.closure else cited

    def _join(self, trace: Trace, cited: Sequence[Cited], parts: dict[int, Judgement]) -> Judgement:
        scores: list[float | None] = [self.refused] * len(trace.steps)
        why: list[str | None] = [None] * len(trace.steps)
        error = None
        for t, part in parts.items():
            scores[t] = None if part.scores is None else part.scores[-1]
            why[t] = part.rationale[-1] if part.rationale else None
            if part.error is not None and scores[t] is None and error is None:
                error = ItemError(part.error.kind, f"step {t}: {part.error.message}")
        flags = dict.fromkeys(f for t, own in enumerate(cited) if (f := fault(t, own)))
        rationale = why if any(why) else None
        return combined(
            self, trace, scores, list(parts.values()), flags=tuple(flags), rationale=rationale, error=error
        )
