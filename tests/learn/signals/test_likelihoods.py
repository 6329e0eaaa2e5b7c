"""P2S, RLPR and SAR: each number against plain forward passes, and what each entry says of itself."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from preceptor.credit import METHODS, compute, rollout_of
from preceptor.learn.signals import ReferenceProbability, SelfAligned, SuffixGain
from preceptor.learn.signals.suffixes import synthesised
from tests.learn.data.toys import Says
from tests.learn.signals.toys import FORMS, Counting, failed, problem, slow, trace
from tests.reward.likelihood.bigram import Bigram

CHAIN = ("12*7=84\n", "84-30=54\n", "Answer: 54\n")
WITH_CHAIN = problem(reference=CHAIN)


def test_a_steps_gain_is_the_rest_of_the_chain_behind_it_less_the_same_rest_behind_the_prompt(policy):
    t = trace("a\n", "b\n", "c\n", "d\n", of=WITH_CHAIN)
    found = SuffixGain(policy).signals([t]).scores[0]
    expected = []
    for n, begin in ((1, 0), (2, 1), (3, 2)):  # floor(n / 4 * 3)
        left = "".join(CHAIN[begin:])
        behind, alone = (slow(policy, t.problem, prefix, left) for prefix in (t.prefix(n), ""))
        expected.append(FORMS["prob_geo"](behind) - FORMS["prob_geo"](alone))
    assert found[:3] == pytest.approx(expected, abs=1e-5)
    assert found[3] is None  # nothing of the chain is left


def test_gains_come_from_one_call_and_a_problem_without_a_chain_has_none(policy):
    reader = Counting(policy)
    gains = SuffixGain(reader)
    found = gains.signals([trace("a\n", "b\n", of=WITH_CHAIN), trace("a\n"), failed(WITH_CHAIN)])
    assert reader.calls == 1
    assert found.scores[1:] == (None, None)
    assert gains.failed == {"no-chain": 1, "timeout": 1}


def test_reproducing_the_chain_pays_more_and_more_and_nonsense_pays_nothing():
    # what follows is likely only behind its own beginning: x -> y -> z, from anything else all alike
    reader = Bigram(
        {"x": {"y": 0.9, "a": 0.1}, "y": {"z": 0.9, "a": 0.1}, "z": {"w": 0.9, "a": 0.1}},
        dict.fromkeys("wxyza", 0.2),
    )
    chain = problem("q", reference=("x", "y", "z", "w"))
    gains = SuffixGain(reader)
    right, wrong = gains.signals(
        [trace("x", "y", "z", "w", of=chain), trace("a", "a", "a", "a", of=chain)]
    ).scores
    assert right[0] < right[1] < right[2]
    assert all(g > 0 for g in right[:3])
    assert max(wrong[:3]) <= 1e-12


def test_the_likeliest_right_chain_is_kept():
    written = {0: "Answer: 54\n", 1: "ba\nAnswer: 54\n", 2: "Answer: 7\n", 3: ""}

    class Writer(Says):
        def likelihood(self, requests, texts):
            return Bigram({}, dict.fromkeys("ba\nAnswer: 54", 0.05) | {"A": 0.4}).likelihood(requests, texts)

    policy = Writer(lambda r: written[r.draw])
    policy.asked.clear()
    chains, usage = synthesised(policy, [problem(), problem("no gold", None)])
    assert chains == {
        problem().id: ("Answer: 54\n",)
    }  # as likely a token, and the fourth of them is likelier
    assert len(policy.asked) == 4
    assert usage.generated > 0
    assert "54" in policy.asked[0].messages[0].content


def test_probability_is_the_mean_over_the_references_tokens_in_place_of_the_answer(policy):
    t = trace("12*7=84\n", "Answer: 17\n", of=problem(gold="540"))
    found = ReferenceProbability(policy, opening="Answer: ").signals([t]).scalars
    inside = slow(policy, t.problem, "12*7=84\nAnswer: ", "540")
    alone = slow(policy, t.problem, "", "Answer: 540")[-3:]
    assert found["probability"][0] == pytest.approx(FORMS["mean_prob"](inside), abs=1e-6)
    assert found["base_probability"][0] == pytest.approx(FORMS["mean_prob"](alone), abs=1e-6)
    assert found["format"] == (1.0,)


def test_the_mean_does_not_collapse_where_the_product_does():
    reader = Bigram({}, {"a": 0.5, "b": 0.5})
    long = trace("Answer: x\n", of=problem(gold="ab" * 100))
    mean, product = (
        ReferenceProbability(reader, form=f).signals([long]).scalars["probability"][0]
        for f in ("mean_prob", "prob_prod")
    )
    assert mean == pytest.approx(0.5)
    assert product < 1e-30


def test_without_the_answer_block_probability_and_format_are_zero(policy):
    tags = ("<think>", "</think>", "<answer>", "</answer>")
    texts = (
        "<think>a</think><answer>5</answer>",
        "<think>a</think>Answer: 54",
        "<answer>5</answer><think>a</think>",
    )
    producer = ReferenceProbability(policy, tags=tags, opening="<answer>")
    found = producer.signals([trace(x) for x in texts]).scalars
    assert found["format"] == (1.0, 0.0, 0.0)
    expected = FORMS["mean_prob"](slow(policy, problem(), "<think>a</think><answer>", "54"))
    assert found["probability"][0] == pytest.approx(expected, abs=1e-6)
    assert found["probability"][1] == 0.0
    assert found["probability"][2] > 0.0


def test_a_trace_without_gold_and_a_failed_one_have_no_probability(policy):
    reader = Counting(policy)
    producer = ReferenceProbability(reader)
    found = producer.signals(
        [trace("Answer: 1\n", of=problem(gold=None)), failed(), trace("Answer: 54\n")]
    ).scalars
    assert found["probability"][:2] == found["base_probability"][:2] == (None, None)
    assert found["format"] == (1.0, None, 1.0)
    assert producer.failed == {"no-gold": 1, "timeout": 1}
    assert reader.calls == 1


def test_the_floor_of_the_filter_is_that_of_earlier_calls(policy):
    producer = ReferenceProbability(policy)
    traces = [trace("Answer: 54\n", tokenizer=policy.tokenizer), trace("84\n", tokenizer=policy.tokenizer)]
    floors = [producer.signals(traces).scalars["deviation_floor"][0] for _ in range(11)]
    assert floors[:10] == [None] * 10
    assert floors[10] > 0
    again = ReferenceProbability(policy)
    again.load_state_dict(producer.state_dict())
    assert (
        again.signals(traces).scalars["deviation_floor"]
        == producer.signals(traces).scalars["deviation_floor"]
    )
    compute([rollout_of(t) for t in traces], producer.signals(traces), METHODS["rlpr_filtered"])


def test_self_alignment_is_the_relative_gain_of_the_question(policy):
    t = trace("12*7=84\n", "Answer: 84\n")
    found = SelfAligned(policy).signals([t, failed()])
    blind = replace(t.problem, prompt="")
    ppl, ppl_q = (math.exp(-FORMS["logp_mean"](slow(policy, p, "", t.text))) for p in (blind, t.problem))
    assert found.scalars["ppl"][0] == pytest.approx(ppl, rel=1e-4)
    assert found.scalars["ppl_q"][0] == pytest.approx(ppl_q, rel=1e-4)
    assert found.scalars["self_aligned"][0] == pytest.approx((ppl - ppl_q) / ppl, abs=1e-4)
    assert found.scalars["self_aligned"][1] is None


def test_without_the_question_the_scaffold_stays(policy):
    reader = Counting(policy)
    SelfAligned(reader).signals([trace("12*7=84\n")])
    (asked, _), (blind, _) = reader.asked
    kept = policy.prefix(blind)
    assert kept
    assert policy.prefix(asked)[-len(kept) :] == kept
    assert reader.calls == 1


def test_a_question_that_does_not_help_is_worth_nothing_and_padding_lowers_the_value():
    reader = Bigram({"?": {"x": 0.9, "a": 0.1}, "^": {"x": 0.1, "a": 0.9}}, {"x": 0.5, "a": 0.5})
    tight, padded, blind = "x", "x" + "a" * 9, "a"
    made = [trace(text, of=problem("what?")) for text in (tight, padded)]
    values = SelfAligned(reader).signals(made).scalars["self_aligned"]
    assert 0 < values[1] < values[0] < 1
    assert SelfAligned(Bigram()).signals([trace(blind, of=problem("what?"))]).scalars["self_aligned"] == (
        0.0,
    )
