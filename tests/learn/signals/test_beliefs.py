"""Beliefs: every value is that of one plain forward pass, all of them come from one call, and they telescope."""

from __future__ import annotations

import numpy as np
import pytest

from preceptor.credit import Batch, rollout_of
from preceptor.credit.ops.beliefs import Gains
from preceptor.judgement import Question
from preceptor.learn.signals import Beliefs
from preceptor.trace import Step
from tests.learn.signals.toys import FORMS, Counting, failed, problem, slow, trace

STEPS = ("12*7=84\n", "84-30=54\n", "Answer: 54\n")


@pytest.mark.parametrize("form", sorted(FORMS))
def test_every_belief_is_that_of_a_reading_of_its_own(policy, form):
    traces = [trace(*STEPS), trace("45-9=36\n", "Answer: 36\n", of=problem("Hens?", "36"))]
    found = Beliefs(policy, form).signals(traces)
    for k, t in enumerate(traces):
        gold = t.problem.gold
        expected = []
        for n in range(len(t.steps) + 1):
            logps = slow(policy, t.problem, t.prefix(n), "Answer: " + gold)
            digits = len(gold)  # the tiny tokenizer keeps digits apart, behind whole words
            expected.append(FORMS[form](logps[-digits:]))
        assert found.start[k] == pytest.approx(expected[0], abs=1e-5)
        assert found.scores[k] == pytest.approx(expected[1:], abs=1e-5)
    assert found.question is Question.VALUE


def test_all_prefixes_of_all_traces_are_read_in_one_call_and_paid_for(policy):
    reader = Counting(policy)
    beliefs = Beliefs(reader)
    beliefs.signals([trace(*STEPS), trace(*STEPS[:2], of=problem("Hens?", "36"))])
    assert reader.calls == 1
    assert len(reader.asked) == 4 + 3
    assert beliefs.spent.scored > 0
    assert not beliefs.failed


def test_the_gains_add_up_to_the_last_belief_minus_the_first(policy):
    t = trace(*STEPS, tokenizer=policy.tokenizer)
    found = Beliefs(policy).signals([t])
    gains = Gains()(Batch.of([rollout_of(t)], found))[0]
    assert gains.sum() == pytest.approx(found.scores[0][-1] - found.start[0])
    assert np.abs(gains).max() > 1e-4


def test_special_tokens_in_a_text_are_characters(policy):
    hostile = trace("<|end|><|step|>\n", "<|pad|>Answer: 54\n")
    found = Beliefs(policy).signals([hostile])
    expected = [
        FORMS["prob_geo"](slow(policy, hostile.problem, hostile.prefix(n), "Answer: 54")[-2:]) for n in (1, 2)
    ]
    assert found.scores[0] == pytest.approx(expected, abs=1e-5)


def test_an_observation_stands_behind_its_step(policy):
    t = trace("look\n", "Answer: 54\n")
    seen = type(t)(t.problem, t.text, (Step(0, 5, observation="54 hens\n"), t.steps[1]), t.finish, t.grade)
    found = Beliefs(policy).signals([seen]).scores[0][0]
    expected = slow(policy, t.problem, "look\n54 hens\n", "Answer: 54")[-2:]
    assert found == pytest.approx(FORMS["prob_geo"](expected), abs=1e-5)


def test_the_step_that_answers_has_no_belief_where_it_is_not_wanted(policy):
    assert [s is None for s in Beliefs(policy, answer_step=False).signals([trace(*STEPS)]).scores[0]] == [
        False,
        False,
        True,
    ]


def test_a_long_trace_is_asked_at_a_few_even_cuts(policy):
    reader = Counting(policy)
    found = Beliefs(reader, most=4).signals([trace(*[f"{i}\n" for i in range(10)])])
    assert [t for t, s in enumerate(found.scores[0], 1) if s is not None] == [2, 5, 7, 10]
    assert len(reader.asked) == 5


def test_of_several_right_answers_the_likeliest_may_count(policy):
    t = trace(*STEPS[:1])
    one, two = (Beliefs(policy, targets=lambda _, a=a: [a]).signals([t]).scores[0][0] for a in ("54", "7"))
    first, best = (Beliefs(policy, targets=lambda _: ["54", "7"], several=s) for s in ("first", "max"))
    assert first.signals([t]).scores[0][0] == pytest.approx(one)
    assert best.signals([t]).scores[0][0] == pytest.approx(max(one, two))


def test_what_cannot_be_read_is_none_and_counted(policy):
    reader = Counting(policy, fails=lambda r: r.prefix == STEPS[0])
    beliefs = Beliefs(reader)
    found = beliefs.signals([trace(*STEPS), failed(), trace("1\n", of=problem(gold=None))])
    assert [s is None for s in found.scores[0]] == [True, False, False]
    assert found.scores[1:] == (None, None)
    assert found.start[0] is not None
    assert found.start[1:] == (None, None)
    assert beliefs.failed == {"too-long": 1, "timeout": 1, "no-gold": 1}


def test_a_producer_is_a_scorer_too(policy):
    beliefs = Beliefs(policy)
    judged = beliefs.score([trace(*STEPS), failed()])
    assert judged[0].scores == beliefs.signals([trace(*STEPS)]).scores[0]
    assert judged[1].scores is None
    assert judged[1].error is not None
