"""DAgger for agents: visit the student's states, learn the teacher's actions (abstract index 166).

In iteration k at each turn the teacher's action is executed with probability beta_k, else the student's; at every
visited state the teacher is asked, and (history, teacher's action) is a row with a loss on the action alone. Rows of
all iterations are kept. beta = 1, 1/2, 1/4, ...: the schedule was not found, this one is the catalogue's. beta = 1 is
behaviour cloning (the student is not asked at all), beta = 0 the student's own states.

A turn is one step of a problem's segmenter; for the worlds of turns one line, as `X5`. Teacher and student are
policies; a world's oracle is one with a `generate`. All episodes advance together: two batched calls a turn. Left
out: environments that answer between the turns. Training is `supervised.rounds.dagger`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from preceptor.errors import InputError
from preceptor.generation import Continuation, Policy, Request, Sampling
from preceptor.grade import grade
from preceptor.learn.data.rows import Piece, Row
from preceptor.search.strategy import steps as stop_at_step
from preceptor.trace import Finish, Problem, Trace, content_id, steps_from_ends, stream_seed
from preceptor.usage import Usage


def betas(iterations: int) -> list[float]:
    """1, 0.5, 0.25, ..."""
    return [0.5**k for k in range(iterations)]


@dataclass
class _Episode:
    problem: Problem
    turns: list[tuple[str, tuple[int, ...] | None]] = field(default_factory=list)
    """Text, and the student's sampled ids where the student wrote it."""
    over: bool = False
    finish: Finish = Finish.BOUNDARY
    error: str = ""

    @property
    def text(self) -> str:
        return "".join(t for t, _ in self.turns)


@dataclass(frozen=True)
class Collected:
    """What one iteration gives."""

    rows: tuple[Row, ...]
    traces: tuple[Trace, ...]
    """The episodes as they went, graded."""
    own: float | None
    """Share of the executed turns that the student wrote; None without a turn."""
    failed: int
    """Episodes that ended because a policy failed."""
    usage: Usage


def collect(
    student: Policy,
    teacher: Policy,
    problems: Sequence[Problem],
    *,
    beta: float,
    iteration: int = 0,
    most_turns: int = 32,
    sampling: Sampling | None = None,
    seed: int = 0,
) -> Collected:
    """One episode a problem. `sampling` is the student's; the teacher is greedy."""
    if not 0 <= beta <= 1:
        raise InputError(f"dagger: got beta={beta}, expected a probability.")
    episodes = [_Episode(p) for p in problems]
    rows: list[Row] = []
    usage, own, executed = Usage(), 0, 0
    for turn in range(most_turns):
        live = [e for e in episodes if not e.over]
        if not live:
            break
        coins = [_coin(seed, iteration, e, turn) < beta for e in live]
        taught = _ask(teacher, live, Sampling(temperature=0.0), seed)
        mine = [e for e, coin in zip(live, coins, strict=True) if not coin]
        tried = dict(
            zip(map(id, mine), _ask(student, mine, sampling or Sampling(), seed, iteration), strict=True)
        )
        usage = sum((a.usage for a in [*taught, *tried.values()]), usage)
        for episode, lesson, coin in zip(live, taught, coins, strict=True):
            if lesson.error is None and (lesson.text or lesson.finish is Finish.STOP):
                rows.append(_row(episode, lesson))
            _execute(episode, lesson if coin else tried[id(episode)], by_student=not coin)
            own, executed = own + (not coin), executed + 1
    traces = tuple(_trace(e, student.fingerprint, seed) for e in episodes)
    failed = sum(bool(e.error) for e in episodes)
    return Collected(tuple(rows), traces, own / executed if executed else None, failed, usage)


def _coin(seed: int, iteration: int, episode: _Episode, turn: int) -> float:
    return stream_seed("dagger", seed, iteration, episode.problem.id, turn) / 2**63


def _ask(
    policy: Policy, episodes: Sequence[_Episode], sampling: Sampling, seed: int, draw: int = 0
) -> list[Continuation]:
    if not episodes:
        return []
    return policy.generate(
        [Request(e.problem, e.text, None, draw, seed, stop_at_step(sampling, e.problem)) for e in episodes]
    )


def _row(episode: _Episode, lesson: Continuation) -> Row:
    """History as context, the teacher's action trained: a turn, or to end the text."""
    history = tuple(Piece(text, False, 0.0, ids) for text, ids in episode.turns)
    return Row(episode.problem, (*history, Piece(lesson.text)), end=lesson.finish is Finish.STOP)


def _execute(episode: _Episode, action: Continuation, by_student: bool) -> None:
    if action.error is not None:
        episode.over, episode.error, episode.finish = True, action.error.kind, Finish.ERROR
        return
    if action.text:
        ids = action.token_ids if by_student and action.finish is Finish.BOUNDARY else None
        episode.turns.append((action.text, ids))
    episode.finish = action.finish
    episode.over = action.finish is not Finish.BOUNDARY


def _trace(episode: _Episode, student: str, seed: int) -> Trace:
    ends, at = [], 0
    for text, _ in episode.turns:
        at += len(text)
        ends.append(at)
    name = content_id("dagger", student)
    made = Trace(episode.problem, episode.text, steps_from_ends(ends), episode.finish, policy=name, seed=seed)
    return replace(made, grade=grade(episode.problem, made.text, finish=episode.finish))
