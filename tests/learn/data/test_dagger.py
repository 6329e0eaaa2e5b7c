"""Specifies DAgger on a world of turns: whose states are visited, whose actions are learned.

Run: python -m pytest tests/learn/data/test_dagger.py
"""

from __future__ import annotations

import random

import pytest

from preceptor.errors import InputError
from preceptor.generation import Request
from preceptor.learn.data import collect
from preceptor.learn.data.dagger import betas
from preceptor.worlds import WORLDS
from preceptor.worlds.tictactoe import mover, reference
from tests.learn.data.toys import Says

PROBLEMS = WORLDS["tictactoe"].problems("train", 12)


def board_of(request: Request) -> str:
    board = request.problem.meta["board"]
    for line in request.prefix.splitlines():
        at = int(line[1]) - 1
        board = board[:at] + line[0] + board[at + 1 :]
    return board


def best(request: Request) -> str:
    """The oracle's best play from the board of this state, to its end; nothing behind an answer."""
    if "Answer" in request.prefix:
        return ""
    moves = reference(board_of(request))[:-1]
    return "".join((*moves, f"Answer: {request.problem.gold}\n"))


def careless(request: Request) -> str:
    """Some legal move, and a wrong answer at the end."""
    if "Answer" in request.prefix:
        return ""
    board = board_of(request)
    if len(best(request).splitlines()) == 1:
        return "Answer: nobody\n"
    free = [i for i in range(9) if board[i] == "."]
    return f"{mover(board)}{random.Random(request.stream).choice(free) + 1}\n"


def test_beta_1_is_behaviour_cloning_on_the_teachers_own_traces() -> None:
    student = Says(careless, name="student")
    found = collect(student, Says(best, name="teacher"), PROBLEMS, beta=1.0)
    assert student.asked == []
    assert found.own == 0.0
    assert [t.text for t in found.traces] == ["".join(p.reference) for p in PROBLEMS]
    assert all(t.grade.correct for t in found.traces)
    for problem in PROBLEMS:
        taught = [r.pieces[-1].text for r in found.rows if r.problem is problem]
        assert taught == [*problem.reference, ""]


def test_beta_0_visits_the_students_states_and_labels_never_come_from_the_student() -> None:
    teacher = Says(best, name="teacher")
    found = collect(Says(careless, name="student"), teacher, PROBLEMS, beta=0.0)
    assert found.own == 1.0
    texts = {t.problem.id: t.text for t in found.traces}
    for row in found.rows:
        history, action = row.pieces[:-1], row.pieces[-1]
        assert not any(p.trained for p in history)
        assert action.trained
        prefix = "".join(p.text for p in history)
        assert texts[row.problem.id].startswith(prefix)
        state = Request(row.problem, prefix)
        assert action.text == (best(state).splitlines(keepends=True) or [""])[0]
        assert row.end == (not action.text)
    assert not any(t.grade.correct for t in found.traces)
    assert "nobody" not in "".join(r.pieces[-1].text for r in found.rows)


def test_the_students_own_tokens_are_the_context_they_were_sampled_as() -> None:
    found = collect(Says(careless), Says(best), PROBLEMS[:3], beta=0.0)
    behind = [p for r in found.rows for p in r.pieces[:-1]]
    assert behind
    assert all(p.token_ids == tuple(map(ord, p.text)) for p in behind)


def test_a_mixture_is_between_and_the_same_seed_gives_the_same_rows() -> None:
    runs = [collect(Says(careless), Says(best), PROBLEMS, beta=0.5, seed=s) for s in (0, 0, 1)]
    assert runs[0].rows == runs[1].rows != runs[2].rows
    assert 0.2 < runs[0].own < 0.8


def test_beta_halves_and_is_a_probability() -> None:
    assert betas(3) == [1.0, 0.5, 0.25]
    with pytest.raises(InputError, match="beta"):
        collect(Says(best), Says(best), PROBLEMS, beta=2.0)


def test_turns_are_bounded() -> None:
    found = collect(Says(lambda r: "X1\n"), Says(best), PROBLEMS[:2], beta=0.0, most_turns=3)
    assert len(found.rows) == 6
