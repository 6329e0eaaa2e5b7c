"""Specifies what every tree search keeps: no batch matters, no token is lost, no budget broken, and truth is found."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from preceptor.annotate.tools.oracle import WorldOracle
from preceptor.generation import Sampling
from preceptor.judgement import Question
from preceptor.policy.scripted import ScriptedPolicy
from preceptor.search import Status, Strategy, solve
from preceptor.search.trees import AlphaMathMcts, Propa, RestMcts, RStar, VanillaMcts
from preceptor.usage import Budget
from preceptor.worlds import arithmetic
from tests.search import rules
from tests.search.toy import Oracle, TreePolicy, problems

SCORED: list[Strategy] = [
    AlphaMathMcts(12, 3),
    Propa(3, 14, 4, 2),
    RestMcts(10, 2, repeats=True),
    VanillaMcts(6, 3),
    VanillaMcts(6, 3, by_prior=True),
]
ALL = [*SCORED, RStar(4, 4, thoughts=2, votes=4, questions=1, answers=2, cuts=2)]
WIDE: list[Strategy] = [
    AlphaMathMcts(60, 40),
    Propa(40, 60, 40),
    RestMcts(60, 40, repeats=True),
    VanillaMcts(30, 40),
]


@pytest.mark.parametrize("strategy", WIDE, ids=str)
def test_with_exact_values_and_enough_samples_the_right_leaf_is_found(strategy: Strategy) -> None:
    result = solve(TreePolicy(), problems(8), strategy, Oracle())
    assert result.accuracy == 1.0, result


@pytest.mark.parametrize("strategy", ALL, ids=str)
@pytest.mark.parametrize("budget", [None, Budget(tokens=120)], ids=["free", "tight"])
def test_order_and_splits_of_the_problems_change_nothing(strategy: Strategy, budget: Budget | None) -> None:
    rules.order_and_splits_change_nothing(rules.searching(strategy, budget))


@pytest.mark.parametrize("strategy", ALL, ids=str)
def test_every_token_is_in_the_ledger_and_no_budget_is_exceeded(strategy: Strategy) -> None:
    rules.every_token_is_in_the_ledger(strategy, asides=("check",))


@pytest.mark.parametrize("strategy", ALL, ids=str)
def test_requests_are_distinct(strategy: Strategy) -> None:
    policy = TreePolicy()
    solve(policy, problems(4), strategy, Oracle())
    rules.requests_are_distinct(policy.sent)


@pytest.mark.parametrize("strategy", SCORED, ids=str)
def test_one_leaf_of_every_problem_is_expanded_a_turn_and_no_prefix_is_scored_twice(
    strategy: Strategy,
) -> None:
    policy, oracle = TreePolicy(), Oracle()
    solve(policy, problems(4), strategy, oracle)
    for batch in policy.sent:
        prefixes: dict[str, set[str]] = {}
        for r in batch:
            prefixes.setdefault(r.problem.id, set()).add(r.prefix)
        assert all(len(found) == 1 for found in prefixes.values())
    told = Counter((t.problem.id, t.text, t.draw) for batch in oracle.sent for t in batch)
    assert max(told.values()) == 1


@pytest.mark.parametrize("strategy", ALL, ids=str)
def test_gold_answers_are_not_read_while_searching(strategy: Strategy) -> None:
    rules.gold_is_not_read(rules.searching(strategy))


@pytest.mark.parametrize("strategy", ALL, ids=str)
def test_a_dead_problem_is_undecided_and_spoils_no_other(strategy: Strategy) -> None:
    rules.a_dead_problem_spoils_no_other(strategy)


@pytest.mark.parametrize("strategy", ALL, ids=str)
def test_texts_without_a_score_and_texts_cut_short_break_nothing(strategy: Strategy) -> None:
    for oracle in (Oracle(fail="go b"), Oracle(fail="o")):
        some = solve(TreePolicy(fails=lambda r: r.draw == 1), problems(4), strategy, oracle)
        assert all(s.ledger == s.tree.ledger for s in some.solutions)
        assert any(s.answer is not None for s in some.solutions)
    for s in solve(
        TreePolicy(), problems(2), replace(strategy, sampling=Sampling(max_tokens=3)), Oracle()
    ).solutions:
        assert s.finished == 0
        assert s.answer is None


@pytest.mark.parametrize("strategy", ALL, ids=str)
def test_every_node_that_was_dropped_says_why(strategy: Strategy) -> None:
    for s in solve(TreePolicy(), problems(4), strategy, Oracle()).solutions:
        for node in s.tree.nodes:
            if node.status in (Status.PRUNED, Status.REJECTED):
                assert "why" in node.data or "duplicate_of" in node.data
        assert type(s.tree).from_record(s.tree.to_record(), s.problem).to_record() == s.tree.to_record()


@pytest.mark.parametrize("strategy", SCORED, ids=str)
def test_a_world_of_word_problems_is_searched_within_a_budget(strategy: Strategy) -> None:
    ps = arithmetic("test", n=8, operations=(3, 4))
    result = solve(ScriptedPolicy(error=0.3), ps, strategy, WorldOracle(Question.VALUE), Budget(tokens=2500))
    assert result.correct >= 7, result
    assert all(s.ledger.policy.generated <= 2500 for s in result.solutions)


@pytest.mark.parametrize(
    "make",
    [
        lambda: AlphaMathMcts(0),
        lambda: AlphaMathMcts(c_puct=-1),
        lambda: AlphaMathMcts(aggregate="average"),
        lambda: Propa(solutions=0),
        lambda: Propa(c=-1),
        lambda: RestMcts(alpha=1.5),
        lambda: RestMcts(forward=-1),
        lambda: VanillaMcts(0),
        lambda: VanillaMcts(vote="best"),
        lambda: VanillaMcts(base=0),
    ],
)
def test_unusable_settings_are_refused(make) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="expected"):
        make()
