"""DRM: three dimensions, compared within a problem."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from preceptor.errors import InputError
from preceptor.reward.likelihood import DRM, CRew, mutual_information
from preceptor.reward.likelihood.drm import z_scores
from preceptor.trace import Problem, Trace, steps_from_ends
from tests.reward.likelihood.bigram import Bigram

EVEN = Bigram(others=dict.fromkeys("abcdefgh", 0.125) | dict.fromkeys("Answer: \n0123456789", 0.125))
ONE = Problem("q1")


def trace_of(reasoning: str, answer: str, problem: Problem = ONE) -> Trace:
    first = reasoning + "\n"
    text = first + "Answer: " + answer
    return Trace(problem, text, steps_from_ends([len(first), len(text)]))


def constant(value):
    return lambda traces: [value] * len(traces)


def test_doubling_the_answer_doubles_its_term_and_doubling_the_reasoning_changes_nothing():
    short, long_answer, long_reasoning = (
        DRM(EVEN, relevance=constant(0.0)).dimensions([t])[0]["confidence"][0]
        for t in (trace_of("ab", "12"), trace_of("ab", "1212"), trace_of("abab", "12"))
    )
    p = math.log(0.125)
    assert short == pytest.approx(p + 2 * p)
    assert long_answer == pytest.approx(p + 4 * p)
    assert long_reasoning == pytest.approx(short)


def test_a_constant_on_a_raw_dimension_changes_nothing():
    def coherence(shift):
        return lambda traces: [len(t.text) + shift for t in traces]

    traces = [trace_of("a", "1"), trace_of("aaaa", "12"), trace_of("aa", "123")]
    plain = DRM(EVEN, coherence(0.0), constant(1.0)).score(traces)
    moved = DRM(EVEN, coherence(1000.0), constant(-7.0)).score(traces)
    for one, other in zip(plain, moved, strict=True):
        assert one.scores[0] is None
        assert one.scores[1] == pytest.approx(other.scores[1])
    assert sum(j.scores[1] for j in plain) == pytest.approx(0.0)


def test_groups_are_problems_and_a_lone_trace_is_flagged():
    traces = [trace_of("a", "1"), trace_of("a", "12"), trace_of("a", "123456", Problem("q2"))]
    judged = DRM(EVEN, relevance=constant(0.0)).score(traces)
    # one dimension varies, so z = +1 and -1; two dimensions share the weight 1: 1/2 each
    assert [j.scores[1] for j in judged] == pytest.approx([0.5, -0.5, 0.0])
    assert [j.flags for j in judged] == [(), (), ("alone",)]


def test_equal_values_have_no_spread_even_after_rounding():
    assert z_scores([0.1 + 0.2, 0.3, 0.3]) == [0.0, 0.0, 0.0]
    assert z_scores([1.0, 3.0]) == [-1.0, 1.0]


def test_a_missing_dimension_is_an_error_and_stays_out_of_the_others_z_scores():
    traces = [trace_of("a", "1"), trace_of("a", "12"), Trace(ONE, "ab", steps_from_ends([2]))]
    judged = DRM(EVEN, relevance=constant(0.0)).score(traces)
    assert judged[2].scores is None
    assert judged[2].error.kind == "no-dimension"
    assert [j.scores[1] for j in judged[:2]] == pytest.approx([0.5, -0.5])


def test_a_scorer_can_be_a_dimension_and_its_cost_is_counted():
    traces = [trace_of("a", "1"), trace_of("a", "12")]
    alone = DRM(EVEN, relevance=constant(0.0)).score(traces)[0].usage.scorer.scored
    both = DRM(EVEN, CRew(EVEN), constant(0.0)).score(traces)[0].usage.scorer.scored
    assert both == 2 * alone


class Remembers(Bigram):
    """Reads an answer with 0.5 per character where the reasoning named it, else 0.125; the question adds
    0.25 in place of 0.125 to a reasoning it shares letters with."""

    def _one(self, request, text):
        found = super()._one(request, text)
        at = text.rfind("\nAnswer: ") if "\nAnswer: " in text else -1
        named = at >= 0 and text[at + 9 :] in text[:at]
        shared = set(request.problem.prompt) & set(text[: max(at, 0)])
        start = at + 9 if at >= 0 else len("Answer: ")
        logps = [
            math.log((0.5 if named else 0.125) if i >= start else (0.25 if shared else 0.125))
            for i in range(len(text))
        ]
        return replace(found, logprobs=tuple(logps))


def test_the_default_relevance_is_mutual_information_in_nats_per_token():
    question = Problem("zb")
    traces = [trace_of("b7", "7", question), trace_of("b8", "7", question), trace_of("c7", "7", question)]
    values, usages = mutual_information(Remembers(), traces)
    gain = math.log(2)
    # reasoning gains log 2 by the question, the answer log 4 by the reasoning
    assert values == pytest.approx([gain + 2 * gain, gain, 2 * gain])
    assert all(u.scored > 0 for u in usages)


def test_weights_that_leave_nothing_are_refused():
    with pytest.raises(InputError, match="weights"):
        DRM(EVEN, weights=(0.0, 0.0, 1.0))
