"""Worlds whose steps are turns of a game, with an oracle that rewards each turn (verifiable process rewards).

A turn is one line; the last line is `Answer: ...`, graded as the problem says. The reward lies in [0, 1]: 1 for
what the oracle calls right, 0 for a line that is no legal move. A trace may be written in one go, or turn by turn with
the world's replies behind the turns (`Environment`); a reply is lines that begin with `> `, and in a step that holds a
turn and its reply only the turn is played. Left out: who plays (`learn.episodes` does).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from preceptor.grade import grade
from preceptor.trace import Problem
from preceptor.worlds.base import StepTruth

ILLEGAL, UNPARSEABLE = "illegal move", "unparseable"
REPLY = "> "
"""What every line of a reply begins with."""


class Turn(NamedTuple):
    """The truth about one line, and its reward."""

    truth: StepTruth
    reward: float


@runtime_checkable
class TurnWorld(Protocol):
    """A world with a reward for every turn."""

    @property
    def name(self) -> str: ...

    def turns(self, problem: Problem, steps: Sequence[str]) -> list[Turn]:
        """One per step text, in order."""
        ...


@runtime_checkable
class Environment(Protocol):
    """Who answers a policy between its turns. The worlds that do: minesweeper."""

    def reply(self, problem: Problem, turns: Sequence[str]) -> str:
        """What the last of the policy's turns brings about, word for word as the policy will read it, whole lines;
        "" for nothing. Depends on the arguments alone."""
        ...


class Game(Protocol):
    """A game in progress."""

    def move(self, line: str) -> tuple[str, float]:
        """Play a line: (kind, "ok" if the oracle calls it right; reward). An illegal line changes nothing."""
        ...

    @property
    def reachable(self) -> bool:
        """Right moves can still lead to the gold answer."""
        ...


def turns_of(game: Game, problem: Problem, steps: Sequence[str]) -> list[Turn]:
    """Every line played in order; nothing counts after the answer."""
    found: list[Turn] = []
    answered = None
    for step in steps:
        line = step.strip().split(f"\n{REPLY}", 1)[0].strip()
        if answered is not None:
            found.append(Turn(StepTruth(False, answered, "after the answer"), 0.0))
        elif line.startswith("Answer:"):
            answered = grade(problem, line).correct
            kind = "ok" if answered else "wrong answer"
            found.append(Turn(StepTruth(answered, answered, kind), float(answered)))
        else:
            kind, reward = game.move(line)
            found.append(Turn(StepTruth(kind == "ok", game.reachable, kind), reward))
    return found
