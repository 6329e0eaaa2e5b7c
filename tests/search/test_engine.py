"""Specifies the engine: equivalences between strategies, budgets, the ledger, failures, and what gold may do."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preceptor.bench.estimators import bon_at_k
from preceptor.errors import BackendError, InputError
from preceptor.generation import Sampling
from preceptor.judgement import Judgement
from preceptor.search import (
    BestOfN,
    Greedy,
    Majority,
    SolveResult,
    Status,
    StepBeam,
    Strategy,
    Tree,
    WeightedVote,
    solve,
)
from preceptor.segment import segment
from preceptor.trace import Finish, Verdict
from preceptor.usage import Budget
from tests.search import rules
from tests.search.toy import Oracle, TreePolicy, problem, problems, value

ALL: list[Strategy] = [
    Greedy(),
    Majority(5),
    BestOfN(5, "mean"),
    WeightedVote(5, "min"),
    StepBeam(2, 3),
    StepBeam(2, 3, duplicates="keep", vote="weighted"),
]
SMALL = Sampling(max_tokens=24)


def texts(result: SolveResult) -> list[list[str]]:
    return [[c.trace.text for c in s.candidates] for s in result.solutions]


# Equivalences


def test_a_beam_that_prunes_nothing_is_best_of_n_with_the_same_seeds() -> None:
    ps = problems(20)
    beam = solve(TreePolicy(), ps, StepBeam(keep=6, expand=1, duplicates="keep"), Oracle(), seed=3)
    bon = solve(TreePolicy(), ps, BestOfN(6), Oracle(), seed=3)
    assert texts(beam) == texts(bon)
    assert [s.answer for s in beam.solutions] == [s.answer for s in bon.solutions]
    assert beam.ledger.policy.generated == bon.ledger.policy.generated
    assert beam.rounds == 4
    assert bon.rounds == 1


def test_strategies_over_independent_samples_read_the_same_samples() -> None:
    ps = problems(5)
    runs = [solve(TreePolicy(), ps, s, Oracle()) for s in (Majority(4), BestOfN(4), WeightedVote(4))]
    assert texts(runs[0]) == texts(runs[1]) == texts(runs[2])
    longer = texts(solve(TreePolicy(), ps, BestOfN(7), Oracle()))
    assert [row[:4] for row in longer] == texts(runs[0])


def test_a_constant_scorer_makes_the_weighted_vote_the_majority() -> None:
    ps = problems(40)
    weighted = solve(TreePolicy(), ps, WeightedVote(7), Oracle(constant=0.7))
    majority = solve(TreePolicy(), ps, Majority(7))
    assert [s.answer for s in weighted.solutions] == [s.answer for s in majority.solutions]
    assert majority.ledger.scorer.calls == 0


@pytest.mark.parametrize("strategy", ALL, ids=str)
@pytest.mark.parametrize("budget", [None, Budget(tokens=90)], ids=["free", "tight"])
def test_order_and_splits_of_the_problems_change_nothing(strategy: Strategy, budget: Budget | None) -> None:
    rules.order_and_splits_change_nothing(rules.searching(strategy, budget), n=6)


def test_every_search_with_exact_values_finds_the_right_leaf() -> None:
    ps = problems(12)
    for strategy in (BestOfN(400), StepBeam(1, 60), StepBeam(2, 40, duplicates="prefer-distinct")):
        assert solve(TreePolicy(), ps, strategy, Oracle()).accuracy == 1.0, strategy


def test_success_of_best_of_n_follows_its_formula() -> None:
    copies = [problem(f"toy3/{i}") for i in range(600)]
    p = value(copies[0], "")
    result = solve(TreePolicy(), copies, BestOfN(8), Oracle())
    pools = [
        ([c.scores[-1] if c.scores else None for c in s.candidates], [c.answer == "7" for c in s.candidates])
        for s in result.solutions
    ]
    for k in (1, 2, 4, 8):
        measured = sum(bon_at_k(scores, correct, k) for scores, correct in pools) / len(pools)
        assert measured == pytest.approx(1 - (1 - p) ** k, abs=0.06), k
    assert result.accuracy == result.pass_rate == pytest.approx(measured, abs=1e-12)


# Batching, streams, prefixes


def test_one_call_of_policy_and_scorer_a_turn_serves_all_problems() -> None:
    policy, oracle = TreePolicy(), Oracle()
    result = solve(policy, problems(9), StepBeam(2, 3), oracle)
    assert len(policy.sent) == result.rounds == 4
    assert len(oracle.sent) == 4
    assert {r.problem.id for r in policy.sent[0]} == {p.id for p in problems(9)}


@pytest.mark.parametrize("strategy", ALL, ids=str)
def test_no_two_requests_share_problem_prefix_and_draw(strategy: Strategy) -> None:
    policy = TreePolicy()
    solve(policy, problems(5), strategy, Oracle())
    rules.requests_are_distinct(policy.sent)
    asked = [r for batch in policy.sent for r in batch if r.prefix]
    assert all(r.prefix_ids is not None for r in asked)


def test_steps_of_a_search_are_the_steps_of_the_segmenter() -> None:
    for solution in solve(TreePolicy(), problems(5), StepBeam(2, 3), Oracle()).solutions:
        for node in solution.tree.nodes[1:]:
            trace = solution.tree.trace(node)
            assert trace.steps == segment(solution.problem, trace.text)
            assert trace.token_ids is not None
            assert "".join(map(chr, trace.token_ids)) == trace.text
            assert trace.token_ends == tuple(range(1, len(trace.text) + 1))


# Budgets and the ledger


@given(
    strategy=st.sampled_from([*ALL, Majority(None, batch=3), BestOfN(None, sampling=SMALL)]),
    tokens=st.none() | st.integers(0, 400),
    calls=st.none() | st.integers(0, 12),
)
@settings(max_examples=120, deadline=None)
def test_tokens_and_calls_are_never_exceeded(
    strategy: Strategy, tokens: int | None, calls: int | None
) -> None:
    budget = Budget(tokens=tokens, calls=calls)
    if strategy.asked is None and budget == Budget():
        return
    policy = TreePolicy()
    result = solve(policy, problems(3), strategy, Oracle(), budget)
    for s in result.solutions:
        spent = s.ledger.policy
        assert tokens is None or spent.generated <= tokens
        assert calls is None or spent.calls <= calls
        assert s.ledger == s.tree.ledger
        assert spent.generated == sum(len(n.text) for n in s.tree.nodes)
        assert s.finished == len(s.tree.having(Status.DONE))
        if s.unserved:
            assert s.stop.startswith("budget:")
    assert result.ledger.policy.calls == sum(map(len, policy.sent))


def test_an_ample_budget_changes_nothing_and_a_tight_one_keeps_the_first_samples() -> None:
    ps = problems(6)
    free = solve(TreePolicy(), ps, BestOfN(6), Oracle())
    ample = solve(TreePolicy(), ps, BestOfN(6), Oracle(), Budget(tokens=10**6))
    assert rules.outcome(free) == rules.outcome(ample)
    tight = solve(TreePolicy(), ps, BestOfN(6), Oracle(), Budget(tokens=100))
    for few, many, s in zip(texts(tight), texts(free), tight.solutions, strict=True):
        assert few == many[: len(few)]
        assert 3 <= len(few) < 6
        assert s.stop == "budget:tokens"
        assert s.asked == 6


def test_without_n_samples_are_drawn_until_the_budget_is_spent() -> None:
    result = solve(TreePolicy(), problems(4), Majority(None, sampling=SMALL), budget=Budget(tokens=500))
    for s in result.solutions:
        assert s.ledger.policy.generated == 500
        assert 19 <= s.finished <= 21
        assert s.stop == "budget:tokens"


def test_scored_tokens_stay_within_their_budget() -> None:
    for limit in (0, 60, 150, 400):
        result = solve(TreePolicy(), problems(5), StepBeam(2, 3), Oracle(), Budget(scored=limit))
        assert all(s.ledger.scorer.scored <= limit for s in result.solutions)
        assert result.stops["budget:scored"] == 5


def test_a_budget_of_nothing_spends_nothing() -> None:
    policy = TreePolicy()
    result = solve(policy, problems(2), BestOfN(4), Oracle(), Budget(tokens=0))
    assert policy.sent == []
    assert result.solutions[0].grade.verdict is Verdict.INCORRECT
    assert result.solutions[0].unserved == 4


def test_a_token_budget_over_a_policy_that_does_not_count_is_an_error() -> None:
    class Silent(TreePolicy):
        def _one(self, request):  # type: ignore[no-untyped-def]
            return replace(super()._one(request), token_ids=None, token_ends=None, usage=TreePolicy.nothing)

    with pytest.raises(BackendError, match="counted no tokens"):
        solve(Silent(), problems(1), Majority(2), budget=Budget(tokens=50))


# What is not a solution


def test_a_text_cut_by_a_limit_is_unfinished_and_nothing_is_padded() -> None:
    result = solve(TreePolicy(), problems(3), BestOfN(4, sampling=Sampling(max_tokens=20)), Oracle())
    for s in result.solutions:
        assert s.finished == 0
        assert s.answer is None
        assert {n.status for n in s.tree.nodes[1:]} == {Status.CUT}
        assert {n.finish for n in s.tree.nodes[1:]} == {Finish.LENGTH}
    assert result.accuracy == 0
    assert "finished 0 of 12" in repr(result)


def test_a_beam_that_runs_out_of_steps_reports_no_solution() -> None:
    s = solve(TreePolicy(), problems(1), StepBeam(2, 2, max_steps=2), Oracle()).solutions[0]
    assert s.answer is None
    assert s.tree.having(Status.CUT)
    assert s.grade.reason == "no finished solution gave an answer (done)"


def test_a_beam_narrows_as_its_budget_ends_and_still_finishes() -> None:
    for s in solve(TreePolicy(), problems(10), StepBeam(2, 3), Oracle(), Budget(tokens=60)).solutions:
        assert s.answer is not None
        assert s.ledger.policy.generated <= 60


# Failures


def test_a_failed_continuation_is_an_error_on_its_node_and_the_others_finish() -> None:
    policy = TreePolicy(fails=lambda r: r.draw == 2)
    s = solve(policy, problems(1), BestOfN(4), Oracle()).solutions[0]
    assert (s.finished, s.asked) == (3, 4)
    assert [n.error.kind for n in s.tree.having(Status.FAILED) if n.error] == ["timeout"]
    assert s.answer is not None


@pytest.mark.parametrize("strategy", [*ALL, BestOfN(None)], ids=str)
def test_a_problem_whose_requests_all_fail_is_undecided_and_spoils_no_other(strategy: Strategy) -> None:
    policy = TreePolicy(fails=lambda r: r.problem.id == "toy1")
    result = solve(policy, problems(3), strategy, Oracle(), Budget(calls=40))
    good, bad, also_good = result.solutions
    assert bad.grade.verdict is Verdict.UNDECIDED
    assert bad.error is not None
    assert bad.error.kind == "timeout"
    assert bad.stop == "failed"
    assert good.answer is not None
    assert also_good.answer is not None
    assert "1 undecided" in repr(result)


def test_a_trace_that_cannot_be_scored_stays_unscored_and_never_beats_a_scored_one() -> None:
    oracle = Oracle(fail="go a\ngo a")
    result = solve(TreePolicy(), problems(30), BestOfN(6), oracle)
    hit = 0
    for s in result.solutions:
        unscored = [c for c in s.candidates if "go a\ngo a" in c.trace.text]
        hit += bool(unscored)
        assert all(c.scores is None for c in unscored)
        assert all((e := s.tree[c.node].score_error) and e.kind == "too-long" for c in unscored)
        if len(unscored) < len(s.candidates):
            assert s.chosen is not None
            assert "go a\ngo a" not in s.chosen.text
    assert hit > 5


def test_a_scorer_with_the_wrong_number_of_scores_is_an_error_and_not_a_score() -> None:
    class Short(Oracle):
        def _one(self, trace):  # type: ignore[no-untyped-def]
            full: Judgement = super()._one(trace)
            return replace(full, scores=(full.scores or ())[:-1])

    s = solve(TreePolicy(), problems(1), BestOfN(3), Short()).solutions[0]
    assert all(c.scores is None for c in s.candidates)
    assert {n.score_error.kind for n in s.tree.nodes if n.score_error} == {"score-count"}
    assert s.answer == solve(TreePolicy(), problems(1), Majority(3)).solutions[0].answer


# Gold, records, refusals


@pytest.mark.parametrize("strategy", ALL, ids=str)
def test_gold_answers_are_not_read_while_choosing(strategy: Strategy) -> None:
    rules.gold_is_not_read(rules.searching(strategy), n=8)


def test_results_and_trees_survive_json(tmp_path) -> None:  # type: ignore[no-untyped-def]
    policy = TreePolicy(fails=lambda r: r.draw == 1)
    result = solve(policy, problems(2), StepBeam(2, 3), Oracle(fail="go b"))
    result.write(tmp_path)
    assert json.loads((tmp_path / "result.json").read_text())["problems"] == 2
    rows = [json.loads(line) for line in (tmp_path / "trees.jsonl").read_text().splitlines()]
    for row, s in zip(rows, result.solutions, strict=True):
        again = Tree.from_record(row, s.problem)
        assert again.to_record() == s.tree.to_record()
        assert [again.path(n) for n in again.nodes] == [s.tree.path(n) for n in s.tree.nodes]
        assert again.ledger == s.ledger


def test_progress_is_told_after_every_turn() -> None:
    told: list[tuple[int, int, str]] = []
    solve(TreePolicy(), problems(3), StepBeam(2, 2), Oracle(), progress=lambda *a: told.append(a))  # type: ignore[arg-type]
    assert told[-1][:2] == (3, 3)
    assert "tokens" in told[-1][2]


def test_unusable_settings_are_refused_before_anything_is_spent() -> None:
    ps = problems(2)
    with pytest.raises(InputError, match="no scorer"):
        solve(TreePolicy(), ps, BestOfN(2))
    with pytest.raises(InputError, match="until the budget is spent"):
        solve(TreePolicy(), ps, Majority(None))
    with pytest.raises(InputError, match="different ids"):
        solve(TreePolicy(), [ps[0], ps[0]], Majority(2))
    with pytest.raises(InputError, match="no stop string"):
        solve(TreePolicy(), [replace(ps[0], segmenter="sentence")], StepBeam(1, 1), Oracle())
    for bad in (
        lambda: StepBeam(0, 1),
        lambda: StepBeam(vote="best"),
        lambda: BestOfN(0),
        lambda: BestOfN(2, "avg"),
    ):
        with pytest.raises(ValueError):
            bad()
