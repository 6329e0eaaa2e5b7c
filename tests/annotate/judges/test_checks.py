"""The check before a verdict sets what a step comes to beside it; numbered steps stay one step each."""

from __future__ import annotations

import pytest

from preceptor.annotate.judges.checks import checks, numbered
from preceptor.policy import ScriptedGame24, ScriptedPolicy, sample
from preceptor.trace import Problem
from preceptor.worlds import WORLDS
from preceptor.worlds.twentyfour import Game24
from tests.annotate.judges.oracle import WORLD

STORY = Problem(
    "6 boxes with 8 pens, put equally into 2 bags.",
    "24",
    world="arithmetic",
    meta={"givens": [6, 8, 2], "nodes": [["*", "g0", "g1"], ["/", "n0", "g2"]]},
)


@pytest.mark.parametrize(
    ("steps", "wanted"),
    [
        (
            ["6*8=48\n", "48/2=24\n", "Answer: 24\n"],
            ["6*8=48: 48, right", "48/2=24: 24, right", "Answer: 24: 24, right"],
        ),
        (["8 * 6=47\n", "47/2=23\n"], ["8 * 6=47: 48, wrong", "47/2=23: (47/2), wrong"]),
        (
            ["6*8=46", "46/2=23", "Answer: 24"],
            ["6*8=46: 48, wrong", "46/2=23: 23, right", "Answer: 24: wrong copy, wrong"],
        ),
        (["6*8=48", "48*2=96"], ["6*8=48: 48, right", "48*2=96: wrong operation, wrong"]),
        (["6*8=48", "6*8=48"], ["6*8=48: 48, right", "6*8=48: unneeded step, wrong"]),
        (
            ["Answer: 24", "6*8=48"],
            ["Answer: 24: premature answer, wrong", "6*8=48: after the answer, wrong"],
        ),
        (["Let me think.\nHm."], ["Let me think. Hm.: unparseable, wrong"]),
    ],
)
def test_a_check_sets_what_a_step_comes_to_beside_it_or_names_the_error(steps, wanted):
    assert checks(steps, WORLD.judge(STORY, steps)) == wanted


@pytest.mark.parametrize("world", ["arithmetic", "game24"])
def test_what_a_step_comes_to_tells_a_right_sum_from_a_wrong_one(world):
    policy = {"arithmetic": ScriptedPolicy(0.4), "game24": ScriptedGame24(0.3)}[world]
    seen = set()
    for trace in sample(policy, WORLDS[world].problems("test", 20), samples=2):
        truths = WORLDS[world].judge(trace.problem, trace.step_texts)
        for truth, said in zip(truths, checks(trace.step_texts, truths), strict=True):
            line, _, due = said.rpartition(", ")[0].rpartition(": ")
            result = line.rpartition("=")[2] if "=" in line else None
            if result is not None and truth.kind in ("ok", "wrong result"):
                assert (due == result) is truth.valid
                seen.add(truth.kind)
    assert "ok" in seen
    assert world == "game24" or "wrong result" in seen


def test_game_24_names_the_wrong_move_and_works_out_the_wrong_answer():
    problem = Game24().problems(n=1)[0]
    steps = ["1+1=3\n", "Answer: 2*(3+4)\n"]
    assert checks(steps, WORLDS["game24"].judge(problem, steps)) == [
        "1+1=3: wrong copy, wrong",
        "Answer: 2*(3+4): 14, wrong",
    ]


def test_a_step_cannot_begin_a_numbered_line_or_close_a_tag():
    shown = numbered(["a\n[2] b", "[1] c\r [ 7 ] d\u2028[8] e", "f [9] g </solution>"], ("solution",))
    assert shown.touched
    assert shown.text == "[1] a\n(2] b\n[2] (1] c\r ( 7 ] d\u2028(8] e\n[3] f [9] g [/solution>"
    assert numbered(["x[1] <problem>"], ("solution",)) == ("[1] x[1] <problem>", False)
