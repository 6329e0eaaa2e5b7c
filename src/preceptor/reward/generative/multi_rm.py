"""Generative outcome and process models under one protocol (Multi-RM; "Rethinking reward models for multi-domain
test-time scaling", title from memory).

`GenORM` asks whether the answer is right, `MultiGenPRM` lets the model critique every step and asks whether the
solution is correct. A chain begins with a think tag and `Let's verify step by step:`, the verdict question is put
behind it, and " Yes" is weighed against " No"; the score of a solution is the mean of 10 chains at temperature 0.6,
8192 tokens. It stands on the last step; `per="prefixes"` scores every prefix.

The prompts are ours, after their description; pass the checkpoints' own as `prompt`. A lesson of the paper: with a
false alarm in a share f of right steps, a right solution of T steps survives "the worst step counts" with
probability (1 - f)^T only (0.77 at T = 5 and 0.36 at T = 20 for f = 0.05).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from preceptor.errors import InputError
from preceptor.generation import Message, Sampling
from preceptor.judgement import Question
from preceptor.reward.generative.style import Taught, all_good, ask_at, by_writer, defused, seen
from preceptor.reward.generative.talk import Asking, Part, Talk, Turn, Voice, judged
from preceptor.trace import Trace

THINK = "<think>\nLet's verify step by step:"
THINK_END = "</think>"
_SHOWN = """Problem:
{problem}

Solution:
{solution}

"""
ORM_PROMPT = (
    "You grade the solution of a problem.\n\n"
    + _SHOWN
    + "Decide whether its final answer is right. End with the line `Verification: Is the answer correct (Yes/No)? X`, "
    "where X is Yes or No."
)
PRM_PROMPT = (
    "You check the solution of a problem.\n\n"
    + _SHOWN
    + "Critique each step in order and say whether it is right. Verify only the steps that are given."
)


@dataclass(frozen=True)
class GenORM:
    prompt: str = ORM_PROMPT
    """With the slots {problem} and {solution}."""
    per: Literal["solution", "prefixes"] = "solution"
    think: bool = True

    name: ClassVar[str] = "gorm"
    asked: ClassVar[str] = "Is the answer correct (Yes/No)?"
    lead: ClassVar[str] = "\nVerification: "
    sampling: ClassVar[Sampling] = Sampling(temperature=0.6, max_tokens=8192)
    samples: ClassVar[int] = 10
    question: ClassVar[Question] = Question.VALUE
    options: ClassVar[tuple[str, str]] = (" Yes", " No")

    def __post_init__(self) -> None:
        if self.per not in ("solution", "prefixes"):
            raise InputError(f"per: got {self.per!r}, expected 'solution' or 'prefixes'")
        if "{problem}" not in self.prompt or "{solution}" not in self.prompt:
            raise InputError("prompt: expected the slots {problem} and {solution}")

    def shown(self, trace: Trace, upto: int) -> tuple[Message, bool]:
        """The prompt about the first `upto` steps, and whether something in it was made harmless."""
        solution = "\n".join(seen(trace, t) for t in range(upto))
        problem, a = defused(trace.problem.prompt, phrases=(self.asked,))
        solution, b = defused(solution, phrases=(self.asked,))
        before, _, behind = self.prompt.partition("{problem}")
        return Message("user", before + problem + behind.replace("{solution}", solution)), a or b

    def talks(self, trace: Trace, voice: Voice, draw: int) -> list[Talk]:
        n = len(trace.steps)
        ends = range(1, n + 1) if self.per == "prefixes" else [n] if n else []
        return [self._talk(trace, upto, voice, draw) for upto in ends]

    def _talk(self, trace: Trace, upto: int, voice: Voice, draw: int) -> Talk:
        message, touched = self.shown(trace, upto)
        turn = Turn(voice, trace.problem, (message,), draw)
        turn.flags += ["fenced-tag"] if touched else []
        return [(yield from judged(turn, upto - 1, self.options, self._chain(turn)))]

    def _chain(self, turn: Turn) -> Asking:
        if self.think:
            turn.force(THINK)
            yield from turn.write(self.asked)
        return (yield from ask_at(turn, self.asked, self.lead, self.options))

    def taught(self, trace: Trace, labels: Sequence[bool | None], why: Sequence[str | None]) -> list[Taught]:
        """The outcome is taught by GenORM, the labels up to the first wrong step by MultiGenPRM."""
        n = len(labels)
        out = []
        for upto in range(1, n + 1) if self.per == "prefixes" else [n] if n else []:
            good = self.label(trace, labels, upto - 1)
            reasons = [r for r in why[:upto] if r]
            if good is None or (self.think and not reasons):
                continue
            parts: list[Part] = []
            if self.think:
                text = defused("\n".join(reasons), phrases=(self.asked,))[0]
                parts = [Part(THINK, "forced"), *by_writer("\n" + text.strip() + "\n" + THINK_END)]
            parts.append(Part(self.lead + self.asked, "forced"))
            out.append(Taught(upto - 1, (self.shown(trace, upto)[0],), tuple(parts), self.options, good))
        return out

    def label(self, trace: Trace, labels: Sequence[bool | None], step: int) -> bool | None:
        grade = trace.grade
        return grade.correct if grade is not None and grade.decided else None

    def to_record(self) -> dict[str, Any]:
        return {"kind": self.name, "prompt": self.prompt, "per": self.per, "think": self.think}


@dataclass(frozen=True)
class MultiGenPRM(GenORM):
    prompt: str = PRM_PROMPT

    name: ClassVar[str] = "gprm"
    asked: ClassVar[str] = "Is the solution correct?"
    lead: ClassVar[str] = "\n"
    question: ClassVar[Question] = Question.VALIDITY

    def label(self, trace: Trace, labels: Sequence[bool | None], step: int) -> bool | None:
        return all_good(labels, step)
