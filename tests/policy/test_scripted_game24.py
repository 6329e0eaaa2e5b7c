"""Specifies the scripted Game of 24 player: its success rate is the exact value over all plays.

Run: python -m pytest tests/policy/test_scripted_game24.py
"""

from __future__ import annotations

from math import sqrt

import pytest

from preceptor.annotate import MathShepherd
from preceptor.errors import InputError
from preceptor.generation import Policy, Request, Sampling
from preceptor.grade import grade
from preceptor.policy import ScriptedGame24, trace_of
from preceptor.worlds.twentyfour import Game24, puzzle

PUZZLES = Game24().problems("test", 4)


@pytest.mark.parametrize("wise", [0.0, 0.4, 1.0])
def test_sampled_success_agrees_with_the_exact_value(wise):
    policy = ScriptedGame24(wise)
    assert isinstance(policy, Policy)
    for problem in PUZZLES[:2]:
        for prefix in ["", problem.reference[0], "".join(problem.reference[:-1])]:
            exact = policy.value(problem, prefix)
            written = policy.generate([Request(problem, prefix, draw=d) for d in range(800)])
            seen = sum(grade(problem, prefix + c.text).correct for c in written) / 800
            assert abs(seen - exact) <= 4 * sqrt(max(exact * (1 - exact), 1e-9) / 800) + 1e-9


def test_a_wise_player_always_wins_and_a_lost_table_never_does():
    problem = puzzle([4, 9, 10, 13])
    assert ScriptedGame24(1.0).value(problem, "") == 1.0
    assert ScriptedGame24(1.0).value(problem, "4+13=17\n") == 0.0


def test_everything_it_writes_is_valid_by_the_oracle_whatever_the_outcome():
    policy = ScriptedGame24(0.3)
    for problem in PUZZLES:
        for draw, c in enumerate(policy.generate([Request(problem, draw=d) for d in range(20)])):
            truths = Game24().judge(problem, trace_of(problem, c, draw=draw).step_texts)
            assert all(t.kind == "ok" for t in truths[:-1])
            assert truths[-1].valid == grade(problem, c.text).correct


def test_monte_carlo_labels_converge_to_the_exact_value():
    policy = ScriptedGame24(0.5)
    (c,) = policy.generate([Request(PUZZLES[0])])
    trace = trace_of(PUZZLES[0], c)
    (label,) = MathShepherd(policy, rollouts=1500, target="soft", sampling=Sampling()).score([trace])
    for t, score in enumerate(label.scores[:-1], 1):
        exact = policy.value(PUZZLES[0], trace.prefix(t))
        assert abs(score - exact) <= 4 * sqrt(max(exact * (1 - exact), 1e-9) / 1500) + 1e-9


def test_a_prefix_that_is_no_play_is_refused():
    with pytest.raises(InputError, match="expected a move"):
        ScriptedGame24().value(PUZZLES[0], "99+1=100\n")
