"""The implicit reward read from a written-out solution, as EurusPRM's scripts lay it out.

The arithmetic is `likelihood.LogRatio`; here a trace becomes the text such a model was trained on, numbered
steps with a joiner between them, and a judgement of that text becomes one of the trace. The joiner stands
behind the token that ends a step: where a tokenizer merges the two (`.` and a blank line are one token for
many), the whole token counts to the step, as in the published code, which looks for the last token of each
step. (That code finds it by rendering every prefix anew and lands one token too far for all steps but the last.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from preceptor.judgement import Judgement, Question, Source
from preceptor.reward.layout import NUMBERED
from preceptor.reward.likelihood.log_ratio import LogRatio
from preceptor.trace import Finish, Trace, steps_from_ends

Ends = Callable[[str], Sequence[int]]
"""From a text to the character offset at which each of its tokens ends."""


@dataclass(frozen=True)
class ImplicitPRM:
    """Scorer: a log-ratio of two models over a numbered solution.

    `ends` None: steps end at their last character, whatever the tokens.
    """

    ratio: LogRatio
    name: str = "implicit"
    number: str = "Step {i}: "
    """Put before a step that does not number itself; `{i}` counts from 1."""
    joiner: str = "\n\n"
    ends: Ends | None = None

    @property
    def question(self) -> Question:
        return self.ratio.question

    @cached_property
    def source(self) -> Source:
        return Source.of(self.name, ratio=str(self.ratio.source), text=[self.number, self.joiner])

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        """One judgement per trace, in order; scores, errors and usage are the log-ratio's."""
        judged = self.ratio.score([self.written(trace) for trace in traces])
        return [
            replace(found, trace=trace.id, source=self.source)
            for trace, found in zip(traces, judged, strict=True)
        ]

    def written(self, trace: Trace) -> Trace:
        """The trace as the models read it: same number of steps, other text."""
        lines = []
        for i, (step, own) in enumerate(zip(trace.steps, trace.step_texts, strict=True), start=1):
            own = own.strip()
            lead = "" if NUMBERED.match(own) else self.number.replace("{i}", str(i))
            lines.append(lead + own + (f"\n{step.observation.strip()}" if step.observation else ""))
        text = self.joiner.join(lines)
        stops, at = [], 0
        for line in lines:
            at += len(line)
            stops.append(at)
            at += len(self.joiner)
        return Trace(trace.problem, text, steps_from_ends(self._whole_tokens(text, stops)), Finish.STOP)

    def _whole_tokens(self, text: str, stops: Sequence[int]) -> list[int]:
        """Each stop moved to the end of the token that holds the character before it."""
        ends = list(self.ends(text)) if self.ends is not None and text else []
        found, k = [], 0
        for stop in stops:
            while k < len(ends) and ends[k] < stop:
                k += 1
            found.append(ends[k] if k < len(ends) else stop)
        return [*found[:-1], len(text)] if found else []
