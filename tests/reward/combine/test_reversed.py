"""BiPRM: the backward scores belong to the right steps, the fused ones to the original trace."""

from __future__ import annotations

import math
import string
from dataclasses import replace

import pytest

from preceptor.annotate import WorldOracle
from preceptor.errors import InputError
from preceptor.judgement import Scorer
from preceptor.reward.combine import Gate, Reversed
from preceptor.reward.combine.reversed import reversed_trace
from preceptor.trace import Step, Trace
from tests.reward.combine.scorers import Rule, attempts, reading, trace_of


def test_the_reversed_trace_tiles_its_text_and_keeps_white_space_in_place():
    assert reversed_trace(trace_of("a\n", "b\n\n", "c")).step_texts == ["c\n", "b\n\n", "a"]
    assert reversed_trace(trace_of("a\n", "b\n")).step_texts == ["b\n", "a\n"]
    assert reversed_trace(trace_of()).steps == ()
    assert reversed_trace(trace_of("a ", "b\t", "c")).step_texts == ["c ", "b\t", "a"]


def test_steps_keep_their_kind_and_observation_when_they_move():
    trace = Trace(trace_of().problem, "x\ny", (Step(0, 2, "tool", "seen"), Step(2, 3)))
    back = reversed_trace(trace)
    assert [(s.kind, s.observation) for s in back.steps] == [("text", None), ("tool", "seen")]
    assert back.parent == trace.id
    assert back.token_ids is None


def test_reversing_twice_gives_the_text_back():
    for trace in attempts():
        assert reversed_trace(reversed_trace(trace)).text == trace.text


def test_the_first_score_of_the_backward_pass_belongs_to_the_last_step():
    place = Rule(lambda trace: [t / 10 for t in range(len(trace.steps))])
    (judged,) = Reversed(place, weight=0.0).score([trace_of("a\n", "b\n", "c\n")])
    assert judged.scores == (0.2, 0.1, 0.0)


def test_fused_scores_equal_two_passes_by_hand():
    traces = [trace_of("a\n", "b\n", "c"), trace_of("d\n", "e\n")]
    for weight in (0.5, 0.3):
        for trace, judged in zip(traces, Reversed(Rule(), weight).score(traces)):
            ahead = reading(trace)
            back = reading(trace_of(*(s.strip() + "\n" for s in trace.step_texts[::-1])))[::-1]
            assert judged.scores == pytest.approx(
                [weight * f + (1 - weight) * b for f, b in zip(ahead, back)]
            )
            assert judged.trace == trace.id


def test_against_the_exact_oracle_on_whole_attempts():
    traces = attempts()
    oracle = WorldOracle()
    fused = Reversed(oracle).score(traces)
    for trace, judged in zip(traces, fused):
        lines = [text.strip() + "\n" for text in trace.step_texts]
        (ahead,) = oracle.score([trace])
        (back,) = oracle.score([trace_of(*lines[::-1], problem=trace.problem)])
        assert judged.scores == tuple((f + b) / 2 for f, b in zip(ahead.scores, back.scores[::-1]))


def test_one_call_for_both_passes_and_a_single_step_is_paid_once():
    member = Rule()
    two, one = Reversed(member).score([trace_of("a\n", "b\n"), trace_of("c")])
    assert len(member.calls) == 1
    assert len(member.calls[0]) == 3
    assert (two.usage.scorer.scored, one.usage.scorer.scored) == (40, 10)
    assert one.scores == tuple(reading(trace_of("c")))
    assert Reversed(Rule(), 0.0).score([trace_of("c")])[0].scores == one.scores


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_a_pass_that_counts_nothing_is_not_made(weight: float):
    member = Rule()
    (judged,) = Reversed(member, weight).score([trace_of("a\n", "b\n")])
    assert len(member.calls[0]) == 1
    assert judged.usage.scorer.calls == 1


