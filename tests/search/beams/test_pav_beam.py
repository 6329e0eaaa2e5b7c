"""Specifies the beam of process advantage verifiers: value plus progress under a prover."""

from __future__ import annotations

import pytest

from preceptor.errors import BackendError
from preceptor.reward.combine.progress import AdvantageScore
from preceptor.search import StepBeam, solve
from preceptor.search.beams import Paired, PavBeam
from preceptor.search.state import Search
from preceptor.usage import Budget
from tests.search.beams.tables import Marks, Table, asked, path, run
from tests.search.toy import Oracle, TreePolicy, problem, problems


def g(strategy: PavBeam, solution, name: str) -> float | None:  # type: ignore[no-untyped-def]
    """What the strategy ranked a path by."""
    search = Search(solution.problem, strategy, Budget(), 0, solution.tree)
    node = next(n for n in solution.tree.nodes[1:] if path(solution.tree.path(n).text) == name)
    return strategy.worth(search, node)


def test_without_progress_it_is_the_beam_by_value() -> None:
    ps = problems(10)
    plain = solve(TreePolicy(), ps, StepBeam(2, 3), Oracle())
    for prover in (1, 4, None):
        pav = solve(TreePolicy(), ps, PavBeam(2, 3, alpha=0, prover=prover), Oracle())
        for a, b in zip(plain.solutions, pav.solutions, strict=True):
            assert a.tree.to_record() == b.tree.to_record()


OPTIONS = {"": ["a", "b"], "a": ["c", "d"], "b": ["e", "f"], **{x: ["!1"] for x in ("ac", "ad", "be", "bf")}}
MARKS = {"a": 0.6, "b": 0.2, "ac": 0.6, "ad": 0.5, "be": 0.55, "bf": 0.1} | {
    f"{x}!1": 0.5 for x in ("ac", "ad", "be", "bf")
}


def test_under_the_policy_itself_siblings_keep_their_order_and_cousins_do_not() -> None:
    strategy = PavBeam(2, 2, alpha=0.5, prover=1)
    s = run(strategy, OPTIONS, MARKS)
    for name, parent in (("ac", "a"), ("ad", "a"), ("be", "b"), ("bf", "b")):
        assert g(strategy, s, name) == pytest.approx(1.5 * MARKS[name] - 0.5 * MARKS[parent])
    order = sorted(("ac", "ad", "be", "bf"), key=lambda name: -(g(strategy, s, name) or 0.0))
    assert order == ["be", "ac", "ad", "bf"], "by value alone ac comes first"
    assert order.index("ac") < order.index("ad")
    assert order.index("be") < order.index("bf")


def test_progress_and_not_the_prover_s_value_is_added() -> None:
    strategy = PavBeam(1, 4, alpha=1.0, prover=4)
    s = run(PavBeam(2, 2, alpha=1.0, prover=4), OPTIONS, MARKS)

    def mu(name: str) -> float:
        return 1 - (1 - MARKS[name]) ** 4

    for name, parent in (("ac", "a"), ("be", "b")):
        assert g(strategy, s, name) == pytest.approx(MARKS[name] + mu(name) - mu(parent))
    assert MARKS["ac"] + mu("ac") > MARKS["be"] + mu("be")
    assert (g(strategy, s, "ac") or 0) < (g(strategy, s, "be") or 0), "Q + Q_mu would rank them the other way"


def test_it_is_the_published_score_of_the_combinator() -> None:
    strategy = PavBeam(2, 3, alpha=0.5)
    result = solve(TreePolicy(), problems(5), strategy, Oracle())
    for s in result.solutions:
        search = Search(s.problem, strategy, Budget(), 0, s.tree)
        nodes = [n for n in s.tree.nodes[1:] if n.first_step > 0]
        judged = AdvantageScore(Oracle(), alpha=0.5, k=4).score([s.tree.trace(n) for n in nodes])
        for node, judgement in zip(nodes, judged, strict=True):
            assert judgement.scores is not None
            assert strategy.worth(search, node) == pytest.approx(judgement.scores[-1])


def test_another_prover_is_read_beside_the_value_and_a_flat_one_changes_nothing() -> None:
    flat = Paired(Marks(MARKS), Marks(dict.fromkeys(MARKS, 0.7)), "prover")
    strategy = PavBeam(2, 2, alpha=0.8, prover=None)
    s = solve(Table(OPTIONS), [problem()], strategy, flat).solutions[0]
    for name in ("ac", "ad", "be", "bf"):
        assert g(strategy, s, name) == MARKS[name]
    steep = Paired(
        Marks(MARKS), Marks({"a": 0.9, "b": 0.1, "ac": 0.9, "ad": 0.9, "be": 0.1, "bf": 0.9}), "prover"
    )
    s = solve(Table(OPTIONS), [problem()], strategy, steep).solutions[0]
    assert g(strategy, s, "bf") == pytest.approx(0.1 + 0.8 * 0.8)
    assert g(strategy, s, "be") == pytest.approx(0.55)
    assert asked(s) == {"": 4, "a": 2, "b": 2, "ac": 2, "bf": 2}
    assert s.ledger.scorer.calls == 2 * sum(n.scores is not None for n in s.tree.nodes[1:])


def test_a_step_with_an_unknown_prover_value_ranks_last() -> None:
    part = Paired(Marks(MARKS), Marks({"a": 0.1, "b": 0.1, "bf": 0.2}), "prover")
    strategy = PavBeam(2, 2, alpha=0.5, prover=None)
    s = solve(Table(OPTIONS), [problem()], strategy, part).solutions[0]
    assert g(strategy, s, "ac") is None
    assert g(strategy, s, "bf") is not None
    alone = solve(Table(OPTIONS), [problem()], strategy, Marks(MARKS)).solutions[0]
    assert g(strategy, alone, "bf") is None


def test_finished_solutions_are_chosen_by_value_alone() -> None:
    options = {"": ["a", "b"], "a": ["!1"], "b": ["!2"]}
    marks = {"a": 0.8, "b": 0.1, "a!1": 0.7, "b!2": 0.6}
    s = run(PavBeam(2, 1, alpha=5.0), options, marks)
    assert s.answer == "1"
    assert (g(PavBeam(alpha=5.0), s, "b!2") or 0) > (g(PavBeam(alpha=5.0), s, "a!1") or 0)


def test_a_value_that_is_no_rate_is_refused() -> None:
    with pytest.raises(ValueError, match="success rate"):
        run(PavBeam(1, 2), OPTIONS, dict.fromkeys(MARKS, 1.5))


def test_two_scorers_must_both_answer_for_every_trace() -> None:
    mute = Oracle()
    mute.score = lambda traces: []  # type: ignore[method-assign]
    with pytest.raises(BackendError, match="0 judgements"):
        solve(TreePolicy(), problems(1), PavBeam(1, 1, prover=None), Paired(Oracle(), mute, "prover"))
