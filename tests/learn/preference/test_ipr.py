"""Specifies IPR's pairs: agent against expert at the expert's states, both rewards must agree, experts can lose."""

from __future__ import annotations

from preceptor.learn.preference import ipr_pairs
from tests.learn.preference.toys import END, rolled, trace

EXPERT = "a\nb\nAnswer: 42\n"
# draws 0 and 1 are the rollouts behind a step, draw 2 is the agent's own attempt
GOOD, BAD = ["Answer: 42\n"], ["Answer: 1\n"]


def build(expert: str, pages: dict[str, list[str]], **more):
    t = trace(expert)
    return t, ipr_pairs([t], rolled(pages, rollouts=2), **more)


def winners(built) -> list[tuple[int, str, str, str]]:
    return [(p.meta["step"], p.meta["winner"], p.chosen.text, p.rejected.text) for p in built.records]


def test_an_identical_action_is_a_tie_and_makes_no_pair() -> None:
    pages = {"": [EXPERT], "a\n": ["b\nAnswer: 1\n"], "a\nb\n": GOOD}
    _, built = build(EXPERT, pages)
    assert len(built) == 0
    assert built.dropped == {"tie": 1, "same-action": 2}


def test_at_the_start_whole_trajectories_are_compared_by_final_reward() -> None:
    pages = {"": ["c\nAnswer: 1\n"], "a\n": ["b\nAnswer: 42\n"], "a\nb\n": GOOD}
    t, built = build(EXPERT, pages)
    assert winners(built) == [(0, "expert", EXPERT, "c\nAnswer: 1\n")]
    assert built.records[0].chosen.ids == t.token_ids


def test_later_a_side_wins_only_with_both_rewards_higher() -> None:
    same = {"": [EXPERT], "a\nb\n": GOOD}
    lost = {**same, "a\n": ["c\nAnswer: 1\n"], "a\nc\n": BAD}
    _, built = build(EXPERT, lost)
    assert winners(built) == [(1, "expert", "b\nAnswer: 42\n", "c\nAnswer: 1\n")]
    assert built.records[0].prefix.text == "a\n"
    # final reward lower, step reward as high: no winner
    lucky = {**lost, "a\nc\n": GOOD}
    assert winners(build(EXPERT, lucky)[1]) == []


def test_the_expert_can_be_the_rejected_side() -> None:
    expert = "a\nb\nAnswer: 1\n"
    pages = {"": [expert], "a\n": ["c\nAnswer: 42\n"], "a\nb\n": BAD, "a\nc\n": GOOD}
    _, built = build(expert, pages)
    assert winners(built) == [(1, "agent", "c\nAnswer: 42\n", "b\nAnswer: 1\n")]


def test_a_pair_can_be_the_single_actions_which_do_not_end_the_text() -> None:
    pages = {"": [EXPERT], "a\n": ["c\nAnswer: 1\n"], "a\nc\n": BAD, "a\nb\n": GOOD}
    _, built = build(EXPERT, pages, unit="action")
    assert winners(built) == [(1, "expert", "b\n", "c\n")]
    assert END not in built.records[0].chosen.ids + built.records[0].rejected.ids


def test_the_agent_is_not_judged_by_its_own_continuation() -> None:
    monte_carlo = rolled({"": [EXPERT], "a\n": ["c\nAnswer: 1\n"], "a\nb\n": GOOD, "a\nc\n": BAD}, rollouts=2)
    ipr_pairs([trace(EXPERT)], monte_carlo)
    drawn = {(r.prefix, r.draw) for r in monte_carlo.policy.asked}
    assert {("", 2), ("a\n", 2), ("a\nb\n", 2)} <= drawn
    assert {("a\nb\n", 0), ("a\nb\n", 1), ("a\nc\n", 0), ("a\nc\n", 1)} <= drawn


def test_an_unknown_reward_makes_no_pair() -> None:
    pages = {"": [EXPERT], "a\n": ["c\nAnswer: 1\n"], "a\nb\n": GOOD}  # nothing is known behind "a\nc\n"
    assert winners(build(EXPERT, pages)[1]) == []
