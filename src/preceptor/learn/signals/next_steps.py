"""SLATE: several next steps from one prefix, judged; the best one becomes the prefix (abstract index 138).

A level: `width` (5) continuations of one step each behind the prefix, all judged; the reward of a sibling is the score
of its own step (a scorer that sums its components in {-1, 0, 1}, as published, or any other). The best sibling
(`choose="sampled"`: any) is the next prefix, at most `depth` (4, not confirmed) levels; a level whose choice ends the
text is the last. A sibling that ends at once, without a step, is a failed trace.

The rollouts are truncated: a shared prefix and one step of their own, the only one that is trained. `rollouts` and
`signals` of the result are what `preceptor.credit` reads. Left out: real retrieval between steps. All problems take a
level together: one call of the policy and one of the scorer. Cost: `width` steps a level, judged once each.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from preceptor.credit import Rollout, Signals, rollout_of
from preceptor.credit.ops.slate import truncated
from preceptor.errors import InputError
from preceptor.generation import Continuation, Policy, Request, Sampling
from preceptor.judgement import Question, Scorer
from preceptor.learn.signals.nodes import with_nodes
from preceptor.policy.sample import trace_of
from preceptor.search.strategy import steps as one_step
from preceptor.trace import Finish, Problem, Trace, steps_from_ends, stream_seed
from preceptor.usage import Ledger, Usage


@dataclass(frozen=True)
class Siblings:
    """What was sampled of all problems, level by level: traces that end with the step that was sampled."""

    traces: tuple[Trace, ...]
    rewards: tuple[float | None, ...]
    question: Question

    @property
    def rollouts(self) -> list[Rollout]:
        """Without outcome, trained from their last step on."""
        plain = [replace(rollout_of(t), outcome=None) for t in self.traces]
        return [truncated(r) for r in with_nodes(plain, self.traces)]

    @property
    def signals(self) -> Signals:
        """The reward at the last step, nothing elsewhere."""
        rows = [
            (*(None,) * (len(t.steps) - 1), reward) if t.steps and t.error is None else None
            for t, reward in zip(self.traces, self.rewards, strict=True)
        ]
        return Signals(
            tuple(None if t.error is not None else r for t, r in zip(self.traces, rows)), self.question
        )


@dataclass(eq=False)
class NextSteps:
    """`spent` adds up, policy and scorer apart."""

    policy: Policy
    scorer: Scorer
    width: int = 5
    depth: int = 4
    choose: Literal["best", "sampled"] = "best"
    sampling: Sampling = field(default_factory=Sampling)
    """Stopped at the end of a step by the problem's segmenter; its own stop strings win."""
    spent: Ledger = field(default_factory=Ledger, init=False)

    def __post_init__(self) -> None:
        if min(self.width, self.depth) < 1 or self.choose not in ("best", "sampled"):
            raise InputError(
                f"next steps: got width={self.width}, depth={self.depth}, choose={self.choose!r}, expected numbers "
                ">= 1 and 'best' or 'sampled'."
            )

    def sample(self, problems: Sequence[Problem], seed: int = 0, writer: str = "") -> Siblings:
        """`width` siblings a level and problem."""
        traces: list[Trace] = []
        rewards: list[float | None] = []
        prefixes: list[tuple[Problem, Trace | None]] = [(p, None) for p in problems]
        for level in range(self.depth):
            made = self._level(prefixes, seed, writer or self.policy.fingerprint)
            judged = self.scorer.score(made) if made else []
            self.spent += sum((j.usage for j in judged), Ledger())
            own = [
                None if j.scores is None or t.error else j.scores[-1]
                for j, t in zip(judged, made, strict=True)
            ]
            traces, rewards = [*traces, *made], [*rewards, *own]
            going: list[tuple[Problem, Trace | None]] = []
            for k, (problem, _) in enumerate(prefixes):
                mine = slice(k * self.width, (k + 1) * self.width)
                chosen = self._choose(made[mine], own[mine], stream_seed("slate", seed, problem.id, level))
                if chosen is not None:
                    going.append((problem, chosen))
            prefixes = going
        return Siblings(tuple(traces), tuple(rewards), self.scorer.question)

    def _level(self, prefixes: Sequence[tuple[Problem, Trace | None]], seed: int, writer: str) -> list[Trace]:
        asked = [
            (before, Request(p, *_so_far(before), draw=d, seed=seed, sampling=one_step(self.sampling, p)))
            for p, before in prefixes
            for d in range(self.width)
        ]
        answers = self.policy.generate([r for _, r in asked]) if asked else []
        self.spent += Ledger(policy=sum((a.usage for a in answers), Usage()))
        made = []
        for (before, r), a in zip(asked, answers, strict=True):
            if a.error is None and not a.text:
                # an end of text alone is no step: the last step of such a trace would be the prefix's own
                a = replace(Continuation.failed("no-step", "nothing was written"), usage=a.usage)
            trace = trace_of(r.problem, a, r.prefix, earlier=before, policy=writer, seed=seed, draw=r.draw)
            ends = [s.end for s in before.steps] if before is not None else []
            if trace.error is None and len(trace.text) > len(r.prefix):
                # one step is what was sampled, whatever a segmenter makes of it
                trace = replace(trace, steps=steps_from_ends([*ends, len(trace.text)]))
            made.append(trace)
        return made

    def _choose(self, made: Sequence[Trace], rewards: Sequence[float | None], seed: int) -> Trace | None:
        """What the next level goes on from; None when that one ends the text."""
        known = [(t, r) for t, r in zip(made, rewards, strict=True) if t.error is None and r is not None]
        if not known:
            return None
        top = max(r for _, r in known)
        free = [t for t, r in known if r == top or self.choose == "sampled"]
        chosen = random.Random(seed).choice(free)
        return chosen if chosen.finish is Finish.BOUNDARY else None


def _so_far(trace: Trace | None) -> tuple[str, tuple[int, ...] | None]:
    return ("", None) if trace is None else (trace.text, trace.token_ids)
