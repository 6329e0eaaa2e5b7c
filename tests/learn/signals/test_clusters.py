"""SIOP: a group's answers are its references; support is a mean of plain readings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from preceptor.credit import METHODS, Batch, Signals, compute, rollout_of
from preceptor.credit.ops.siop import OutcomePotential
from preceptor.learn.signals import AnswerSupport
from preceptor.trace import Step
from tests.learn.signals.toys import FORMS, Counting, failed, problem, slow, trace

Q = problem(gold=None)
HENS = problem("Another?", gold=None)


def group(*answers: str, of=Q, tokenizer=None):
    return [trace("a\n", f"Answer: {a}\n", of=of, tokenizer=tokenizer) for a in answers]


def test_support_is_the_mean_over_the_references_of_the_own_cluster(policy):
    traces = [*group("54", "54.0", "7"), *group("7", of=HENS)]
    reader = Counting(policy)
    found = AnswerSupport(reader).signals(traces)
    for k, refs in enumerate((("54", "54.0"), ("54", "54.0"), ("7",), ("7",))):
        t = traces[k]
        for n, value in enumerate((found.start[k], *found.scores[k])):
            reads = [slow(policy, t.problem, t.prefix(n), "Answer: " + r)[-len(r) :] for r in refs]
            assert value == pytest.approx(sum(map(FORMS["prob_geo"], reads)) / len(reads), abs=1e-5)
    assert reader.calls == 1


def test_references_are_distinct_and_no_more_than_asked_for(policy):
    traces = group("54", "54", "54.0", "054", "54.00")
    assert AnswerSupport(policy, references=2)._references(traces) == [["54", "54.0"]] * 5


def test_a_trace_without_an_answer_has_no_support_and_no_weight(policy):
    traces = [*group("54", "7"), trace("a\n", of=Q), failed(Q)]
    support = AnswerSupport(policy)
    found = support.signals(traces)
    assert found.scores[2:] == (None, None)
    assert found.start[2:] == (None, None)
    assert support.failed == {"no-answer": 1, "timeout": 1}
    assert support.weights(traces, [None] * 4) == [0.5, 0.5, 0.0, 0.0]


def test_weights_follow_mass_and_reliability_and_not_the_names(policy):
    support = AnswerSupport(policy)
    traces = group("54", "54", "54", "7")
    assert support.weights(traces, [None] * 4) == pytest.approx([0.75] * 3 + [0.25])
    even = support.weights(
        traces, [0.0, 0.0, 0.0, 1.0986122886681098]
    )  # ln 3 makes up for a third of the mass
    assert even == pytest.approx([0.5] * 4)
    swapped = support.weights(group("7", "7", "7", "54"), [None] * 4)
    assert swapped == pytest.approx(support.weights(traces, [None] * 4))


def test_a_relation_joins_answers_that_no_canonical_form_joins(policy):
    def relation(prompt):
        same = {"54", "108"}
        return lambda a, b: "entailment" if {a, b} <= same else "neutral"

    traces = group("54", "108", "7")
    joined = AnswerSupport(policy, relation=relation)
    names = joined.clusters(traces)
    assert names[0] == names[1] != names[2]
    assert joined._references(traces)[0] == ["54", "108"]
    assert AnswerSupport(policy).clusters(traces)[1] == "108"


def test_reliability_is_how_well_the_observations_entail_the_answer_and_reads_only_their_beginning(policy):
    seen = []

    def entails(premise, answer):
        seen.append(len(premise))
        return float(answer in premise)

    t = group("54")[0]
    steps = (replace(t.steps[0], observation="54" + "x" * 3000), Step(2, len(t.text), observation="no"))
    found = AnswerSupport(policy, entails=entails).signals([replace(t, steps=steps), t])
    assert found.scalars["reliability"] == (0.5, None)
    assert max(seen) == 2000


def test_a_reply_that_stands_in_an_episodes_text_is_an_observation_too(policy):
    def entails(premise, answer):
        return {"> 54\n": 1.0, "> no\n": 0.0}[premise]

    text = "a\n> 54\nb\n> no\nAnswer: 54\n"
    t = trace("a\n> 54\n", "b\n> no\n", "Answer: 54\n", of=Q)
    own = [line[:1] != ">" for line in text.splitlines(keepends=True) for _ in line]
    t = replace(
        t,
        token_ids=tuple(map(ord, text)),
        token_ends=tuple(range(1, len(text) + 1)),
        logprobs=None,
        sampled=tuple(own),
    )
    assert AnswerSupport(policy, entails=entails).signals([t]).scalars["reliability"] == (0.5,)


def test_the_published_example_comes_out_of_the_methods_own_source():
    rollouts = [
        replace(rollout_of(replace(t, token_ids=(1, 2), token_ends=(2, len(t.text)))), answer=a)
        for t, a in zip(group("54", "7"), ("54", "7"), strict=True)
    ]
    signals = Signals(
        scores=((0.4, 0.2), (0.4, 0.2)), start=(0.1, 0.1), scalars={"reliability": (None, None)}
    )
    rewards = OutcomePotential()(Batch.of(rollouts, signals, undecided=True))
    assert rewards[0] == pytest.approx([0.6931, -0.3466 + 0.25], abs=1e-4)


def test_the_method_runs_on_what_is_produced(policy):
    traces = [
        *group("54", "7", "54", tokenizer=policy.tokenizer),
        trace("b\n", of=Q, tokenizer=policy.tokenizer),
    ]
    rollouts = [rollout_of(t, answers=True) for t in traces]
    out = compute(rollouts, AnswerSupport(policy).signals(traces), METHODS["siop"])
    assert any(a.any() for a in out.advantages)
