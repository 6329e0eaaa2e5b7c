"""Specifies bins of difficulty and the strategy that hands each problem to that of its bin."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from preceptor.errors import InputError
from preceptor.search import BestOfN, Greedy, Majority, Status, StepBeam, WeightedVote, solve
from preceptor.search.voting.adaptive_consistency import AdaptiveConsistency
from preceptor.search.voting.compute_optimal import ComputeOptimal
from preceptor.search.voting.difficulty import absolute_bin, bin_of, mean_score, quantile_edges
from preceptor.search.voting.hmr import HybridVote
from preceptor.search.voting.outcome_vote import OutcomeVote
from preceptor.usage import Budget
from tests.search.toy import Oracle, TreePolicy, problems, value
from tests.search.voting.judges import Judge, Writer


def test_bins_are_those_of_search_and_learn() -> None:
    values = [i / 100 for i in range(101)]
    edges = quantile_edges(values)
    assert edges == pytest.approx((0.2, 0.4, 0.6, 0.8))
    q20, q40, q60, q80 = np.percentile(values, [20, 40, 60, 80])
    for v in values:
        level = 5 if v < q20 else 4 if v < q40 else 3 if v < q60 else 2 if v < q80 else 1
        assert bin_of(v, edges) == level
    assert [absolute_bin(p) for p in (1.0, 0.5, 0.49, 0.1, 0.09, 0.0)] == ["easy"] * 2 + ["medium"] * 2 + [
        "hard"
    ] * 2
    assert mean_score([(0.5, 0.25), None, (0.75,)]) == 0.5
    assert mean_score([None, ()]) is None
    with pytest.raises(ValueError, match="at least 1"):
        quantile_edges([])


@pytest.mark.parametrize(
    "inner",
    [Greedy(), Majority(5), BestOfN(5), StepBeam(2, 3), AdaptiveConsistency(9), OutcomeVote(3, 2)],
    ids=lambda s: type(s).__name__,
)
def test_one_bin_and_a_table_is_the_strategy_itself(inner) -> None:  # type: ignore[no-untyped-def]
    ps = problems(6)
    table = {p.id: 0.5 for p in ps}
    for budget in (None, Budget(tokens=90)):
        alone = solve(Writer(), ps, inner, Oracle(), budget)
        handed = solve(Writer(), ps, ComputeOptimal((inner,), (), table=table), Oracle(), budget)
        for a, b in zip(alone.solutions, handed.solutions, strict=True):
            assert (a.answer, a.tree.to_record(), a.stop) == (b.answer, b.tree.to_record(), b.stop)
    assert handed.solutions[0].asked == inner.asked


def test_every_problem_gets_the_strategy_of_its_bin() -> None:
    ps = problems(20)
    table = {p.id: value(p, "") for p in ps}
    edges = quantile_edges(list(table.values()), 3)
    parts = (Greedy(), Majority(3), BestOfN(6))
    result = solve(TreePolicy(), ps, ComputeOptimal(parts, edges, table=table), Oracle())
    alone = [solve(TreePolicy(), ps, part, Oracle()) for part in parts]
    seen = set()
    for i, s in enumerate(result.solutions):
        b = bin_of(table[s.problem.id], edges)
        seen.add(b)
        assert s.answer == alone[b - 1].solutions[i].answer
        assert s.finished == (1, 3, 6)[b - 1]
    assert seen == {1, 2, 3}


def test_probes_measure_the_difficulty_and_their_cost_is_the_problems() -> None:
    ps = problems(12)
    strategy = ComputeOptimal((Majority(2), BestOfN(6)), (0.3,), probes=4)
    result = solve(TreePolicy(), ps, strategy, Oracle())
    probes = solve(TreePolicy(), ps, BestOfN(4), Oracle())
    sizes = set()
    for s, p in zip(result.solutions, probes.solutions, strict=True):
        difficulty = mean_score([c.scores for c in p.candidates])
        assert difficulty is not None
        expected = 2 if bin_of(difficulty, (0.3,)) == 1 else 6
        assert s.finished == 4 + expected  # probes stay candidates
        assert [c.trace.text for c in s.candidates][:4] == [c.trace.text for c in p.candidates]
        assert s.ledger == s.tree.ledger
        sizes.add(expected)
    assert sizes == {2, 6}
    hidden = solve(TreePolicy(), ps, replace(strategy, reuse=False), Oracle())
    for s, h in zip(result.solutions, hidden.solutions, strict=True):
        assert h.finished == s.finished - 4
        assert [n.data["why"] for n in h.tree.having(Status.PRUNED)] == ["a probe"] * 4
        assert h.ledger == s.ledger


def test_an_unscored_problem_is_taken_for_hard_and_a_budget_that_ends_while_probing_still_answers() -> None:
    strategy = ComputeOptimal((Majority(1), Majority(3)), (0.0,), probes=2)
    blind = solve(TreePolicy(), problems(3), strategy, Oracle(fail="go"))
    assert {s.finished for s in blind.solutions} == {5}
    short = solve(TreePolicy(), problems(3), strategy, Oracle(), Budget(calls=1))
    assert all(s.answer is not None and s.finished == 1 for s in short.solutions)


def test_helpers_scorers_and_limits_are_those_of_its_parts() -> None:
    table = {"toy0": 1.0}
    assert ComputeOptimal((Majority(2),), (), table=table).needs_scorer is False
    assert ComputeOptimal((BestOfN(2),), (), table=table).needs_scorer is True
    assert ComputeOptimal((OutcomeVote(2), Majority(2)), (0.5,)).helpers == ("verifier",)
    assert ComputeOptimal((Majority(2), HybridVote(7)), (0.5,)).asked == 7
    assert ComputeOptimal((Majority(2), Majority(None)), (0.5,)).asked is None
    verifier = Judge(fingerprint="verifier")
    solve(
        Writer(),
        problems(1),
        ComputeOptimal((OutcomeVote(2, 1),), (), table=table),
        helpers={"verifier": verifier},
    )
    assert verifier.sent
    with pytest.raises(InputError, match="no difficulty for problem 'toy1'"):
        solve(TreePolicy(), problems(2), ComputeOptimal((Majority(2),), (), table=table))
    with pytest.raises(InputError, match="no scorer"):
        solve(TreePolicy(), problems(1), ComputeOptimal((Majority(2),), ()))
    for bad in (
        lambda: ComputeOptimal((), ()),
        lambda: ComputeOptimal((Majority(1),), (0.5,)),
        lambda: ComputeOptimal((Majority(1),) * 3, (0.5, 0.1)),
        lambda: ComputeOptimal((WeightedVote(1),), (), probes=0),
    ):
        with pytest.raises(ValueError, match="expected"):
            bad()
