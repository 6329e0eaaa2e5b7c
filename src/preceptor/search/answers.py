"""Answers of finished solutions, read without sight of the gold answer."""

from __future__ import annotations

from dataclasses import replace

from preceptor.grade import canonical, grade
from preceptor.trace import Finish, Problem


def extract(problem: Problem, text: str, finish: Finish = Finish.STOP) -> tuple[str | None, str | None]:
    """The answer as written and its canonical form; (None, None) when there is none."""
    answer = grade(replace(problem, gold=None), text, finish=finish).answer
    return answer, None if answer is None else canonical(problem, answer)
