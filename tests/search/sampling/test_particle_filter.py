"""Specifies particle filtering: marginals under a constant scorer, odds as weights, copies that are no solution."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from scipy.stats import chisquare

from preceptor.generation import Sampling
from preceptor.search import BestOfN, Solution, Status, solve
from preceptor.search.sampling import ParticleFilter
from preceptor.usage import Budget
from tests.search.beams.tables import Marks, Table, path, paths, run
from tests.search.toy import DEPTH, LEAVES, Oracle, TreePolicy, p_left, problem, problems, walked

OPTIONS = {"": "ab", "a": ["!1"], "b": ["!2"]}
MARKS = {"a": 0.9, "b": 0.1, "a!1": 0.3, "b!2": 0.6}


def leaf_probability(leaf: str) -> float:
    p, one = problem("toy3"), 1.0
    for t in range(DEPTH):
        left = p_left(p, leaf[:t])
        one *= left if leaf[t] == "a" else 1 - left
    return one


def copies(solution: Solution) -> int:
    """Requests at the second level that went on from "a"."""
    return sum(
        n.parent is not None and solution.tree[n.parent].text == "step a\n" for n in solution.tree.nodes
    )


def test_one_particle_is_one_sample() -> None:
    ps = problems(30)
    for settings in ({}, {"ess": 0.5}, {"resample": "systematic"}, {"vote": "sample"}):
        filtered = solve(TreePolicy(), ps, ParticleFilter(1, **settings), Oracle())
        sampled = solve(TreePolicy(), ps, BestOfN(1), Oracle())
        assert [s.chosen and s.chosen.text for s in filtered.solutions] == [
            s.chosen and s.chosen.text for s in sampled.solutions
        ]
        assert filtered.ledger.policy.generated == sampled.ledger.policy.generated


@pytest.mark.parametrize("settings", [{}, {"resample": "systematic"}, {"absorb": False}], ids=str)
def test_a_constant_scorer_leaves_the_marginals_of_the_policy(settings) -> None:  # type: ignore[no-untyped-def]
    trees = [problem(f"toy3/{i}") for i in range(500)]
    strategy = ParticleFilter(3, vote="sample", **settings)
    result = solve(TreePolicy(), trees, strategy, Oracle(constant=0.7))
    seen = Counter(walked(s.chosen.text) for s in result.solutions if s.chosen)
    expected = [500 * leaf_probability(leaf) for leaf in LEAVES]
    assert chisquare([seen[leaf] for leaf in LEAVES], expected).pvalue > 0.01
    shared = sum(any(len(s.tree.children(n)) > 1 for n in s.tree.nodes[1:]) for s in result.solutions)
    assert shared == 0 if "resample" in settings else shared > 300, "the particles are not independent"


def test_prefixes_are_redrawn_by_the_odds_of_their_scores() -> None:
    ps = problems(400)
    marks = MARKS | {"a": 0.6, "b": 0.3}
    taken = [copies(s) for s in solve(Table(OPTIONS), ps, ParticleFilter(2), Marks(marks)).solutions]
    share = (0.6 / 0.4) / (0.6 / 0.4 + 0.3 / 0.7)
    expected = [400 * (1 - share) ** 2, 800 * share * (1 - share), 400 * share**2]
    assert chisquare([taken.count(k) for k in range(3)], expected).pvalue > 0.01
    weights = [n.data["weight"] for n in run(ParticleFilter(2), OPTIONS, marks).tree.nodes[1:3]]
    assert weights == pytest.approx([share, 1 - share])


def test_temperature_flattens_weights_and_anneals_on_a_line() -> None:
    hot = ParticleFilter(2, 1000.0)
    ps = problems(200)
    assert 180 < sum(copies(s) for s in solve(Table(OPTIONS), ps, hot, Marks(MARKS)).solutions) < 220
    cold = ParticleFilter(2, 0.05)
    assert all(copies(s) == 2 for s in solve(Table(OPTIONS), ps, cold, Marks(MARKS)).solutions)
    annealed = ParticleFilter(2, 2.0, anneal=(0.5, 3))
    assert [annealed.heat(t) for t in range(5)] == pytest.approx([2.0, 1.5, 1.0, 0.5, 0.5])


def test_finished_particles_are_redrawn_with_the_weight_they_ended_with() -> None:
    options = {"": ("!1", "a"), "a": "b", "ab": "c", "abc": ["!2"]}
    marks = {"!1": 0.999999, "a": 0.1, "ab": 0.1, "abc": 0.1, "abc!2": 0.1}
    s = run(ParticleFilter(2), options, marks)
    assert paths(s) == {"!1": "done", "a": "pruned"}
    assert (s.finished, s.asked) == (1, 2), "two particles stand on it; it is one solution"
    assert s.answer == "1"
    alone = run(ParticleFilter(2, absorb=False), options, marks)
    assert [c.answer for c in alone.candidates] == ["1", "2"]
    low = run(ParticleFilter(2), options, {k: 1 - v for k, v in marks.items()})
    assert [c.answer for c in low.candidates] == ["2", "2"]
    assert low.tree[1].status is Status.DONE
    assert low.tree[1].data["why"] == "not drawn again"


def test_copies_cost_nothing_and_are_requests_of_one_node() -> None:
    policy = TreePolicy()
    s = solve(policy, problems(1), ParticleFilter(12), Oracle()).solutions[0]
    assert len({n.text for n in s.tree.nodes if n.parent == 0 and n.status is Status.LIVE}) <= 2
    assert s.ledger.policy.calls == sum(map(len, policy.sent)) == len(s.tree) - 1
    assert s.finished == len({c.node for c in s.candidates})


def test_with_even_weights_an_ess_rule_never_redraws() -> None:
    ps = problems(10)
    filtered = solve(TreePolicy(), ps, ParticleFilter(6, ess=0.5), Oracle(constant=0.4))
    sampled = solve(TreePolicy(), ps, BestOfN(6), Oracle(constant=0.4))
    assert [[c.trace.text for c in s.candidates] for s in filtered.solutions] == [
        [c.trace.text for c in s.candidates] for s in sampled.solutions
    ]
    assert all(s.tree.root.data["ess"] == pytest.approx([6.0] * 3) for s in filtered.solutions)


def test_weights_that_were_not_used_multiply() -> None:
    options = {"": "ab", "a": "c", "b": "d", "ac": ["!1"], "bd": ["!2"]}
    marks = {"a": 0.6, "b": 0.4, "ac": 0.6, "bd": 0.4, "ac!1": 0.5, "bd!2": 0.5}
    s = run(ParticleFilter(2, ess=0.0), options, marks)
    # the second weighing has both: 1.5 * 1.5 against its inverse
    assert [n.data["weight"] for n in s.tree.nodes[3:5]] == pytest.approx(
        [2.25**2 / (1 + 2.25**2), 1 / (1 + 2.25**2)]
    )
    assert s.tree.root.data["ess"][1] < s.tree.root.data["ess"][0] < 2
    used = run(ParticleFilter(2, ess=1.0), options, marks)
    assert len(used.tree.root.data["ess"]) == 2
    assert max(n.data["weight"] for n in used.tree.nodes[3:5]) <= 1.5 / (1.5 + 1 / 1.5) + 1e-9


def test_the_heaviest_particle_wins_or_one_drawn_by_weight() -> None:
    ps = problems(300)
    options = {"": ("!1", "!2")}
    marks = {"!1": 0.6, "!2": 0.3}
    best = solve(Table(options), ps, ParticleFilter(2), Marks(marks))
    assert {s.answer for s in best.solutions} == {"1"}
    drawn = solve(Table(options), ps, ParticleFilter(2, vote="sample"), Marks(marks))
    share = 1.5 / (1.5 + 3 / 7)
    assert sum(s.answer == "1" for s in drawn.solutions) / 300 == pytest.approx(share, abs=0.06)
    votes = run(ParticleFilter(5, vote="majority"), {"": ("!1", "!2")}, marks)
    assert votes.answer == "1"


def test_a_particle_that_is_cut_has_no_weight_and_an_unscored_one_waits_for_better() -> None:
    limit = Sampling(max_tokens=9)
    options = {"": ("a", "far too long"), "a": ["!1"]}
    s = run(ParticleFilter(4, sampling=limit), options, {"a": 0.01, "a!1": 0.5})
    assert copies(s) == 4
    unscored = run(ParticleFilter(2), OPTIONS, {"b": 0.01, "b!2": 0.5})
    assert paths(unscored)["a"] == "pruned"
    nobody = run(ParticleFilter(4), OPTIONS, {})
    assert nobody.answer is not None
    deep = run(ParticleFilter(2, max_steps=1), OPTIONS, MARKS)
    assert (deep.answer, set(paths(deep).values())) == (None, {"cut"})


def test_budgets_that_end_early_lose_no_particle_that_has_finished() -> None:
    options = {"": ("!1", "a"), "a": ["!2"]}
    s = run(ParticleFilter(2), options, {"!1": 0.4, "a": 0.5, "a!2": 0.9}, Budget(calls=2))
    assert (s.answer, s.stop) in (("1", "budget:calls"), (None, "budget:calls"), ("1", "done"))
    assert path(s.tree.path(s.tree[1]).text) == "!1"
    assert s.answer == "1"


def test_scores_that_are_no_probabilities_are_refused() -> None:
    with pytest.raises(ValueError, match="expected a probability"):
        run(ParticleFilter(2), OPTIONS, {"a": 3.0, "b": 1.0})


def test_settings_do_not_change_what_was_sampled_first() -> None:
    base = ParticleFilter(4)
    ps = problems(3)
    firsts = [
        [n.text for s in solve(TreePolicy(), ps, st, Oracle()).solutions for n in s.tree.nodes[1:5]]
        for st in (base, replace(base, temperature=0.3), replace(base, resample="systematic"))
    ]
    assert firsts[0] == firsts[1] == firsts[2]
