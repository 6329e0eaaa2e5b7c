"""Turn by turn: the policy writes one turn, an environment replies, and so on until the answer or a limit.

    learn(policy, problems, method="igpo", sampler=EpisodeSource, echo=0.1, ...)

A turn is one step of the problem's segmenter, a reply is put behind it word for word. Both are the trace's text: a step
is a turn with its reply, so that "after step t" means that the reply has been read (IGPO); `Trace.sampled` says which
tokens are not the policy's. These are masked, in no span, never graded, and what `learn(echo=...)` predicts. Their
log-probabilities are written as 0 and not used.

All episodes of a call advance together, one batched call a turn. `sampling.max_tokens` limits what the policy writes in
a whole episode, replies aside; an episode that reaches it, or `most_turns`, ends as `Finish.LENGTH`. The last turn has
no reply. Held-out accuracy is measured in episodes as well. The environment is the problem's world, where that replies
(minesweeper), or whoever is given: `partial(EpisodeSource, environment=...)`. Left out: environments with a state that
cannot be told from the turns; other engines (vLLM).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from preceptor.errors import InputError, ItemError
from preceptor.generation import Continuation, Request, Sampling
from preceptor.grade import grade
from preceptor.learn.rollouts import Engine, RolloutSource, TrainablePolicy
from preceptor.policy.engine_text import text_of
from preceptor.policy.render import text_ids
from preceptor.policy.sample import trace_of
from preceptor.search.strategy import steps as stop_at_step
from preceptor.trace import Finish, Problem, Trace, steps_from_ends
from preceptor.usage import Usage
from preceptor.worlds import WORLDS
from preceptor.worlds.turns import Environment


@dataclass
class _Episode:
    problem: Problem
    draw: int
    environment: Environment
    text: str = ""
    turns: list[str] = field(default_factory=list)
    """What the policy wrote."""
    step_ends: list[int] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    logprobs: list[float] | None = field(default_factory=list)
    sampled: list[bool] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    finish: Finish = Finish.BOUNDARY
    error: ItemError | None = None
    over: bool = False

    @property
    def spent(self) -> int:
        return sum(self.sampled)

    def add(self, text: str, ids: Sequence[int], ends: Sequence[int], sampled: bool) -> None:
        self.ends += [len(self.text) + e for e in ends]
        self.ids += ids
        self.sampled += [sampled] * len(ids)
        self.text += text

    def play(self, turn: Continuation) -> None:
        """The policy's turn; over where its text is."""
        self.usage += turn.usage
        self.finish, self.over = turn.finish, turn.finish is not Finish.BOUNDARY
        if turn.error is not None or turn.token_ids is None or turn.token_ends is None:
            self.error = turn.error or ItemError("no-tokens", "the policy gave no token ids")
            self.finish, self.over = Finish.ERROR, True
            return
        self.logprobs = (
            None if self.logprobs is None or turn.logprobs is None else [*self.logprobs, *turn.logprobs]
        )
        self.add(turn.text, turn.token_ids, turn.token_ends, True)
        if turn.text:
            self.turns.append(turn.text)
            self.step_ends.append(len(self.text))

    def hear(self, text: str, ids: Sequence[int], ends: Sequence[int]) -> None:
        """The reply, which becomes part of the last step."""
        self.add(text, ids, ends, False)
        self.step_ends[-1] = len(self.text)
        if self.logprobs is not None:
            self.logprobs += [0.0] * len(ids)

    def trace(self, writer: str, seed: int) -> Trace:
        if self.error is not None:
            failed = replace(Continuation.failed(self.error.kind, self.error.message), usage=self.usage)
            return trace_of(self.problem, failed, policy=writer, seed=seed, draw=self.draw)
        return Trace(
            self.problem,
            self.text,
            steps_from_ends(self.step_ends),
            self.finish,
            # what an environment says is nobody's answer
            grade(self.problem, "".join(self.turns), finish=self.finish),
            writer,
            seed,
            self.draw,
            tuple(self.ids),
            tuple(self.ends),
            None if self.logprobs is None else tuple(self.logprobs),
            usage=self.usage,
            sampled=None if all(self.sampled) else tuple(self.sampled),
        )


class EpisodeSource(RolloutSource):
    """`environment` None: the world of each problem. `answer`: what the turn that ends an episode begins with."""

    observes: ClassVar[bool] = True

    def __init__(
        self,
        policy: TrainablePolicy,
        sampling: Sampling,
        seed: int,
        *,
        environment: Environment | None = None,
        most_turns: int = 32,
        answer: str = "Answer:",
    ):
        if most_turns < 1:
            raise InputError(f"episodes: got most_turns={most_turns}, expected at least 1.")
        super().__init__(policy, sampling, seed)
        self.environment, self.most_turns, self.answer = environment, most_turns, answer
        self._text = text_of(policy.tokenizer)

    def traces(
        self,
        problems: Sequence[Problem],
        draws: Sequence[int],
        purpose: str,
        round_: int,
        sampling: Sampling | None = None,
        engine: Engine | None = None,
    ) -> list[Trace]:
        if engine is not None:
            raise InputError("episodes: got another engine to sample with, expected the policy's own.")
        began = time.perf_counter()
        self.policy.refresh()
        seed, writer = self._stream(purpose, round_)
        episodes = [_Episode(p, d, self._replies(p)) for p, d in zip(problems, draws, strict=True)]
        for turn in range(1, self.most_turns + 1):
            live = [e for e in episodes if not e.over]
            if not live:
                break
            asked = [self._request(e, sampling or self.sampling, seed) for e in live]
            for episode, answer in zip(live, self.policy.generate(asked), strict=True):
                episode.play(answer)
                self._go_on(episode, turn, (sampling or self.sampling).max_tokens)
        played = time.perf_counter()
        traces = [e.trace(writer, seed) for e in episodes]
        for trace in traces:
            self.usage += trace.usage
        self.seconds["generation"] += played - began
        self.seconds["grading"] += time.perf_counter() - played
        return traces

    def _replies(self, problem: Problem) -> Environment:
        found: Any = self.environment or WORLDS.get(problem.world)
        if not isinstance(found, Environment):
            there = sorted(name for name, world in WORLDS.items() if isinstance(world, Environment))
            raise InputError(
                f"episodes: got problem {problem.id} of {problem.world or 'no world'!r}, which answers no turn; "
                f"expected one of {', '.join(there)}, or an `environment` with `reply(problem, turns)`."
            )
        return found

    def _request(self, episode: _Episode, sampling: Sampling, seed: int) -> Request:
        own = replace(stop_at_step(sampling, episode.problem), max_tokens=sampling.max_tokens - episode.spent)
        ids = tuple(episode.ids) or None
        return Request(episode.problem, episode.text, ids, episode.draw, seed, own)

    def _go_on(self, episode: _Episode, turn: int, limit: int) -> None:
        """End the episode, or let it hear what its turn brought about."""
        if episode.over:
            return
        if episode.turns and episode.turns[-1].lstrip().startswith(self.answer):
            episode.over = True
            return
        if turn == self.most_turns or episode.spent >= limit:
            episode.over, episode.finish = True, Finish.LENGTH
            return
        said = episode.environment.reply(episode.problem, episode.turns)
        if said:
            said = said if episode.text.endswith("\n") else "\n" + said
            ids = text_ids(self.policy.tokenizer, said)
            before = [*self.prompt_ids(episode.problem), *episode.ids]
            text, ends = self._text.decode(ids, before)
            episode.hear(text, ids, ends)