def test_a_step_that_one_pass_did_not_judge_has_no_score_and_a_failed_pass_is_an_error():
    first_unknown = Rule(lambda trace: [None] + [0.5] * (len(trace.steps) - 1))
    (judged,) = Reversed(first_unknown).score([trace_of("a\n", "b\n", "c\n")])
    assert judged.scores == (None, 0.5, None)
    fails = Rule(lambda trace: "broken" if trace.parent else reading(trace))
    (judged,) = Reversed(fails).score([trace_of("a\n", "b\n")])
    assert judged.scores is None
    assert judged.error.kind == "broken"
    assert judged.usage.scorer.calls == 2


def test_it_is_a_scorer_named_by_member_and_weight():
    scorer = Reversed(Rule())
    assert isinstance(scorer, Scorer)
    sources = {scorer.source, Reversed(Rule(), 0.4).source, Reversed(Rule(name="other")).source}
    assert len(sources | {Reversed(Rule(), Gate()).source}) == 4
    assert scorer.source == Reversed(Rule()).source
    assert scorer.score([]) == []
    with pytest.raises(InputError, match="expected the forward share"):
        Reversed(Rule(), 1.5)


def informed(trace: Trace) -> list[float]:
    """A step is good when its letter is a vowel."""
    return [0.9 if text.strip() in "aeiou" else 0.1 for text in trace.step_texts]


def noise(trace: Trace) -> list[float]:
    return [0.2 + 0.6 * r for r in reading(trace)]


def informed_backwards(trace: Trace) -> list[float]:
    """Truth in the backward pass, noise in the forward one."""
    return informed(trace) if trace.parent else noise(trace)


def informed_forwards(trace: Trace) -> list[float]:
    return noise(trace) if trace.parent else informed(trace)


def test_a_fitted_gate_trusts_the_pass_that_is_right_and_lowers_the_loss():
    words = [[string.ascii_lowercase[(7 * i + 5 * t) % 26] + "\n" for t in range(4)] for i in range(40)]
    traces = [trace_of(*w) for w in words]
    targets = [[float(w.strip() in "aeiou") for w in ws] for ws in words]
    plain = Reversed(Rule(informed_backwards))
    gate = Gate.fit(plain.passes(traces[:20]), targets[:20])
    gated = Reversed(Rule(informed_backwards), gate)

    def loss(scorer: Reversed) -> float:
        pairs = [
            (s, y) for j, ys in zip(scorer.score(traces[20:]), targets[20:]) for s, y in zip(j.scores, ys)
        ]
        return -sum(math.log(s if y else 1 - s) for s, y in pairs) / len(pairs)

    assert loss(gated) < 0.6 * loss(plain)
    swapped = Reversed(Rule(informed_forwards))
    assert Gate.fit(swapped.passes(traces[:20]), targets[:20])(0.5, 0.5, 0.5) > 0.5 > gate(0.5, 0.5, 0.5)
    misaligned = [(f, replace(b, scores=b.scores[::-1])) for f, b in plain.passes(traces[:20])]
    assert loss(gated) < loss(Reversed(Rule(informed_backwards), Gate.fit(misaligned, targets[:20])))
    assert Gate.from_record(gate.to_record()) == gate


def test_a_gate_of_zeros_is_the_mean():
    assert Gate()(0.1, 0.9, 0.3) == 0.5
    traces = attempts(3, 2)
    mean, gated = Reversed(Rule()).score(traces), Reversed(Rule(), Gate()).score(traces)
    assert [j.scores for j in mean] == [j.scores for j in gated]


def test_a_gate_refuses_what_it_cannot_learn_from():
    both = Reversed(Rule()).passes([trace_of("a\n", "b\n")])
    with pytest.raises(InputError, match="nothing to fit"):
        Gate.fit(both, [None])
    with pytest.raises(InputError, match="one target, or None, per step"):
        Gate.fit(both, [[1.0]])
    with pytest.raises(InputError, match=r"expected \[0, 1\]"):
        Gate.fit(both, [[2.0, 0.0]])
