"""Step verdicts in two passes: named partial verdicts first, then the step's, given those (PathFinder-PRM,
"Error Typing for Smarter Rewards", arXiv 2505.19706).

Every step is a row of its own: the problem, the steps before it, the step, and a line with one placeholder
token per partial verdict. The first pass compares the two verdict tokens at the position before each
placeholder, as the model was trained with a shifted loss. The verdicts it prefers replace the placeholders, one
more placeholder is appended, and the second pass reads the score there: p(good) of the two.

All steps of all traces are batched: two rounds of forward passes whatever the number of traces. A step's row
begins as the next one's does, so each round computes every step about twice, once as the current one. A row
that does not fit the context loses its earliest steps (flag `windowed`); a step that does not even fit alone has
no score.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from threading import Lock
from typing import TYPE_CHECKING

from preceptor.errors import ItemError, ModelError
from preceptor.generation import Message
from preceptor.judgement import Judgement, Question, Source
from preceptor.reward.render import Row
from preceptor.trace import Trace
from preceptor.usage import Ledger, Usage

if TYPE_CHECKING:
    from preceptor.reward.scorer import PRM

Ids = tuple[int, ...]
GUIDED = -1.0
"""Score of a step with a bad partial verdict, by the rule for guided search."""


@dataclass(frozen=True)
class Wording:
    """The text around problem and steps, and the words that are single tokens."""

    user: str
    """The user's message, with the slot `{problem}`."""
    parts: tuple[tuple[str, str], ...]
    """Per partial verdict: its name, and the text in front of its placeholder."""
    final: str
    """Text in front of the last placeholder."""
    joiner: str = "\n\n"
    """Between steps, and before `current`."""
    current: str = "Current Step: "
    """In front of the step that is judged."""
    placeholder: str = "<extra>"
    good: str = "<+>"
    bad: str = "<->"

    @property
    def words(self) -> tuple[str, str, str]:
        return self.placeholder, self.good, self.bad


@dataclass(frozen=True)
class Asked:
    """One step's row before its verdicts, and what it left out."""

    row: Row
    windowed: bool


