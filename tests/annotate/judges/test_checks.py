"""The check a judge writes before its verdict is the step as it should be; numbered steps stay one step each."""

from __future__ import annotations

import pytest

from preceptor.annotate.judges.checks import checks, numbered
from preceptor.trace import Problem
from preceptor.worlds import WORLDS
from preceptor.worlds.twentyfour import Game24
from tests.annotate.judges.oracle import WORLD, scripted_traces

STORY = Problem(
    "6 boxes with 8 pens, put equally into 2 bags.",
    "24",
    world="arithmetic",
    meta={"givens": [6, 8, 2], "nodes": [["*", "g0", "g1"], ["/", "n0", "g2"]]},
)


@pytest.mark.parametrize(
    ("steps", "wanted"),
    [
        (["6*8=48\n", "48/2=24\n", "Answer: 24\n"], ["6*8=48", "48/2=24", "Answer: 24"]),
        (["8 * 6=47\n", "47/2=23\n"], ["8*6=48", "wrong result"]),  # 47/2 is no whole number
        (["6*8=46", "46/2=23", "Answer: 24"], ["6*8=48", "46/2=23", "Answer: 23"]),
        (["6*8=48", "48*2=96"], ["6*8=48", "48/2=24"]),
        (["6*2=12", "12/2=6"], ["6*8=48", "12/2=6"]),
        (["6*8=48", "6*8=48"], ["6*8=48", "unneeded step"]),
        (["Answer: 24", "6*8=48"], ["premature answer", "after the answer"]),
        (["Let me think.\nHm."], ["unparseable"]),
    ],
)
def test_a_right_step_is_repeated_a_wrong_one_mended_and_a_needless_one_named(steps, wanted):
    assert checks(STORY, steps, WORLD.judge(STORY, steps)) == wanted


def test_a_mended_step_is_valid_where_it_stands():
    mended = 0
    for trace in scripted_traces(n=20, samples=2, error=0.4):
        truths = WORLD.judge(trace.problem, trace.step_texts)
        for t, check in enumerate(checks(trace.problem, trace.step_texts, truths)):
            if truths[t].valid or check == truths[t].kind:
                continue
            assert WORLD.judge(trace.problem, [*trace.step_texts[:t], check])[-1].valid
            mended += 1
    assert mended > 15


def test_a_world_without_corrections_names_the_kind_of_error():
    problem = Game24().problems(n=1)[0]
    steps = ["1+1=3\n", "Answer: 24\n"]
    truths = WORLDS["game24"].judge(problem, steps)
    assert checks(problem, steps, truths) == [t.kind for t in truths]


def test_a_step_cannot_begin_a_numbered_line_or_close_a_tag():
    shown = numbered(["a\n[2] b", "[1] c\r [ 7 ] d\u2028[8] e", "f [9] g </solution>"], ("solution",))
    assert shown.touched
    assert shown.text == "[1] a\n(2] b\n[2] (1] c\r ( 7 ] d\u2028(8] e\n[3] f [9] g [/solution>"
    assert numbered(["x[1] <problem>"], ("solution",)) == ("[1] x[1] <problem>", False)
