"""Specifies what every beam keeps: no batch matters, no token is lost, no budget broken, and truth is found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from preceptor.annotate.tools.oracle import WorldOracle
from preceptor.generation import Sampling
from preceptor.judgement import Question
from preceptor.policy.scripted import ScriptedPolicy
from preceptor.search import Greedy, Strategy, solve
from preceptor.search.beams import (
    AlphaMathBeam,
    BestFirst,
    Dvts,
    EarlyRejection,
    GreedyBacktracking,
    LookAheadBeam,
    OvmBeam,
    PavBeam,
    Rearter,
    Rebase,
)
from preceptor.segment import segment
from preceptor.usage import Budget
from preceptor.worlds import arithmetic
from tests.search import rules
from tests.search.toy import Oracle, TreePolicy, problems

ALL: list[Strategy] = [
    AlphaMathBeam(2, 3),
    BestFirst(3),
    BestFirst(3, utility="mean"),
    Dvts(2, 3),
    EarlyRejection(2, 3, tau=4),
    GreedyBacktracking(3, 12),
    LookAheadBeam(2, 2, ahead=2),
    OvmBeam(2, 3),
    PavBeam(2, 3),
    Rearter(2, 2, beta=0.4),
    Rebase(6),
]
WIDE: list[Strategy] = [
    AlphaMathBeam(1, 40),
    AlphaMathBeam(3, 20),
    BestFirst(30),
    BestFirst(30, utility="min"),
    Dvts(2, 30),
    EarlyRejection(2, 30, tau=4),
    GreedyBacktracking(40, 400, positive=1e-9, negative=1e-9),
    LookAheadBeam(4, 15, ahead=1),
    OvmBeam(2, 30, duplicates="prefer-distinct"),
    PavBeam(2, 30),
    Rearter(40),
    Rebase(60),
]


@pytest.mark.parametrize("strategy", WIDE, ids=str)
def test_with_exact_values_and_enough_samples_the_right_leaf_is_found(strategy: Strategy) -> None:
    result = solve(TreePolicy(), problems(8), strategy, Oracle())
    assert result.accuracy == 1.0, result


def test_one_sample_seldom_finds_it() -> None:
    greedy = solve(TreePolicy(), problems(8), Greedy(), Oracle())
    assert greedy.correct <= 3


@pytest.mark.parametrize("strategy", ALL, ids=str)
@pytest.mark.parametrize("budget", [None, Budget(tokens=90)], ids=["free", "tight"])
def test_order_and_splits_of_the_problems_change_nothing(strategy: Strategy, budget: Budget | None) -> None:
    rules.order_and_splits_change_nothing(rules.searching(strategy, budget))


@pytest.mark.parametrize("strategy", ALL, ids=str)
def test_every_token_is_in_the_ledger_and_no_budget_is_exceeded(strategy: Strategy) -> None:
    rules.every_token_is_in_the_ledger(strategy, asides=("critique", "lookahead"))


@pytest.mark.parametrize("strategy", ALL, ids=str)
def test_requests_are_distinct_and_steps_are_those_of_the_segmenter(strategy: Strategy) -> None:
    policy = TreePolicy()
    result = solve(policy, problems(4), strategy, Oracle())
    rules.requests_are_distinct(policy.sent)
    for s in result.solutions:
        for node in s.tree.nodes[1:]:
            trace = s.tree.trace(node)
            assert node.role == "critique" or trace.steps == segment(s.problem, trace.text)


@pytest.mark.parametrize("strategy", ALL, ids=str)
def test_gold_answers_are_not_read_while_searching(strategy: Strategy) -> None:
    rules.gold_is_not_read(rules.searching(strategy))


@pytest.mark.parametrize("strategy", ALL, ids=str)
def test_a_dead_problem_is_undecided_and_spoils_no_other(strategy: Strategy) -> None:
    rules.a_dead_problem_spoils_no_other(strategy)


@pytest.mark.parametrize("strategy", ALL, ids=str)
def test_texts_without_a_score_and_texts_cut_short_break_nothing(strategy: Strategy) -> None:
    some = solve(TreePolicy(fails=lambda r: r.draw == 1), problems(4), strategy, Oracle(fail="go b"))
    assert all(s.ledger == s.tree.ledger for s in some.solutions)
    short = replace(
        strategy, sampling=Sampling(max_tokens=3), **({"tau": 2} if hasattr(strategy, "tau") else {})
    )
    for s in solve(TreePolicy(), problems(2), short, Oracle()).solutions:
        roles = {s.tree[c.node].role for c in s.candidates}
        assert roles <= {"solution"}, "nothing but a whole solution of its own limit can be finished"


@pytest.mark.parametrize("strategy", ALL, ids=str)
def test_a_world_of_word_problems_is_searched_within_a_budget(strategy: Strategy) -> None:
    if isinstance(strategy, EarlyRejection):
        strategy = replace(strategy, tau=64)  # this policy continues whole lines only
    ps = arithmetic("test", n=4, operations=(3, 4))
    result = solve(ScriptedPolicy(error=0.3), ps, strategy, WorldOracle(Question.VALUE), Budget(tokens=1500))
    assert result.correct >= 3, result
    assert all(s.ledger.policy.generated <= 1500 for s in result.solutions)


@pytest.mark.parametrize(
    "make",
    [
        lambda: AlphaMathBeam(0),
        lambda: BestFirst(expansions=0),
        lambda: BestFirst(utility="average"),
        lambda: BestFirst(weight=-1),
        lambda: Dvts(vote="best"),
        lambda: Dvts(expand=0),
        lambda: EarlyRejection(tau=0),
        lambda: GreedyBacktracking(positive=0.2, negative=0.4),
        lambda: LookAheadBeam(ahead=-1),
        lambda: OvmBeam(duplicates="drop"),
        lambda: PavBeam(prover=0),
        lambda: Rearter(alpha=1.5),
        lambda: Rebase(temperature=0),
        lambda: Rebase(top=0),
    ],
)
def test_unusable_settings_are_refused(make) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="expected"):
        make()
