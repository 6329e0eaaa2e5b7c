"""Progress: the catalogue's numbers, telescoping, and the exact values of a scripted policy."""

from __future__ import annotations

import pytest

from preceptor.annotate import WorldOracle
from preceptor.errors import InputError
from preceptor.judgement import Question
from preceptor.policy import ScriptedPolicy
from preceptor.reward.combine import AdvantageScore, BestOfK, PassRate, StepProgress
from preceptor.reward.combine.progress import best_of_k, differences, ratios
from preceptor.trace import Problem, Trace
from tests.reward.combine.scorers import Rule, attempts, constant, trace_of

POLICY = ScriptedPolicy(error=0.2)


class Exact:
    """The scripted policy's own chance of success before the first step."""

    fingerprint = POLICY.fingerprint

    def __call__(self, problem: Problem) -> float:
        return POLICY.value(problem, "")


def exact_values(trace: Trace) -> list[float]:
    return [POLICY.value(trace.problem, trace.prefix(t + 1)) for t in range(len(trace.steps))]


def value(rule=exact_values) -> Rule:
    return Rule(rule, Question.VALUE)


def values(*scores: float | None) -> Rule:
    return constant(*scores, question=Question.VALUE)


def test_advantages_telescope_from_the_start_to_the_outcome():
    traces = attempts(error=0.2)
    for trace, judged in zip(traces, StepProgress(value(), Exact()).score(traces)):
        assert judged.question is Question.PROGRESS
        assert judged.trace == trace.id
        outcome = float(trace.grade.correct)
        assert sum(judged.scores) == pytest.approx(outcome - POLICY.value(trace.problem, ""))
    assert {t.grade.correct for t in traces} == {True, False}


def test_genprm_ratios_and_labels():
    assert ratios((0.5, 0.45, 0.2, 0.0), 0.5) == pytest.approx([1.0, 0.9, 0.444, 0.0], abs=1e-3)
    assert [p >= 0.8 for p in ratios((0.5, 0.45, 0.2, 0.0), 0.5)] == [True, True, False, False]
    assert ratios((0.45, 0.30, 0.36, 0.0), 0.5) == pytest.approx([0.9, 0.667, 1.2, 0.0], abs=1e-3)
    (judged,) = StepProgress(values(0.45, 0.30, 0.36, 0.0), 0.5, ratio=True).score([trace_of(*"abcd")])
    assert [s >= 0.8 for s in judged.scores] == [True, False, True, False]


def test_nothing_divided_by_nothing_is_zero_and_a_value_does_not_come_back_from_zero():
    assert ratios((0.5, 0.0, 0.0), 0.5) == [1.0, 0.0, 0.0]
    assert ratios((0.5, 0.0, 0.3, 0.3), 0.5) == [1.0, 0.0, 0.0, 0.0]
    assert ratios((0.3, 0.3), 0.0) == [0.0, 1.0]
    (judged,) = StepProgress(values(0.3, 0.3), 0.0, ratio=True).score([trace_of(*"ab")])
    assert judged.flags == ("start-zero",)


def test_an_unknown_value_makes_its_two_neighbours_unknown_and_no_others():
    assert differences((0.5, None, 0.25, 0.5), 0.75) == [-0.25, None, None, 0.25]
    assert ratios((0.5, None, 0.25, 0.5), None) == [None, None, None, 2.0]
    (judged,) = StepProgress(values(0.5, 0.25)).score([trace_of(*"ab")])
    assert judged.scores == (None, -0.25)
    assert differences((), 0.5) == []


def test_the_best_of_k_prover_of_the_papers_numbers():
    assert [best_of_k(q, 4) for q in (0.2, 0.3)] == pytest.approx([0.5904, 0.7599])
    (judged,) = StepProgress(BestOfK(values(0.2, 0.3)), None).score([trace_of(*"ab")])
    assert judged.scores[1] == pytest.approx(0.1695)
    assert best_of_k(0.3, 4) - best_of_k(0.1, 4) == pytest.approx(0.4160)


def test_best_of_k_keeps_tiny_chances_certainty_and_one_try():
    assert best_of_k(1e-18, 4) == pytest.approx(4e-18)
    assert best_of_k(1.0, 4) == 1.0
    traces = attempts()
    assert [j.scores for j in BestOfK(value(), 1).score(traces)] == [
        pytest.approx(tuple(exact_values(t))) for t in traces
    ]


def test_best_of_k_is_the_chance_that_one_of_k_tries_succeeds():
    """Brute force: all outcomes of K tries."""
    from itertools import product

    for q in (0.1, 0.35, 0.8):
        for k in (1, 2, 5):
            chance = 0.0
            for tries in product((False, True), repeat=k):
                weight = 1.0
                for hit in tries:
                    weight *= q if hit else 1 - q
                chance += weight * any(tries)
            assert best_of_k(q, k) == pytest.approx(chance)


