"""Specifies what holds for every strategy of this folder: batching, budgets, the ledger, gold, failures."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from preceptor.generation import Sampling
from preceptor.search import BestOfN, Majority, SolveResult, Status, StepBeam, Strategy, solve
from preceptor.search.voting.adaptive_consistency import AdaptiveConsistency, DoublingConsistency
from preceptor.search.voting.agent_best_of_n import AgentBestOfN
from preceptor.search.voting.belief_best_of_n import BeliefBestOfN
from preceptor.search.voting.cluster_vote import ClusterVote
from preceptor.search.voting.compute_optimal import ComputeOptimal
from preceptor.search.voting.data_prm_best_of_n import DataPRMBestOfN
from preceptor.search.voting.deepconf import DeepConf
from preceptor.search.voting.deepconf_online import DeepConfOnline
from preceptor.search.voting.hmr import HybridVote
from preceptor.search.voting.log_odds import LogOddsVote
from preceptor.search.voting.omegaprm_vote import OmegaPRMVote
from preceptor.search.voting.opv_vote import OPVVote
from preceptor.search.voting.outcome_vote import OutcomeVote
from preceptor.search.voting.pessimistic import PessimisticVote
from preceptor.search.voting.self_prm_vote import SelfPRMVote
from preceptor.search.voting.wrf import RewardFrequencyVote
from preceptor.trace import Finish, Verdict
from preceptor.usage import Budget
from tests.search import rules
from tests.search.toy import Oracle, TreePolicy, problems
from tests.search.voting.judges import Judge, Writer

SHORT = Sampling(max_tokens=24)
SOLUTION = Sampling(temperature=0.8, max_tokens=40)
ALL: list[Strategy] = [
    OmegaPRMVote(5),
    HybridVote(5, threshold=0.7),
    RewardFrequencyVote(5),
    PessimisticVote(5),
    LogOddsVote(5, accuracy=0.4),
    SelfPRMVote(4, judging=SHORT),
    OutcomeVote(4, 2, judging=SHORT),
    OutcomeVote(None, 2, judging=SHORT, sampling=SOLUTION, batch=2),
    OPVVote(3, 2, judging=SHORT, summarising=Sampling(max_tokens=60)),
    AgentBestOfN(4, 2, judging=SHORT),
    DataPRMBestOfN(4),
    BeliefBestOfN(4),
    DeepConf(6, keep=0.5),
    DeepConfOnline(8, 3, 0.5, window=6, unit=5),
    AdaptiveConsistency(12),
    AdaptiveConsistency(None, batch=2, sampling=SOLUTION),
    DoublingConsistency(16),
    ClusterVote(5, judging=SHORT),
    ComputeOptimal((BestOfN(3), StepBeam(2, 2)), (0.4,), probes=2),
    ComputeOptimal((Majority(3), HybridVote(3)), (0.4,), probes=2, reuse=False),
]
NAMES = [f"{type(s).__name__}-{i}" for i, s in enumerate(ALL)]


def run(strategy: Strategy, ps: list, budget: Budget | None = None, **changes) -> SolveResult:  # type: ignore[no-untyped-def, type-arg]
    if strategy.asked is None and budget is None:
        budget = Budget(calls=14)
    return solve(changes.pop("policy", Writer(Judge(0.8))), ps, strategy, Oracle(), budget, **changes)


@pytest.mark.parametrize("strategy", ALL, ids=NAMES)
@pytest.mark.parametrize("tokens", [None, 130], ids=["free", "tight"])
def test_order_and_splits_of_the_problems_change_nothing(strategy: Strategy, tokens: int | None) -> None:
    budget = None if tokens is None else Budget(tokens=tokens)
    rules.order_and_splits_change_nothing(lambda ps: run(strategy, ps, budget))


@pytest.mark.parametrize("strategy", ALL, ids=NAMES)
def test_budgets_hold_and_the_ledger_is_the_sum_over_the_tree(strategy: Strategy) -> None:
    for tokens in (0, 7, 30, 77, 150, 333, 1000):
        for s in run(strategy, problems(3), Budget(tokens=tokens)).solutions:
            assert s.ledger.policy.generated <= tokens
            assert s.ledger == s.tree.ledger
            assert s.ledger.policy.generated == sum(len(n.text) - n.inserted for n in s.tree.nodes)
            if s.unserved:
                assert s.stop.startswith("budget:")
    for s in run(strategy, problems(3), Budget(calls=5)).solutions:
        assert s.ledger.policy.calls <= 5


@pytest.mark.parametrize("strategy", ALL, ids=NAMES)
def test_candidates_are_finished_walks_and_never_questions_about_them(strategy: Strategy) -> None:
    for s in run(strategy, problems(6)).solutions:
        for c in s.candidates:
            assert c.trace.finish is Finish.STOP
            assert c.trace.text.startswith("go ")
            assert s.tree[c.node].role in ("solution", "step")
        assert s.chosen is None or s.chosen.text.startswith("go ")


@pytest.mark.parametrize("strategy", ALL, ids=NAMES)
def test_gold_answers_are_not_read_while_choosing(strategy: Strategy) -> None:
    rules.gold_is_not_read(lambda ps: run(strategy, ps), n=6)


@pytest.mark.parametrize("strategy", ALL, ids=NAMES)
def test_no_two_requests_share_problem_prefix_and_draw(strategy: Strategy) -> None:
    writer = Writer(Judge(0.8))
    run(strategy, problems(4), policy=writer)
    walks = Counter((r.problem.id, r.prefix, r.draw) for batch in writer.tree.sent for r in batch)
    asked = Counter((r.problem.id, r.prefix, r.draw) for r in writer.judge.sent)
    assert max((walks + asked).values()) == 1


@pytest.mark.parametrize("strategy", ALL, ids=NAMES)
def test_a_failing_policy_is_undecided_and_a_failing_draw_spoils_no_other(strategy: Strategy) -> None:
    writer = Writer(Judge(0.8), TreePolicy(fails=lambda r: r.problem.id == "toy1" or r.draw == 1))
    good, bad = run(strategy, problems(2), policy=writer).solutions
    assert good.answer is not None
    assert bad.grade.verdict is Verdict.UNDECIDED
    assert bad.stop == "failed"


@pytest.mark.parametrize("strategy", ALL, ids=NAMES)
def test_unfinished_walks_are_no_solutions(strategy: Strategy) -> None:
    if isinstance(strategy, ComputeOptimal):
        strategy = replace(
            strategy,
            strategies=tuple(replace(s, sampling=Sampling(max_tokens=4)) for s in strategy.strategies),
        )
    for s in run(
        replace(strategy, sampling=Sampling(max_tokens=11)), problems(2), Budget(calls=10)
    ).solutions:
        assert s.finished == 0
        assert s.answer is None
        assert not s.tree.having(Status.DONE)


def test_names_say_the_settings() -> None:
    assert str(HybridVote(4)) == "HybridVote(n=4, aggregate='last', threshold=0.5)"
    assert str(AdaptiveConsistency()) == "AdaptiveConsistency(n=40, confidence=0.95)"