class TwoPass:
    """Scorer: p(good) of every step, given the model's own partial verdicts.

    `rationale` holds each step's partial verdicts in words, e.g. `math + 0.93, consistency - 0.21` with p(good);
    the flags `NAME-error` say which kinds occurred. `guided`: the authors' rule for search, -1 for a step with
    any bad partial verdict, without a second pass for it.
    """

    question = Question.VALIDITY

    def __init__(self, prm: PRM, wording: Wording, *, guided: bool = False):
        """`prm`: body, head (good and bad token, in this order) and link; its own layout is not used."""
        self.prm, self.wording, self.guided = prm, wording, guided
        self._encoder, self._lock = prm.render.encoder, Lock()
        ids = {word: self._encoder.tag_ids(word) for word in wording.words}
        if any(len(found) != 1 for found in ids.values()) or len(set(ids.values())) < len(ids):
            raise ModelError(
                f"two-pass format: got the tokens {ids}, expected one different token for each word. Put the "
                "tokenizer back that the model was trained with."
            )
        self._placeholder, self._good, self._bad = (ids[word][0] for word in wording.words)
        text = self._encoder.text
        self._asks = tuple((*text(before), self._placeholder) for _, before in wording.parts[1:])
        self._last = (*text(wording.final), self._placeholder)

    @cached_property
    def source(self) -> Source:
        name = self.prm.format.name or "two-pass"
        return Source.of(name, model=str(self.prm.source), wording=repr(self.wording), guided=self.guided)

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        """One judgement per trace. A step that does not fit the context, or whose score is not a number, is
        None and the judgement's `error` names it; a trace without steps has `scores == ()`."""
        with self._lock:  # a tokenizer must not be used by two threads at a time
            begin = time.perf_counter()
            asked = [[self._ask(trace, t) for t in range(len(trace.steps))] for trace in traces]
            first = _Round(self.prm, [[a.row for a in of if a] for of in asked])
            follow = [[self._follow(a, first) for a in of] for of in asked]
            second = _Round(self.prm, [[row for row in of if row] for of in follow])
            share = (time.perf_counter() - begin) / max(len(traces), 1)
            return [
                self._judge(trace, asked[i], follow[i], first, second, (i, share))
                for i, trace in enumerate(traces)
            ]

    def _ask(self, trace: Trace, t: int) -> Asked | None:
        """The row of step `t` with as many of the steps before it as fit; None when it does not fit alone."""
        prompt = self._prompt(trace)
        for start in range(t + 1):
            ids: Ids = (*prompt, *self._steps(trace, start, t), self._placeholder)
            reads = [len(ids) - 2]
            for ask in self._asks:
                ids = (*ids, *ask)
                reads.append(len(ids) - 2)
            if len(ids) + len(self._last) <= self.prm.format.max_length:
                return Asked(Row(ids, tuple(reads), (t,) * len(reads)), windowed=start > 0)
        return None

    def _prompt(self, trace: Trace) -> Ids:
        asked = Message("user", self.wording.user.replace("{problem}", trace.problem.prompt))
        parts = self._encoder.chat((asked, Message("assistant", "a")), False)
        return self._clean(tuple(i for part in parts[:-2] for i in part))

    def _steps(self, trace: Trace, start: int, t: int) -> Ids:
        w = self.wording
        shown = []
        for step, own in zip(trace.steps[start:t], trace.step_texts[start:t], strict=True):
            shown.append(own.strip() + (f"\n{step.observation.strip()}" if step.observation else ""))
        text = w.joiner.join([*shown, w.current + trace.step_texts[t].strip()]) + w.parts[0][1]
        return self._clean(self._encoder.text(text))

    def _clean(self, ids: Ids) -> Ids:
        """Without the words that only this scorer may write."""
        own = {self._placeholder, self._good, self._bad}
        return tuple(i for i in ids if i not in own) if own & set(ids) else ids

    def _follow(self, asked: Asked | None, first: _Round) -> Row | None:
        """The second row of a step, or None when it is not needed or cannot be written."""
        if asked is None:
            return None
        verdicts = first.scores[asked.row]
        if not all(map(math.isfinite, verdicts)) or (self.guided and min(verdicts) < 0.5):
            return None
        ids = list(asked.row.token_ids)
        for at, p in zip(asked.row.positions, verdicts, strict=True):
            ids[at + 1] = self._good if p >= 0.5 else self._bad
        ids += self._last
        return Row(tuple(ids), (len(ids) - 2,), asked.row.steps[:1])

    def _judge(
        self,
        trace: Trace,
        asked: Sequence[Asked | None],
        follow: Sequence[Row | None],
        first: _Round,
        second: _Round,
        place: tuple[int, float],
    ) -> Judgement:
        scores: list[float | None] = []
        reasons: list[str | None] = []
        wrong: set[str] = set()
        for a, row in zip(asked, follow, strict=True):
            verdicts = first.scores[a.row] if a else []
            score = second.scores[row][0] if row else math.nan
            if self.guided and verdicts and min(verdicts) < 0.5:
                score = GUIDED
            scores.append(score if math.isfinite(score) else None)
            named = list(zip((name for name, _ in self.wording.parts), verdicts))
            wrong |= {name for name, p in named if p < 0.5}
            reasons.append(", ".join(f"{n} {'+' if p >= 0.5 else '-'} {p:.2f}" for n, p in named) or None)
        flags = [*self._flags(trace), *(f"{name}-error" for name, _ in self.wording.parts if name in wrong)]
        if any(a and a.windowed for a in asked):
            flags.append("windowed")
        nothing = bool(scores) and all(s is None for s in scores)
        return Judgement(
            trace=trace.id,
            question=self.question,
            source=self.source,
            scores=None if nothing else tuple(scores),
            rationale=None if nothing else tuple(reasons),
            flags=tuple(flags),
            usage=Ledger(scorer=self._usage((first, second), *place)),
            error=self._error(asked, scores),
        )

    def _error(self, asked: Sequence[Asked | None], scores: Sequence[float | None]) -> ItemError | None:
        long = [t for t, a in enumerate(asked) if a is None]
        broken = [t for t, s in enumerate(scores) if s is None and t not in long]
        if broken:
            return ItemError("nan-score", f"the model's score of steps {broken[:5]} is not a number")
        if long:
            limit = self.prm.format.max_length
            return ItemError(
                "too-long", f"steps {long[:5]} do not fit the context of {limit} tokens beside the problem"
            )
        return None

    def _flags(self, trace: Trace) -> list[str]:
        text = trace.text + "".join(s.observation or "" for s in trace.steps)
        added = self.prm.tokenizer.added_tokens_decoder.values()
        special = {t.content for t in added if t.special} - set(self.wording.words)
        flags = ["neutralised-separator"] if any(word in text for word in self.wording.words) else []
        return flags + (["neutralised-special-token"] if any(word in text for word in special) else [])

    def _usage(self, rounds: tuple[_Round, _Round], trace: int, seconds: float) -> Usage:
        scored = sum(r.computed[trace] for r in rounds)
        return Usage(
            scored=scored,
            reused=sum(r.reused[trace] for r in rounds),
            calls=1,
            seconds=seconds,
            flops=scored * 2.0 * self.prm.model.dense_parameters(),
        )


class _Round:
    """One pass over the rows of all traces; what rows share is computed once, for the first that has it."""

    def __init__(self, prm: PRM, rows: Sequence[Sequence[Row]]):
        flat = [row for of_trace in rows for row in of_trace]
        found, cost = prm.read_rows(flat)
        self.scores = dict(zip(flat, found, strict=True))
        ends = [0, *accumulate(len(of_trace) for of_trace in rows)]
        self.computed = [sum(cost.computed[a:b]) for a, b in pairwise(ends)]
        self.reused = [sum(cost.reused[a:b]) for a, b in pairwise(ends)]
