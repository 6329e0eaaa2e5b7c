"""Specifies particle Gibbs: what the reference weighs, that it is kept, and that one sweep is particle filtering."""

from __future__ import annotations

from collections import Counter

import pytest
from scipy.stats import chisquare

from preceptor.search import Status, solve
from preceptor.search.sampling import ParticleFilter, ParticleGibbs
from tests.search.beams.tables import Marks, Table, paths
from tests.search.sampling.test_particle_filter import leaf_probability
from tests.search.toy import LEAVES, Oracle, TreePolicy, problem, problems, walked


def test_one_sweep_is_particle_filtering() -> None:
    ps = problems(10)
    gibbs = solve(TreePolicy(), ps, ParticleGibbs(6, sweeps=1), Oracle())
    plain = solve(TreePolicy(), ps, ParticleFilter(6), Oracle())
    assert [s.tree.to_record() for s in gibbs.solutions] == [s.tree.to_record() for s in plain.solutions]
    assert [s.answer for s in gibbs.solutions] == [s.answer for s in plain.solutions]


def test_the_reference_weighs_what_its_prefix_weighs_and_not_its_end() -> None:
    options = {"": "abc", "a": ["!1"], "b": ["!2"], "c": ["!3"]}
    marks = {"a": 0.01, "b": 0.01, "c": 0.5, "a!1": 0.999, "b!2": 0.999, "c!3": 0.5}
    result = solve(Table(options), problems(100), ParticleGibbs(4, sweeps=2), Marks(marks))
    went_on = sum(paths(s).get("c!3") == "done" for s in result.solutions)
    # free particle: odds 1 against 1/99 of the reference's prefix; its end has odds 999
    assert went_on >= 95
    assert all(s.answer in ("1", "2") for s in result.solutions), "and the reference is still there to win"


def test_a_reference_that_is_drawn_is_gone_on_with_from_that_step() -> None:
    options = {"": "abc", "a": ("!1", "!4"), "b": ("!1", "!4"), "c": ["!3"]}
    marks = {"a": 0.99, "b": 0.99, "c": 0.01, "c!3": 0.5}
    marks |= dict.fromkeys(("a!1", "a!4", "b!1", "b!4"), 0.6)
    for s in solve(Table(options), problems(20), ParticleGibbs(4, sweeps=2), Marks(marks)).solutions:
        assert paths(s)["c"] == "pruned"
        fed = [n for n in s.tree.nodes if n.parent and s.tree[n.parent].text in ("step a\n", "step b\n")]
        assert len(fed) == 3, (
            "two of the first sweep and the free one of the second, from the reference's prefix"
        )


def test_each_sweep_has_its_particles_and_the_reference_costs_nothing() -> None:
    s = solve(TreePolicy(), problems(1), ParticleGibbs(12, sweeps=3), Oracle()).solutions[0]
    assert sum(n.parent == 0 for n in s.tree.nodes[1:]) == 4 + 3 + 3
    assert s.asked == 4
    assert s.ledger.policy.calls == len(s.tree) - 1
    assert s.finished <= 4


def test_solutions_of_earlier_sweeps_are_not_chosen_from_but_stay() -> None:
    options = {"": ("!1", "!2", "!3", "!4")}
    marks = {"!1": 0.9, "!2": 0.9, "!3": 0.1, "!4": 0.1}
    for s in solve(Table(options), problems(10), ParticleGibbs(4, sweeps=2), Marks(marks)).solutions:
        assert [n.status for n in s.tree.nodes[1:]] == [Status.DONE] * 3
        answers = {c.answer for c in s.candidates}
        assert "3" in answers
        assert len(answers) == 2
        assert s.answer in ("1", "2")


def test_a_constant_scorer_leaves_the_marginals_of_the_policy() -> None:
    trees = [problem(f"toy3/{i}") for i in range(500)]
    result = solve(TreePolicy(), trees, ParticleGibbs(6, sweeps=2, vote="sample"), Oracle(constant=0.3))
    seen = Counter(walked(s.chosen.text) for s in result.solutions if s.chosen)
    expected = [500 * leaf_probability(leaf) for leaf in LEAVES]
    assert chisquare([seen[leaf] for leaf in LEAVES], expected).pvalue > 0.01


def test_unusable_settings_are_refused() -> None:
    for bad in (
        lambda: ParticleGibbs(7, sweeps=2),
        lambda: ParticleGibbs(2, sweeps=2),
        lambda: ParticleGibbs(8, ess=0.5),
        lambda: ParticleGibbs(8, absorb=False),
        lambda: ParticleGibbs(8, sweeps=0),
    ):
        with pytest.raises(ValueError, match="expected"):
            bad()
