"""VSRM: where the reasoning is cut, and how right short answers are there."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from preceptor.credit import METHODS, Signals, compute, rollout_of
from preceptor.credit.ops.vsrm import LookAhead
from preceptor.generation import Sampling
from preceptor.learn.signals import CutAccuracies, discourse
from preceptor.learn.signals.cuts import cut_points
from preceptor.trace import Finish, steps_from_ends
from tests.learn.data.toys import PROBLEM, Says, trace

TEXT = "It is 12*7=84. Wait, one more. However, 84-30=54. So we have it.\nAnswer: 54\n"


def cut(text=TEXT, first=5, apart=5, **more):
    return replace(trace((text,), **more), steps=discourse(text, first, apart))


def test_cuts_stand_behind_the_sentence_before_a_discourse_word():
    found = cut_points(TEXT, first=5, apart=5)
    assert [TEXT[:c][-3:] for c in found] == ["84.", "re.", "54."]


def test_the_first_cut_and_the_distance_are_kept():
    assert cut_points(TEXT) == []  # shorter than 1,000 characters
    assert len(cut_points(TEXT, first=5, apart=20)) == 2
    long = ("x" * 98 + ". Wait ") * 30
    found = cut_points(long)
    assert found[0] >= 1000 - 8
    assert all(b - a >= 400 - 105 for a, b in itertools.pairwise(found))
    assert len(found) == len(set(found))


def test_nothing_is_cut_outside_of_the_thinking():
    text = "Wait. But. <think>One is 1. Wait, two is 2. So.</think> However, it is 3. But no."
    found = cut_points(text, first=0, apart=0)
    assert all(text.index("<think>") < c < text.index("</think>") for c in found)
    assert found


def test_a_word_inside_a_word_is_no_discourse_word():
    assert cut_points("One. Butter is 1. Also awaiting. Sofa.", first=0, apart=0) == []


def test_steps_at_the_cuts_tile_the_text():
    t = cut()
    assert "".join(t.step_texts) == TEXT
    assert len(t.steps) == 4


def test_accuracies_are_those_of_the_answers_alone_behind_each_cut_and_the_whole():
    right = {0: "Answer: 54", 1: "Answer: 54", 2: "Answer: 1", 3: "Answer: 2", 4: "Answer: 3"}
    policy = Says(lambda r: right[r.draw] if "84-30" not in r.prefix else "Answer: 54")
    cuts = CutAccuracies(policy, first=5, apart=5)
    t = cut()
    found = cuts.signals([t])
    assert found.scores == ((0.4, 0.4, 1.0, 1.0),)
    assert len(policy.asked) == 4 * 5
    assert {r.prefix for r in policy.asked} == {t.prefix(n) + "\n</think>\n\n" for n in (1, 2, 3, 4)}
    assert cuts.spent.calls == 20
    assert policy.asked[0].sampling == Sampling(temperature=0.6, top_p=0.95, max_tokens=768)


def test_an_answer_in_the_thinking_does_not_count_for_the_answers():
    t = cut("It is so. Answer: 54. But wait, is it. However, no.\nAnswer: 54\n")
    found = CutAccuracies(Says(lambda r: "I do not know"), first=0, apart=5).signals([t])
    assert set(found.scores[0]) == {0.0}


def test_other_steps_are_read_at_the_last_end_before_a_cut():
    t = replace(trace((TEXT,)), steps=steps_from_ends([10, 30, TEXT.index(" So"), len(TEXT)]))
    policy = Says(lambda r: "Answer: 54")
    found = CutAccuracies(policy, answers=1, first=5, apart=5).signals([t])
    # cuts at 14, 30 and 49: behind the first, the second and the third step
    assert found.scores == ((1.0, 1.0, 1.0, 1.0),)
    assert [len(r.prefix) - len("\n</think>\n\n") for r in policy.asked] == [
        10,
        30,
        TEXT.index(" So"),
        len(TEXT),
    ]


def test_the_whole_thinking_ends_where_its_tag_says():
    t = cut("<think>One. Two.</think>Answer: 54\n", first=0)
    policy = Says(lambda r: "Answer: 54")
    CutAccuracies(policy, answers=1).signals([t])
    assert policy.asked[-1].prefix == "<think>One. Two.\n</think>\n\n"


def test_a_cut_off_answer_and_one_without_a_verdict_count_for_nothing():
    class Cut(Says):
        def generate(self, requests):
            found = super().generate(requests)
            return [replace(c, finish=Finish.LENGTH) if r.draw else c for c, r in zip(found, requests)]

    cuts = CutAccuracies(
        Cut(lambda r: "and so on" if r.draw else "Answer: 54\n"), answers=4, first=5, apart=5
    )
    found = cuts.signals([cut(), replace(cut(), problem=replace(PROBLEM, gold=None))])
    assert found.scores == ((1.0,) * 4, None)
    assert cuts.failed["undecided"] == 3 * 4 + 4 * 4


def test_without_a_cut_the_last_step_alone_is_judged_and_the_method_is_its_outcome():
    t = trace(("1\n", "Answer: 54\n"))
    found = CutAccuracies(Says(lambda r: "Answer: 54")).signals([t])
    assert found.scores == ((None, 1.0),)
    wrong = trace(("1\n", "Answer: 5\n"))
    both = CutAccuracies(Says(lambda r: "Answer: 54")).signals([t, wrong])
    rollouts = [rollout_of(x) for x in (t, wrong)]
    plain = compute(rollouts, Signals(scores=((0.0, 0.0), (0.0, 0.0))), METHODS["vsrm"])
    for a, b in zip(compute(rollouts, both, METHODS["vsrm"]).advantages, plain.advantages, strict=True):
        assert a == pytest.approx(b)


def test_the_entrys_example_comes_out_of_the_methods_operation():
    assert LookAhead().row(np.array([0.2, 0.2, 0.6]))[:2] == pytest.approx([0.28, 0.4])
