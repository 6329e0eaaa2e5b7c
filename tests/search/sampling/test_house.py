"""Specifies what particles keep: no batch matters, no token is lost, no budget broken, and truth is found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from preceptor.annotate.tools.oracle import WorldOracle
from preceptor.generation import Sampling
from preceptor.judgement import Question
from preceptor.policy.scripted import ScriptedPolicy
from preceptor.search import Status, Strategy, solve
from preceptor.search.sampling import ParticleFilter, ParticleGibbs
from preceptor.segment import segment
from preceptor.usage import Budget
from preceptor.worlds import arithmetic
from tests.search import rules
from tests.search.toy import Oracle, TreePolicy, problems

ALL: list[Strategy] = [
    ParticleFilter(5),
    ParticleFilter(5, ess=0.5, resample="systematic", vote="sample"),
    ParticleFilter(4, absorb=False, anneal=(0.5, 4), vote="weighted"),
    ParticleGibbs(8, sweeps=2),
]


@pytest.mark.parametrize("strategy", ALL, ids=str)
def test_with_exact_values_and_enough_particles_the_right_leaf_is_found(strategy: Strategy) -> None:
    result = solve(TreePolicy(), problems(8), replace(strategy, n=80, vote="bon"), Oracle())  # type: ignore[call-arg]
    assert result.accuracy == 1.0, result


@pytest.mark.parametrize("strategy", ALL, ids=str)
@pytest.mark.parametrize("budget", [None, Budget(tokens=90)], ids=["free", "tight"])
def test_order_and_splits_of_the_problems_change_nothing(strategy: Strategy, budget: Budget | None) -> None:
    rules.order_and_splits_change_nothing(rules.searching(strategy, budget))


@pytest.mark.parametrize("strategy", ALL, ids=str)
def test_every_token_is_in_the_ledger_and_no_budget_is_exceeded(strategy: Strategy) -> None:
    rules.every_token_is_in_the_ledger(strategy)
    for s in solve(TreePolicy(), problems(3), strategy, Oracle()).solutions:
        assert len({c.node for c in s.candidates}) == s.finished


@pytest.mark.parametrize("strategy", ALL, ids=str)
def test_requests_are_distinct_and_steps_are_those_of_the_segmenter(strategy: Strategy) -> None:
    policy = TreePolicy()
    result = solve(policy, problems(4), strategy, Oracle())
    rules.requests_are_distinct(policy.sent)
    for s in result.solutions:
        for node in s.tree.nodes[1:]:
            trace = s.tree.trace(node)
            assert trace.steps == segment(s.problem, trace.text)
            assert node.status is not Status.PRUNED or node.data["why"] == "not drawn again"


@pytest.mark.parametrize("strategy", ALL, ids=str)
def test_gold_answers_are_not_read_while_searching(strategy: Strategy) -> None:
    rules.gold_is_not_read(rules.searching(strategy))


@pytest.mark.parametrize("strategy", ALL, ids=str)
def test_failures_missing_scores_and_short_limits_break_nothing(strategy: Strategy) -> None:
    rules.a_dead_problem_spoils_no_other(strategy)
    for oracle in (Oracle(fail="go b"), Oracle(fail="o")):
        some = solve(TreePolicy(fails=lambda r: r.draw == 1), problems(4), strategy, oracle)
        assert all(s.ledger == s.tree.ledger and s.answer is not None for s in some.solutions)
    short = solve(TreePolicy(), problems(2), replace(strategy, sampling=Sampling(max_tokens=3)), Oracle())
    assert all((s.finished, s.answer) == (0, None) for s in short.solutions)


@pytest.mark.parametrize("strategy", ALL, ids=str)
def test_a_world_of_word_problems_is_searched_within_a_budget(strategy: Strategy) -> None:
    ps = arithmetic("test", n=8, operations=(3, 4))
    result = solve(ScriptedPolicy(error=0.3), ps, strategy, WorldOracle(Question.VALUE), Budget(tokens=1500))
    assert result.correct >= 6, result
    assert all(s.ledger.policy.generated <= 1500 for s in result.solutions)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ParticleFilter(0),
        lambda: ParticleFilter(temperature=0),
        lambda: ParticleFilter(aggregate="average"),
        lambda: ParticleFilter(ess=1.5),
        lambda: ParticleFilter(vote="best"),
        lambda: ParticleFilter(resample="stratified"),
        lambda: ParticleFilter(anneal=(0.0, 3)),
    ],
)
def test_unusable_settings_are_refused(make) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="expected"):
        make()