@pytest.mark.parametrize("sure", [0.0, 1.0])
def test_a_prover_that_always_or_never_succeeds_makes_no_progress(sure: float):
    traces = attempts()
    prover = value(lambda trace: [sure] * len(trace.steps))
    for judged in StepProgress(prover, sure).score(traces):
        assert set(judged.scores) == {0.0}
    for trace, judged in zip(traces, AdvantageScore(value(), prover, start=sure).score(traces)):
        assert list(judged.scores) == exact_values(trace)


def test_the_search_score_is_value_plus_weighted_advantage_of_the_prover():
    scorer = AdvantageScore(values(0.2, 0.3), alpha=0.5, k=4, start=0.1)
    (judged,) = scorer.score([trace_of(*"ab")])
    assert judged.question is Question.QUALITY
    start = best_of_k(0.1, 4)
    assert judged.scores == pytest.approx((0.2 + 0.5 * (0.5904 - start), 0.3 + 0.5 * 0.1695))
    (other,) = AdvantageScore(values(0.2, 0.3), values(0.6, 0.5), alpha=2.0, start=0.6).score(
        [trace_of(*"ab")]
    )
    assert other.scores == pytest.approx((0.2, 0.3 - 0.2))


def test_the_built_in_prover_equals_one_asked_separately_and_costs_half():
    traces = attempts()
    one, two = value(), value()
    cheap = AdvantageScore(one, start=Exact()).score(traces)

    class Strong(Exact):
        def __call__(self, problem: Problem) -> float:
            return best_of_k(POLICY.value(problem, ""), 4)

    dear = AdvantageScore(two, BestOfK(two), start=Strong()).score(traces)
    for a, b in zip(cheap, dear):
        assert a.scores == pytest.approx(b.scores)
        assert 2 * a.usage.scorer.scored == b.usage.scorer.scored
    assert (len(one.calls), len(two.calls)) == (1, 2)


def test_without_weight_the_search_score_is_the_value_even_where_progress_is_unknown():
    traces = attempts()
    for trace, judged in zip(traces, AdvantageScore(value(), alpha=0.0).score(traces)):
        assert list(judged.scores) == exact_values(trace)
    (judged,) = AdvantageScore(values(0.2, 0.3)).score([trace_of(*"ab")])
    assert judged.scores[0] is None


def test_the_same_prover_keeps_the_ranking_of_siblings_but_not_of_cousins():
    """g = (1 + alpha) Q - alpha V: with mu = pi the order under one parent is that of Q."""
    q = [trace_of(*s) for s in ("ab", "ac", "db")]
    table = {"a": 0.5, "d": 0.1, "ab": 0.6, "ac": 0.4, "db": 0.55}
    same = value(lambda trace: [table[trace.text[: s.end]] for s in trace.steps])
    g = [j.scores[-1] for j in AdvantageScore(same, same, alpha=1.0).score(q)]
    assert g[0] > g[1]
    assert g[2] > g[0]


def test_only_a_value_has_progress():
    for build in (StepProgress, BestOfK, AdvantageScore):
        with pytest.raises(InputError, match="expected a scorer of value"):
            build(WorldOracle())
        assert build(WorldOracle(Question.VALUE)).source != build(value()).source


def test_a_number_that_is_no_success_rate_is_an_error_of_its_trace():
    member = value(lambda trace: [1.5 if "x" in trace.text else 0.5])
    for scorer in (BestOfK(member), StepProgress(member, 0.5, ratio=True), AdvantageScore(member)):
        fine, bad = scorer.score([trace_of("a"), trace_of("x")])
        assert fine.error is None
        assert (bad.scores, bad.error.kind) == (None, "not-a-rate")
        assert bad.usage.scorer.calls == 1


def test_the_start_estimated_from_graded_attempts_counts_decided_grades_only():
    traces = attempts(4, 8, error=0.4)
    rate = PassRate.of(traces)
    for problem in {t.problem.id: t.problem for t in traces}.values():
        right = [t.grade.correct for t in traces if t.problem.id == problem.id]
        assert rate(problem) == sum(right) / len(right)
    assert rate(Problem("elsewhere")) is None
    assert PassRate.of([trace_of("ungraded")]).rates == {}
    (judged,) = StepProgress(values(0.5), rate).score([trace_of("a")])
    assert judged.scores == (None,)
    assert judged.flags == ("start-unknown",)
    assert StepProgress(value(), rate).source != StepProgress(value(), PassRate({})).source


def test_a_failed_value_is_a_failed_progress():
    for scorer in (StepProgress(value(lambda t: "down"), 0.5), AdvantageScore(value(lambda t: "down"))):
        (judged,) = scorer.score([trace_of(*"ab")])
        assert (judged.scores, judged.error.kind) == (None, "down")
