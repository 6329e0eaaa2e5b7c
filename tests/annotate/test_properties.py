"""What every labelling method promises: estimates converge, searches find, draws are never repeated, seeds decide.

Run: python -m pytest tests/annotate/test_properties.py
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preceptor.annotate import (
    ANNOTATORS,
    Bisection,
    MathShepherd,
    OmegaBisection,
    OmegaPRM,
    StopAtZero,
    annotator,
    label,
)
from preceptor.annotate.rollout.montecarlo import MonteCarlo, Prefix
from preceptor.judgement import NO_ERROR, Question
from preceptor.policy import ScriptedPolicy, sample
from preceptor.policy.scripted_game24 import ScriptedGame24
from preceptor.store import Store
from preceptor.worlds import arithmetic, game24
from tests.annotate.rollout.exact import attempts
from tests.annotate.scripted import GOLD, Scripted, trace

WRITER = ScriptedPolicy(error=0.25, repair=0.2)
PLAYER = ScriptedGame24(wise=0.7)
QUICK = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@cache
def prefixes(world: str):
    """Prefixes of sampled attempts whose value is neither 0 nor 1."""
    policy = WRITER if world == "arithmetic" else PLAYER
    problems = arithmetic("test", 5, operations=(3, 6)) if world == "arithmetic" else game24("test", 5)
    found = {}
    for t in sample(policy, problems, samples=3, seed=1):
        for k in range(len(t.steps)):
            value = policy.value(t.problem, t.prefix(k))
            if 0 < value < 1:
                found[t.problem.id, t.prefix(k)] = (Prefix.of(t, k), value)
    return policy, list(found.values())[:10]


def estimates(world: str, rollouts: int, seed: int = 0):
    """(estimate, exact value) at every prefix."""
    policy, places = prefixes(world)
    found = MonteCarlo(policy, rollouts, seed=seed).draw([p for p, _ in places])
    return [(sum(r.right is True for r in rs) / len(rs), v) for rs, (_, v) in zip(found, places, strict=True)]


@pytest.mark.parametrize("world", ["arithmetic", "game24"])
def test_monte_carlo_is_within_four_standard_errors_of_the_exact_value(world):
    pairs = estimates(world, 400)
    assert len(pairs) >= 8
    far = [abs(got - v) / (v * (1 - v) / 400) ** 0.5 for got, v in pairs]
    assert max(far) < 4
    assert max(far) > 0.2, "an estimate that is never off is no estimate"


@pytest.mark.parametrize("world", ["arithmetic", "game24"])
def test_the_error_of_monte_carlo_shrinks_like_one_over_the_root_of_k(world):
    scaled = {}
    for k in (4, 16, 64, 256):
        squares = [(got - v) ** 2 / (v * (1 - v)) for s in range(2) for got, v in estimates(world, k, seed=s)]
        scaled[k] = k * sum(squares) / len(squares)
    assert all(0.4 < ratio < 2.2 for ratio in scaled.values()), scaled


@pytest.mark.parametrize("steps", range(1, 41))
def test_bisection_finds_every_planted_error_with_at_most_log_t_probes(steps):
    most = (steps - 1).bit_length()
    for error in range(steps):
        search, probes = Bisection(steps), []
        while (t := search.probe) is not None:
            probes.append(t)
            search.observe(t, 1.0 if t <= error else 0.0)
        assert search.first_zero == error + 1
        assert len(probes) == len(set(probes)) <= most
        assert all(1 <= t < steps for t in probes), "the last step is graded, never probed"


@QUICK
@given(st.integers(2, 40).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 1))))
def test_the_annotator_asks_k_times_log_t_rollouts_and_names_the_planted_step(case):
    steps, error = case
    policy = Scripted(lambda t: 1.0 if t <= error else 0.0)
    (judged,) = OmegaBisection(policy, rollouts=3).score([trace(steps)])
    assert judged.first_error == error
    assert judged.scores[error] == 0.0
    assert all(s == 1.0 for s in judged.scores[:error])
    asked = {request.prefix for request in policy.asked}
    assert len(asked) <= (steps - 1).bit_length()
    assert len(policy.asked) == 3 * len(asked) == judged.usage.policy.calls


@QUICK
@given(st.integers(2, 12), st.integers(0, 12))
def test_every_search_agrees_with_the_walk_where_value_only_falls(steps, error):
    right = error >= steps
    traces = [trace(steps, GOLD if right else "41")]
    wanted = NO_ERROR if right else error
    for method in (MathShepherd, StopAtZero, OmegaBisection):
        policy = Scripted(lambda t: 1.0 if t <= error else 0.0)
        (judged,) = method(policy, rollouts=2).score(traces)
        assert judged.first_error == wanted, method.name


@QUICK
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 3))
def test_adding_draws_never_repeats_one(first, more, seed):
    policy = Scripted(lambda t: 0.5)
    place = [Prefix.of(trace(3), 1)]
    with TemporaryDirectory() as folder, Store(Path(folder) / "a.db") as store:
        few = MonteCarlo(policy, first, seed=seed, store=store).draw(place)[0]
        many = MonteCarlo(policy, first + more, seed=seed, store=store).draw(place)[0]
    assert len(policy.asked) == first + more, "the second call asks for the new ones only"
    assert [len(batch) for batch in policy.batches] == [first, more]
    assert [r.draw for r in policy.asked] == list(range(first + more))
    assert len({r.stream for r in policy.asked}) == first + more
    assert len({r.key(policy.fingerprint) for r in policy.asked}) == first + more
    assert [r.continuation.text for r in many[:first]] == [r.continuation.text for r in few]


ATTEMPTS = attempts(WRITER, problems=4, samples=3)


def omega(policy, store=None):
    return OmegaPRM(policy, rollouts=2, searches=4, filter=4, store=store)


def shepherd(policy, store=None):
    return MathShepherd(policy, rollouts=3, target="soft", store=store)


def walk(policy, store=None):
    return StopAtZero(policy, rollouts=2, store=store)


@cache
def expected(make):
    """The labels of a run in one piece, without a store."""
    return {t.id: said(j) for t, j in label(make(WRITER), ATTEMPTS)}


def said(judged):
    return (judged.scores, judged.counts, judged.first_error, judged.undecided, judged.flags)


@pytest.mark.parametrize("make", [shepherd, walk, omega], ids=lambda make: make.__name__)
@QUICK
@given(order=st.permutations(range(len(ATTEMPTS))), unit=st.integers(1, len(ATTEMPTS)), stored=st.booleans())
def test_one_seed_gives_the_same_labels_in_any_order_and_unit_with_and_without_a_store(
    make, order, unit, stored
):
    traces = [ATTEMPTS[k] for k in order]
    if make is omega:  # a tree per problem: what is judged together must be a problem's traces
        traces.sort(key=lambda t: t.problem.id)
    with TemporaryDirectory() as folder, Store(Path(folder) / "a.db") as store:
        scorer = make(WRITER, store if stored else None)
        labels = label(scorer, traces, store if stored else None, unit=unit)
    assert {t.id: said(j) for t, j in labels} == expected(make)


def test_another_seed_gives_other_draws():
    one, two = (
        [j.scores for j in MathShepherd(WRITER, 3, target="soft", seed=s).score(ATTEMPTS)] for s in (0, 1)
    )
    assert one != two


@pytest.mark.parametrize("name", ANNOTATORS)
def test_every_method_says_what_it_is_called_what_it_answers_and_what_it_costs(name):
    cls = annotator(name)
    assert cls.name == name
    assert isinstance(cls.cost, str)
    assert cls.cost
    assert isinstance(cls.question, Question | property), "a property where the parts decide"
    assert cls.__doc__
    assert callable(cls.score)
