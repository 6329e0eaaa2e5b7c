"""Specifies the trusted search: between majority and best of N by what is known, and an honest account of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from preceptor.annotate.tools.oracle import WorldOracle
from preceptor.errors import InputError
from preceptor.generation import Sampling
from preceptor.judgement import Question
from preceptor.policy.scripted import ScriptedPolicy
from preceptor.search import BestOfN, Majority, SolveResult, Status, WeightedVote, solve
from preceptor.search.adaptive import UNKNOWN, Prior, TrustedSearch
from preceptor.search.adaptive.trust import BROAD
from preceptor.search.resume import solve_into
from preceptor.usage import Budget
from preceptor.worlds import arithmetic
from tests.search import rules
from tests.search.toy import Oracle, TreePolicy, problems

BUDGET = Budget(tokens=1500)


def warm(error: float = 0.4) -> SolveResult:
    ps = arithmetic("train", n=20, operations=(2, 4))
    return solve(ScriptedPolicy(error=error), ps, WeightedVote(6), WorldOracle(Question.VALUE))


@pytest.fixture(scope="module")
def trusting() -> Prior:
    return Prior.learned(warm().solutions)


def test_a_scorer_that_always_says_the_same_leaves_the_majority_of_the_same_samples() -> None:
    ps = problems(20)
    own = solve(TreePolicy(), ps, TrustedSearch(12), Oracle(constant=0.5))
    votes = solve(TreePolicy(), ps, Majority(12))
    assert [s.answer for s in own.solutions] == [s.answer for s in votes.solutions]
    assert own.ledger.policy.generated == votes.ledger.policy.generated


def test_a_trusted_oracle_finds_more_than_best_of_n_for_fewer_tokens(trusting: Prior) -> None:
    ps = arithmetic("test", n=30, operations=(4, 7))
    oracle = WorldOracle(Question.VALUE)
    policy = ScriptedPolicy(error=0.4)
    own = solve(policy, ps, TrustedSearch(prior=trusting), oracle, BUDGET)
    best = solve(policy, ps, BestOfN(n=None), oracle, BUDGET)
    assert trusting.slopes[2.0] > 0.9
    assert own.correct > best.correct
    assert own.tokens < best.tokens / 2


def test_texts_that_are_searched_for_end_at_their_first_wrong_step(trusting: Prior) -> None:
    ps = arithmetic("test", n=10, operations=(4, 6))
    found = solve(
        ScriptedPolicy(error=0.4), ps, TrustedSearch(prior=trusting), WorldOracle(Question.VALUE), BUDGET
    )
    grown = [(s, n) for s in found.solutions for n in s.tree.nodes if n.role == "grown"]
    assert grown
    for s, node in grown:
        assert node.scores is not None
        before = s.tree.path(node).ends[:-1]
        assert all(score == 1.0 for score in node.scores[: len(before)])
        if node.status is Status.REJECTED:
            assert node.data["why"] == "wrong by the scorer"
            assert not s.tree.children(node)


def test_without_any_trust_nothing_is_searched_for() -> None:
    never = Prior(tuple(_only_slope_zero()), separation=0.0)
    ps = arithmetic("test", n=5, operations=(4, 6))
    found = solve(ScriptedPolicy(error=0.4), ps, TrustedSearch(8, prior=never), WorldOracle(Question.VALUE))
    assert {n.role for s in found.solutions for n in s.tree.nodes[1:]} == {"solution"}
    votes = solve(ScriptedPolicy(error=0.4), ps, Majority(8))
    assert [s.answer for s in found.solutions] == [s.answer for s in votes.solutions]


def _only_slope_zero() -> Sequence[float]:
    weights = np.array(BROAD)
    weights[..., 1:] = 0.0
    return (weights / weights.sum()).ravel().tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("budget", [Budget(tokens=150), Budget(calls=9)], ids=["tokens", "calls"])
def test_order_and_splits_of_the_problems_change_nothing_and_budgets_hold(
    known: bool, budget: Budget, trusting: Prior
) -> None:
    strategy = TrustedSearch(prior=trusting if known else UNKNOWN)
    rules.order_and_splits_change_nothing(rules.searching(strategy, budget))
    for s in solve(TreePolicy(), problems(5), strategy, Oracle(), budget).solutions:
        assert s.ledger == s.tree.ledger
        assert s.ledger.policy.generated == sum(len(n.text) for n in s.tree.nodes)
        assert budget.tokens is None or s.ledger.policy.generated <= budget.tokens
        assert budget.calls is None or s.ledger.policy.calls <= budget.calls


def test_gold_answers_are_not_read_while_searching(trusting: Prior) -> None:
    rules.gold_is_not_read(rules.searching(TrustedSearch(10, prior=trusting)))


def test_failures_missing_scores_and_short_limits_break_nothing(trusting: Prior) -> None:
    strategy = TrustedSearch(10, prior=trusting)
    for oracle in (Oracle(fail="go b"), Oracle(fail="o")):
        some = solve(TreePolicy(fails=lambda r: r.draw == 1), problems(4), strategy, oracle)
        assert all(s.ledger == s.tree.ledger for s in some.solutions)
    short = solve(TreePolicy(), problems(2), replace(strategy, sampling=Sampling(max_tokens=3)), Oracle())
    assert all((s.finished, s.answer) == (0, None) for s in short.solutions)


def test_a_prior_is_learned_from_the_files_of_a_run(tmp_path: Path) -> None:
    ps = arithmetic("train", n=20, operations=(2, 4))
    policy, oracle = ScriptedPolicy(error=0.4), WorldOracle(Question.VALUE)
    solved = solve_into(tmp_path / "warm", policy, ps, WeightedVote(6), oracle).result
    of_run = Prior.of_run(tmp_path / "warm")
    assert of_run.weights == pytest.approx(Prior.learned(solved.solutions).weights)
    assert (of_run.problems, of_run.separation) == (20, 1.0)
    assert TrustedSearch(prior=str(tmp_path / "warm")).prior == of_run
    blind = Prior.of_run(tmp_path / "warm", graded=False)
    assert blind.weights != of_run.weights
    assert blind.separation == 0.0
    assert "20 problems" in str(TrustedSearch(prior=of_run))


def test_a_prior_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected the directory"):
        Prior.of_run(tmp_path)
    with pytest.raises(InputError, match="without a scored solution"):
        Prior.learned(solve(TreePolicy(), problems(2), Majority(3)).solutions)
    with pytest.raises(InputError, match="sum to 1"):
        Prior((0.5, 0.5))
    for bad in (lambda: TrustedSearch(0), lambda: TrustedSearch(batch=0), lambda: TrustedSearch(sure=0)):
        with pytest.raises(ValueError, match="expected"):
            bad()
