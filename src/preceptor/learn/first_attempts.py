"""Where R^3L's rollouts come from: every fourth draw is sampled, the others are places for what `R3L` makes of it.

Everything else (held-out accuracy, other purposes) is sampled as usual. See `learn.data.r3l`.
"""

from __future__ import annotations

from collections.abc import Sequence

from preceptor.errors import InputError, ItemError
from preceptor.generation import Sampling
from preceptor.learn.data.r3l import FREE, PLACES
from preceptor.learn.rollouts import Engine, RolloutSource
from preceptor.trace import Finish, Problem, Trace


class FirstAttempts(RolloutSource):
    def traces(
        self,
        problems: Sequence[Problem],
        draws: Sequence[int],
        purpose: str,
        round_: int,
        sampling: Sampling | None = None,
        engine: Engine | None = None,
    ) -> list[Trace]:
        if purpose != "train":
            return super().traces(problems, draws, purpose, round_, sampling, engine)
        if engine is not None:
            raise InputError("r3l: got another engine to sample with, expected the policy's own.")
        first = [k for k, draw in enumerate(draws) if draw % PLACES == 0]
        made = super().traces(
            [problems[k] for k in first], [draws[k] for k in first], purpose, round_, sampling
        )
        found = dict(zip(first, made, strict=True))
        seed, writer = self._stream(purpose, round_)
        error = ItemError(FREE, "no retry, reflection or guided retry took this place")
        return [
            found.get(k) or Trace(p, "", (), Finish.ERROR, policy=writer, seed=seed, draw=d, error=error)
            for k, (p, d) in enumerate(zip(problems, draws, strict=True))
        ]
