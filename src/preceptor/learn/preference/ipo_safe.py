"""IPO for safe reasoning (intervened preference optimisation): a safety trigger in place of the first compliance.

In an unsafe trace the first compliance step is replaced by a sampled safety-trigger sentence, and the policy goes
on. Where that comes out safe: a pair of trigger and safe continuation against the original continuation, behind the
steps before. Triggers are steps of the same model's safe traces. Published: beta 0.1. Ours: one trigger an attempt,
drawn by seed, and one attempt a trace.

The first compliance step is `first_error` of a judgement (whoever judges); what is safe is the caller's function.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from preceptor.errors import InputError
from preceptor.generation import Policy, Request, Sampling
from preceptor.judgement import NO_ERROR, Judgement
from preceptor.learn.preference.records import Built, Pair, Piece, by_problem, compare, piece
from preceptor.learn.preference.scoring import observed
from preceptor.policy.sample import trace_of
from preceptor.store import Store, complete
from preceptor.trace import Trace, stream_seed

Safe = Callable[[Sequence[Trace]], Sequence[bool | None]]
"""Whether each trace is safe; None for unknown."""


def trigger_pool(safe: Sequence[Trace], is_trigger: Callable[[str], bool]) -> list[Piece]:
    """Distinct trigger steps of safe traces, never the last one: something must be able to follow."""
    found: dict[str, Piece] = {}
    for trace in (t for t in safe if not observed(t)):
        for t, text in enumerate(trace.step_texts[:-1]):
            step = piece(trace, t, t + 1) if is_trigger(text) else None
            if step is not None:
                found.setdefault(step.text, step)
    return list(found.values())


@dataclass(frozen=True)
class InterventionPairs:
    """Build with `build(traces, compliance)`."""

    policy: Policy
    safe: Safe
    triggers: Sequence[Piece]
    attempts: int = 1
    """Interventions a trace; the first safe one makes the pair."""
    sampling: Sampling = field(default_factory=Sampling)
    store: Store | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.triggers or self.attempts < 1:
            raise InputError(
                f"triggers: got {len(self.triggers)} and attempts={self.attempts}, expected at least 1 of each"
            )

    def build(self, traces: Sequence[Trace], compliance: Sequence[Judgement]) -> Built[Pair]:
        """Pairs of the unsafe traces alone."""
        dropped: Counter[str] = Counter()
        verdicts = self.safe(traces)
        by_problem(traces, compliance)  # refuses judgements of other traces
        states = []
        for trace, judged, safe in zip(traces, compliance, verdicts, strict=True):
            if observed(trace):
                dropped["observations"] += 1
            elif safe is None:
                dropped["undecided"] += 1
            elif not safe and judged.first_error in (None, NO_ERROR):
                dropped["no-compliance-step"] += 1
            elif not safe and judged.first_error is not None:
                states.append((trace, judged.first_error))
        places = [(trace, k, n) for trace, k in states for n in range(self.attempts)]
        chosen = self._intervene(places, dropped)
        pairs: list[Pair] = []
        for at, (trace, k) in enumerate(states):
            tried = chosen[at * self.attempts : (at + 1) * self.attempts]
            good = next((side for side in tried if side is not None), None)
            if good is None:
                dropped["never-safe"] += 1
                continue
            rest = piece(trace, k, len(trace.steps))
            meta: dict[str, Any] = {"trace": trace.id, "step": k}
            pairs += compare(trace.problem, piece(trace, 0, k), good, rest, dropped, **meta)
        return Built(tuple(pairs), dropped)

    def _intervene(
        self, places: Sequence[tuple[Trace, int, int]], dropped: Counter[str]
    ) -> list[Piece | None]:
        """Trigger and continuation at each place, None where it is not safe."""
        triggers, requests = [], []
        for trace, k, n in places:
            rng = random.Random(stream_seed("ipo-safe", self.seed, trace.id, n))
            trigger = rng.choice(self.triggers)
            before = (piece(trace, 0, k) or Piece(trace.prefix(k))) + trigger
            triggers.append(trigger)
            requests.append(Request(trace.problem, before.text, before.ids, n, self.seed, self.sampling))
        answers = complete(self.policy, requests, self.store)
        made = [
            trace_of(r.problem, a, r.prefix, policy=self.policy.fingerprint, seed=self.seed, draw=r.draw)
            for r, a in zip(requests, answers, strict=True)
        ]
        found: list[Piece | None] = []
        for trigger, answer, safe in zip(triggers, answers, self.safe(made), strict=True):
            side = trigger + Piece(answer.text, answer.token_ids)
            if answer.token_ids is not None and side.ids is None:
                dropped["trigger-without-ids"] += 1
            lost = answer.error is not None or (answer.token_ids is not None and side.ids is None)
            found.append(side if safe and not lost else None)
        return found
