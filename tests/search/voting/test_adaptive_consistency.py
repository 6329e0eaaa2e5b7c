"""Specifies majority votes that stop early: exact values of the Beta rule, and the samples they read."""

from __future__ import annotations

import pytest
from scipy.special import betainc

from preceptor.search import Majority, solve
from preceptor.search.voting.adaptive_consistency import AdaptiveConsistency, DoublingConsistency, lead
from preceptor.usage import Budget
from tests.search.toy import TreePolicy, problems


def test_published_values_of_the_beta_rule() -> None:
    assert lead(3, 0) == 0.9375
    assert lead(4, 0) == 0.96875
    assert round(lead(6, 1), 3) == 0.965
    assert lead(5, 1) == 0.9375
    assert lead(0, 0) == 0.5
    for a in range(12):
        for b in range(a + 1):
            assert lead(a, b) == pytest.approx(1 - betainc(a + 1, b + 1, 0.5))


def counted(answers: list[str]) -> tuple[int, int]:
    sizes = sorted((answers.count(a) for a in set(answers)), reverse=True)
    return (*sizes, 0, 0)[:2]  # type: ignore[return-value]


def test_it_stops_at_the_first_sample_that_decides_and_returns_the_majority_of_those() -> None:
    ps = problems(30)
    result = solve(TreePolicy(), ps, AdaptiveConsistency(25))
    pool = solve(TreePolicy(), ps, Majority(25))
    lengths = set()
    for s, full in zip(result.solutions, pool.solutions, strict=True):
        answers = [str(c.answer) for c in full.candidates]
        stops = (k for k in range(1, 26) if lead(*counted(answers[:k])) >= 0.95)
        expected = next(stops, 25)
        assert s.finished == expected
        assert [c.answer for c in s.candidates] == answers[:expected]
        assert s.answer == max(dict.fromkeys(answers[:expected]), key=answers[:expected].count)
        assert s.stop == ("settled" if lead(*counted(answers[:expected])) >= 0.95 else "done")
        lengths.add(expected)
    assert min(lengths) >= 4
    assert len(lengths) > 5
    assert result.ledger.policy.generated < 0.85 * pool.ledger.policy.generated


def test_a_strict_rule_never_stops_and_is_the_majority() -> None:
    ps = problems(12)
    strict = solve(TreePolicy(), ps, AdaptiveConsistency(9, confidence=1.0))
    majority = solve(TreePolicy(), ps, Majority(9))
    assert [s.answer for s in strict.solutions] == [s.answer for s in majority.solutions]
    assert {s.finished for s in strict.solutions} == {9}


def test_doubling_looks_after_2_4_8_samples() -> None:
    ps = problems(60)
    result = solve(TreePolicy(), ps, DoublingConsistency(16, share=0.6))
    pool = solve(TreePolicy(), ps, Majority(16))
    seen = set()
    for s, full in zip(result.solutions, pool.solutions, strict=True):
        answers = [str(c.answer) for c in full.candidates]
        looks = (k for k in (2, 4, 8) if counted(answers[:k])[0] >= 0.6 * k)
        assert s.finished == next(looks, 16)
        seen.add(s.finished)
    assert seen == {2, 4, 8, 16}
    assert DoublingConsistency().share == 0.75


def test_samples_without_an_answer_cost_and_do_not_vote() -> None:
    class Mute(TreePolicy):
        def _one(self, request):  # type: ignore[no-untyped-def]
            got = super()._one(request)
            if request.draw < 3:
                object.__setattr__(got, "text", "go a\nno idea" + " " * (len(got.text) - 12))
            return got

    ps = problems(10)
    for s, full in zip(
        solve(Mute(), ps, AdaptiveConsistency(30)).solutions,
        solve(TreePolicy(), ps, Majority(30)).solutions,
        strict=True,
    ):
        answers = [str(c.answer) for c in full.candidates][3:]
        expected = next((k for k in range(1, 28) if lead(*counted(answers[:k])) >= 0.95), 27)
        assert s.finished == 3 + expected


def test_without_n_it_runs_until_decided_or_the_budget_ends() -> None:
    result = solve(TreePolicy(), problems(10), AdaptiveConsistency(None), budget=Budget(calls=60))
    assert set(result.stops) == {"settled", "budget:calls"}
    for bad in (
        lambda: AdaptiveConsistency(confidence=0.5),
        lambda: DoublingConsistency(share=0),
        lambda: AdaptiveConsistency(0),
    ):
        with pytest.raises(ValueError, match="expected"):
            bad()
