"""Specifies rewards by a world's oracle for every turn, and their normalisation across a group.

Run: python -m pytest tests/annotate/tools/test_turn_oracle.py
"""

from __future__ import annotations

import itertools
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.annotate import label
from preceptor.annotate.tools.turn_oracle import TurnOracle, turn_advantages
from preceptor.judgement import NO_ERROR, Question, Scorer
from preceptor.trace import Problem, Trace, steps_from_ends
from preceptor.worlds import WORLDS
from preceptor.worlds.minesweeper import board
from preceptor.worlds.tictactoe import position


def trace_of(problem: Problem, lines) -> Trace:
    lines = [line if line.endswith("\n") else line + "\n" for line in lines]
    return Trace(problem, "".join(lines), steps_from_ends(list(itertools.accumulate(map(len, lines)))))


def judged(problem: Problem, *lines: str):
    return TurnOracle().score([trace_of(problem, lines)])[0]


def test_in_a_lost_game_with_all_moves_optimal_every_turn_gets_full_reward():
    problem = next(
        p
        for p in WORLDS["tictactoe"].problems("train", 500)
        if p.gold == "O" and "X moves first" in p.prompt and len(p.reference) >= 5
    )
    judgement = judged(problem, *problem.reference)
    assert judgement.scores == (1.0,) * len(problem.reference)
    assert judgement.first_error == NO_ERROR
    wasted = judged(problem, f"X{problem.reference[0][1]}", "X1", *problem.reference[1:])
    assert wasted.scores == (1.0, 0.0, *judgement.scores[1:]), "one illegal move costs one turn, not the game"


def test_a_search_reward_is_the_ratio_of_values():
    problem = position("XX.OO....")
    assert [judged(problem, f"X{square}").scores[0] for square in (3, 6, 9, 1)] == [1.0, 0.5, 0.0, 0.0]
    assert judged(problem, "X6").first_error == 0


def test_a_posterior_reward_does_not_look_at_the_hidden_board():
    """The same guess gets the same reward wherever the mine is; an outcome reward would not."""
    rewards = {judged(board(3, [mine], [4]), "open r1c1").scores for mine in (0, 1, 8)}
    assert rewards == {(1.0,)}


@pytest.mark.parametrize("world", ["tictactoe", "sudoku", "minesweeper"])
def test_the_reward_is_one_where_the_world_says_valid_and_lowest_for_what_is_no_move(world):
    for problem in WORLDS[world].problems("dev", 6):
        first, *rest = problem.reference
        lines = [first, first, "no move at all", *rest, "too late"]
        judgement = judged(problem, *lines)
        truths = WORLDS[world].judge(problem, lines)
        assert tuple(s == 1.0 for s in judgement.scores) == tuple(t.valid for t in truths)
        assert judgement.scores[1] == judgement.scores[2] == judgement.scores[-1] == 0.0
        assert judgement.rationale == tuple(None if t.valid else t.kind for t in truths)
        assert judgement.first_error == 1


def test_other_worlds_and_empty_traces_are_counted_failures():
    arithmetic = WORLDS["arithmetic"].problems(n=1)[0]
    found = label(
        TurnOracle(),
        [trace_of(arithmetic, arithmetic.reference), Trace(position("." * 9), "", ())],
    )
    assert found.errors == {"no-oracle": 1, "no-steps": 1}
    assert "sudoku" in found.judgements[0].error.message
    assert isinstance(TurnOracle(), Scorer)
    assert TurnOracle.question is Question.VALIDITY


def test_turns_are_compared_with_the_same_turn_of_the_group():
    rewards = [[1.0, 0.0, 1.0], [0.0, 0.0], [1.0, 1.0], [0.0, 1.0]]
    advantages = turn_advantages(rewards)
    assert [a[0] for a in advantages] == [1.0, -1.0, 1.0, -1.0]
    assert [a[1] for a in advantages] == [-1.0, -1.0, 1.0, 1.0]
    assert advantages[0][2] == 0.0, "nobody else reached the turn"


def test_a_wrong_turn_does_not_cost_the_right_ones_after_it():
    """Against one normalisation of the whole attempt, or the sum of what follows."""
    advantages = turn_advantages([[0.0, 1.0], [1.0, 0.0]])
    assert advantages == [(-1.0, 1.0), (1.0, -1.0)]


REWARDS = st.lists(
    st.lists(st.none() | st.sampled_from([0.0, 0.25, 0.5, 1.0]), max_size=5), min_size=1, max_size=6
)


@given(REWARDS)
def test_every_turn_of_a_group_has_mean_zero_and_unit_spread_or_nothing(rewards):
    advantages = turn_advantages(rewards)
    assert [len(a) for a in advantages] == [len(r) for r in rewards]
    for t in range(max(map(len, rewards))):
        here = [a[t] for a, r in zip(advantages, rewards) if t < len(r) and r[t] is not None]
        known = [r[t] for r in rewards if t < len(r) and r[t] is not None]
        assert all(a[t] == 0.0 for a, r in zip(advantages, rewards) if t < len(r) and r[t] is None)
        if len(set(known)) < 2:
            assert here == [0.0] * len(here)
        else:
            assert fmean(here) == pytest.approx(0.0, abs=1e-9)
            assert fmean(a * a for a in here) == pytest.approx(1.0)
            order = sorted(zip(known, here))
            assert [a for _, a in order] == sorted(here)


@pytest.mark.parametrize("chance", [0.0, 0.25, 0.5])
def test_an_oracle_that_is_flipped_half_the_time_gives_no_expected_advantage(chance):
    """Exactly: the sum over all ways to flip, for two right and two wrong moves at the same turn."""
    problem = position("XX.OO....")
    (rewards,) = zip(*[judged(problem, move).scores for move in ("X3", "X3", "X9", "X9")])
    expected = [0.0] * 4
    for flips in itertools.product((False, True), repeat=4):
        weight = chance ** sum(flips) * (1 - chance) ** (4 - sum(flips))
        shown = [[1 - r if flip else r] for r, flip in zip(rewards, flips)]
        for i, (advantage,) in enumerate(turn_advantages(shown)):
            expected[i] += weight * advantage
    if chance == 0.5:
        assert expected == pytest.approx([0.0] * 4, abs=1e-12)
    else:
        assert min(expected[:2]) > 0.3
        assert max(expected[2:]) < -0.3
