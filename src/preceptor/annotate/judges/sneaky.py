"""Sneaky generator and critic of SPC (catalogue index 118): planted errors, proved harmful by rollouts.

A right step is rewritten into a wrong one of a given type. The edit counts when rollouts from the original
prefix mostly succeed (>= 75 %) and none of 4 from the corrupted one does (both from memory, unverified). The
five published types were not found: `ERRORS` are ours, so are the prompts. Cost: 1 edit and 2 K rollouts per
negative. Left out: the training rounds; pair a generator with critics of *other* rounds.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

from preceptor.annotate.judges.asking import Asking, once
from preceptor.annotate.judges.checks import one_line
from preceptor.annotate.judges.sneaky_text import CRITIC, ERRORS, SNEAK, edit_prompt, read_edit
from preceptor.annotate.judges.sneaky_text import written as written
from preceptor.annotate.judges.sneaky_text import written_edit as written_edit
from preceptor.annotate.judges.step_judge import StepJudge
from preceptor.annotate.rollout.base import spent
from preceptor.annotate.rollout.montecarlo import (
    ROLLOUT_SAMPLING,
    Evidence,
    MonteCarlo,
    Prefix,
    lost_prefix,
    obstacle,
    outcome,
    tally,
)
from preceptor.errors import InputError
from preceptor.generation import Continuation, Policy, Sampling
from preceptor.judgement import Judgement, Question, Source
from preceptor.store import Store
from preceptor.trace import Finish, Step, Trace, stream_seed
from preceptor.usage import Ledger

ACCEPTED = "accepted"
NO_STEP, UNREAD, SAME = "no-right-step", "unread-edit", "same-step"
WEAK, HARMLESS, UNDECIDED = "weak-original", "harmless-edit", "undecided-rollouts"


@dataclass(frozen=True)
class Sneak:
    """One attempt to plant an error, and what became of it."""

    original: Trace
    step: int | None
    """0-based step that was rewritten; None when there was none to pick."""
    kind: str
    """Type of error asked for."""
    reason: str
    """`accepted`, or the constant that says why the attempt is no negative."""
    negative: tuple[Trace, Judgement] | None = None
    """The prefix that ends with the wrong step, and its label: steps before it 1, it 0."""
    before: Evidence | None = None
    """Rollouts from the original prefix."""
    after: Evidence | None = None
    """Rollouts from the corrupted prefix."""
    usage: Ledger = field(default_factory=Ledger)


@dataclass(frozen=True)
class SneakyGenerator:
    """Makes negatives for step verifiers; every setting but the store is part of `source`."""

    name: ClassVar[str] = "sneaky"
    cost: ClassVar[str] = "1 edit and 2 K rollouts per negative"
    question: ClassVar[Question] = Question.VALUE

    policy: Policy
    """Who rewrites."""
    completer: Policy
    """Who rolls out."""
    rollouts: int = 4
    floor: float = 0.75
    """Least rate of success from the original prefix."""
    kinds: tuple[str, ...] = tuple(ERRORS)
    sampling: Sampling = field(default_factory=lambda: ROLLOUT_SAMPLING)
    store: Store | None = field(default=None, repr=False)
    seed: int = 0
    asking: Asking = field(default_factory=Asking)

    def __post_init__(self) -> None:
        if not self.kinds or set(self.kinds) - set(ERRORS) or not 0 < self.floor <= 1:
            raise InputError(
                f"sneaky: got kinds {self.kinds} and floor {self.floor}, expected some of {list(ERRORS)} and a "
                "floor above 0, at most 1"
            )
        self.monte_carlo  # noqa: B018 - refuses settings that make no sense, now rather than later

    @cached_property
    def monte_carlo(self) -> MonteCarlo:
        return MonteCarlo(self.completer, self.rollouts, self.sampling, self.store, self.seed)

    @cached_property
    def source(self) -> Source:
        settings: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "store"}
        for name in ("sampling", "asking"):
            settings[name] = settings[name].to_record()
        for name in ("policy", "completer"):
            settings[name] = settings[name].fingerprint
        return Source.of(self.name, template=SNEAK, **settings)

    def negatives(
        self, traces: Sequence[Trace], judgements: Sequence[Judgement] | None = None
    ) -> list[Sneak]:
        """One attempt per trace, from one batched call for all edits and one for all rollouts.

        The step is drawn by the seed among those before the last: of those that the judgement scores 0.5 or more
        and none before it below, or without judgements of all steps of a trace with the right answer.
        """
        given = [None] * len(traces) if judgements is None else judgements
        picks = [self._pick(trace, judged) for trace, judged in zip(traces, given, strict=True)]
        drafts = self._drafts(picks)
        prefixes = [
            Prefix.of(trace, draft.step + 1)
            for draft in drafts
            if isinstance(draft, _Draft)
            for trace in (draft.original, draft.corrupted)
        ]
        drawn = iter(self.monte_carlo.draw(prefixes) if prefixes else [])
        return [
            self._decide(draft, tally(next(drawn)), tally(next(drawn)))
            if isinstance(draft, _Draft)
            else draft
            for draft in drafts
        ]

    def _pick(self, trace: Trace, judged: Judgement | None) -> Sneak | _Pick:
        rng = random.Random(stream_seed("sneaky", self.seed, trace.id))
        kind = rng.choice(self.kinds)
        trouble = obstacle(trace)
        if trouble is not None:
            return Sneak(trace, None, kind, trouble.kind)
        steps = range(len(trace.steps) - 1)
        if judged is None:
            right = list(steps) if outcome(trace).correct else []
        else:
            low = (t for t, s in enumerate(judged.scores or (None,)) if s is None or s < 0.5)
            right = list(steps[: next(low, len(steps))])
        return _Pick(trace, rng.choice(right), kind) if right else Sneak(trace, None, kind, NO_STEP)

    def _drafts(self, picks: Sequence[Sneak | _Pick]) -> list[Sneak | _Draft]:
        asked = [
            self.asking.request(p.original.problem, edit_prompt(*p)) for p in picks if isinstance(p, _Pick)
        ]
        replies = iter(once(self.policy.generate, asked))
        return [self._draft(pick, next(replies)) if isinstance(pick, _Pick) else pick for pick in picks]

    def _draft(self, pick: _Pick, reply: Continuation) -> Sneak | _Draft:
        """The corrupted prefix, or why there is none."""
        trace, t, kind = pick
        old = trace.step_texts[t]
        text = read_edit(self.asking.lead + reply.text) if reply.finish is not Finish.LENGTH else None
        if reply.error is not None or text is None or one_line(text) == one_line(old):
            reason = reply.error.kind if reply.error else UNREAD if text is None else SAME
            return Sneak(trace, t, kind, reason, usage=Ledger(scorer=reply.usage))
        new = old[: len(old) - len(old.lstrip())] + text + old[len(old.rstrip()) :]
        start = trace.steps[t].start
        corrupted = Trace(
            trace.problem,
            trace.prefix(t) + new,
            (*trace.steps[:t], Step(start, start + len(new), trace.steps[t].kind)),
            Finish.BOUNDARY,
            policy=self.policy.fingerprint,
            seed=self.seed,
            parent=trace.id,
        )
        return _Draft(trace, t, kind, corrupted, reply)

    def _decide(self, draft: _Draft, before: Evidence, after: Evidence) -> Sneak:
        original, t, kind, corrupted, reply = draft
        usage = spent([before, after]) + Ledger(scorer=reply.usage)
        reason = self.verdict(before, after)
        if reason != ACCEPTED:
            return Sneak(original, t, kind, reason, None, before, after, usage)
        label = Judgement(
            trace=corrupted.id,
            question=self.question,
            source=self.source,
            scores=(*[1.0] * t, 0.0),
            counts=(*[None] * t, after.counts),
            first_error=t,
            rationale=(*[None] * t, reply.text),
            flags=(kind,),
            usage=usage,
        )
        return Sneak(original, t, kind, reason, (corrupted, label), before, after, usage)

    def verdict(self, before: Evidence, after: Evidence) -> str:
        """`accepted` when success drops from `floor` or more to none of all rollouts, each of them decided."""
        lost = lost_prefix([before, after])
        if lost is not None:
            return lost.kind
        if after.successes:
            return HARMLESS
        if before.trials < self.rollouts or after.trials < self.rollouts:
            return UNDECIDED
        return ACCEPTED if before.successes >= self.floor * before.trials else WEAK


class _Pick(NamedTuple):
    original: Trace
    step: int
    kind: str


class _Draft(NamedTuple):
    original: Trace
    step: int
    kind: str
    corrupted: Trace
    reply: Continuation


def accepted(attempts: Sequence[Sneak]) -> list[tuple[Trace, Judgement]]:
    """The negatives among the attempts."""
    return [attempt.negative for attempt in attempts if attempt.negative is not None]


def critic(policy: Policy, asking: Asking | None = None) -> StepJudge:
    """The critic: sees problem, partial solution and last step, says Correct or Incorrect after a check."""
    options = ("Correct", "Incorrect")
    return StepJudge(policy, options, weigh=False, template=CRITIC, asking=asking or Asking())


def rewards(said: bool | None, right: bool) -> tuple[float, float]:
    """(critic, generator), of sum zero: +1 and -1 when the critic's verdict is the truth, the reverse when not,
    nothing for either when it could not be read (None; ours)."""
    if said is None:
        return 0.0, 0.0
    return (1.0, -1.0) if said == right else (-1.0, 1.0)
