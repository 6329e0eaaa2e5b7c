"""Specifies the first-error search: it finds planted errors, spends little, says how sure it is, and stops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from preceptor.annotate import FirstErrorSearch, MathShepherd, OmegaBisection, WorldOracle, label
from preceptor.annotate.adaptive.first_error import _Search
from preceptor.bench import first_error_counts
from preceptor.errors import InputError
from preceptor.generation import Sampling
from preceptor.judgement import NO_ERROR, Judgement, Question, Source
from preceptor.policy import ScriptedPolicy, load_policy, sample
from preceptor.store import Store
from preceptor.trace import Finish, Grade, Verdict
from preceptor.worlds import arithmetic
from tests.annotate.scripted import Scripted, trace

POLICY = ScriptedPolicy(error=0.08, repair=0.03)
WEAK = ScriptedPolicy(error=0.25, repair=0.03)
PROBLEMS = arithmetic("test", n=24, operations=(5, 7))


@pytest.fixture(scope="module")
def traces():
    return sample(POLICY, PROBLEMS, samples=6, seed=1)


@pytest.fixture(scope="module")
def hard():
    """Traces of a policy that errs often, so that there is something to ask."""
    return sample(WEAK, PROBLEMS[:10], samples=5, seed=1)


@pytest.fixture(scope="module")
def truth(traces):
    return [j.first_error for j in WorldOracle(Question.VALUE).score(traces)]


def accuracy(judgements, truth) -> float:
    return float(first_error_counts([j.first_error for j in judgements], truth).accuracy or 0.0)


def tokens(judgements) -> int:
    return sum(j.usage.policy.generated + j.usage.policy.reused for j in judgements)


def test_without_any_signal_it_beats_bisection_and_math_shepherd_at_a_fraction_of_their_tokens(traces, truth):
    """The scripted policy gives no log-probabilities: all there is are rollouts."""
    shepherd = MathShepherd(POLICY).score(traces)
    bisection = OmegaBisection(POLICY).score(traces)
    ours = FirstErrorSearch(POLICY, confidence=0.8).score(traces)
    assert accuracy(ours, truth) >= max(accuracy(shepherd, truth), accuracy(bisection, truth))
    assert tokens(ours) < tokens(shepherd) / 8
    assert tokens(ours) < tokens(bisection) / 1.5


def test_soft_labels_are_calibrated_and_the_evidence_is_stated(traces, truth):
    ours = FirstErrorSearch(POLICY, confidence=0.8).score(traces)
    said = np.concatenate([j.scores for j in ours])
    known = np.concatenate(
        [[e == NO_ERROR or t < e for t in range(len(j.scores))] for j, e in zip(ours, truth, strict=True)]
    )
    bins = np.minimum((said * 10).astype(int), 9)
    gaps = [abs(said[bins == b].mean() - known[bins == b].mean()) * (bins == b).mean() for b in set(bins)]
    assert sum(gaps) < 0.05
    for judgement in ours:
        scores = np.array(judgement.scores)
        assert (np.diff(scores) <= 1e-9).all(), "the probability of no error so far never rises"
        for step, score in zip(judgement.rationale, scores, strict=True):
            low, high = step[step.index("[") + 1 : step.index("]")].split(", ")
            assert float(low) - 0.01 <= score <= float(high) + 0.01
    bought = [j for j in ours if any(j.counts)]
    assert bought
    assert all(not any(j.counts) for j in ours if "sure-without-asking" in j.flags)
    assert {f for j in ours for f in j.flags} <= {"sure-without-asking", "not-worth-asking"}


def test_the_policys_confidence_points_at_the_error_before_any_rollout():
    policy = load_policy("world:arithmetic")
    traces = sample(policy, arithmetic("test", n=60), samples=8, seed=3)
    truth = [j.first_error for j in WorldOracle(Question.VALUE).score(traces)]
    free = FirstErrorSearch(policy, budget=0).score(traces)
    blind = FirstErrorSearch(policy, budget=0, signals=()).score(traces)
    assert tokens(free) == 0
    assert accuracy(free, truth) > accuracy(blind, truth) + 0.03
    assert accuracy(free, truth) > accuracy(OmegaBisection(policy, rollouts=2).score(traces), truth)


def test_one_lucky_hit_does_not_make_a_prefix_sound():
    """A policy that repairs one error in five: any hit means sound for Math-Shepherd, not here."""
    policy = ScriptedPolicy(error=0.05, repair=0.2)
    traces = sample(policy, PROBLEMS, samples=6, seed=2)
    truth = [j.first_error for j in WorldOracle(Question.VALUE).score(traces)]
    ours, shepherd = (
        FirstErrorSearch(policy, confidence=0.8).score(traces),
        MathShepherd(policy).score(traces),
    )
    assert accuracy(ours, truth) > accuracy(shepherd, truth) + 0.05


def test_the_budget_holds_and_what_is_left_unsure_says_so(hard):
    ours = FirstErrorSearch(WEAK, budget=10.0, batch=16, confidence=0.99).score(hard)
    longest = max(len(t.text) for t in hard)
    assert 0 < tokens(ours) <= 10 * len(hard) + 16 * longest
    assert any("budget-spent" in j.flags for j in ours)
    assert all(j.scores is not None for j in ours)
    # A stricter confidence asks for more, a laxer one for less.
    lax, strict = (tokens(FirstErrorSearch(WEAK, confidence=c).score(hard)) for c in (0.6, 0.9))
    assert lax < strict


def test_rollouts_are_shared_with_other_methods_and_never_drawn_twice(hard, tmp_path):
    some = hard
    with Store(tmp_path / "s.db") as store:
        label(MathShepherd(WEAK, store=store), some, store)
        held = store.stats()["rollouts"]
        first = label(FirstErrorSearch(WEAK, confidence=0.8, store=store), some, store)
        assert first.usage.policy.reused > 0
        new = store.stats()["rollouts"] - held
        assert new == first.usage.policy.calls
        again = FirstErrorSearch(WEAK, confidence=0.8, store=store).score(some)
        assert sum(j.usage.policy.generated for j in again) == 0
        assert [j.scores for j in again] == [j.scores for j in first.judgements]


def test_the_same_seed_gives_the_same_labels_and_another_store_unit_does_not_matter(hard):
    a = label(FirstErrorSearch(WEAK, confidence=0.85), hard, unit=7).judgements
    b = label(FirstErrorSearch(WEAK, confidence=0.85), hard, unit=64).judgements
    assert a == b
    assert a != label(FirstErrorSearch(WEAK, confidence=0.85, seed=5), hard).judgements


def test_a_duplicate_draw_is_no_evidence_and_prefixes_that_only_repeat_are_left_alone():
    """Rollouts that always write the same wrong text: the search gives up instead of asking for ever."""
    stubborn = Scripted(lambda t: "7")
    given = [trace(5, draw=k) for k in range(3)]
    ours = FirstErrorSearch(stubborn, confidence=0.99).score(given)
    assert len(stubborn.asked) < 60
    assert all(j.scores is not None for j in ours)


def test_undecided_rollouts_are_counted_and_say_nothing():
    cut = Scripted(lambda t: "cut")
    given = [trace(4)]
    ours = FirstErrorSearch(cut, least=0.0001).score(given)[0]
    free = FirstErrorSearch(cut, budget=0).score(given)[0]
    assert ours.undecided == len(cut.asked) > 0
    assert ours.first_error == free.first_error
    assert all(c is None or c == (0, 0) for c in ours.counts)


def test_failed_rollouts_do_not_stop_the_others():
    flaky = Scripted(lambda t: None if t == 2 else 0.0)
    ours = FirstErrorSearch(flaky).score([trace(5), trace(5, "42", draw=1)])
    assert all(j.scores is not None for j in ours)


def test_a_trace_that_cannot_be_graded_and_was_not_asked_about_has_no_label():
    ungraded = replace(trace(3), grade=Grade(Verdict.UNDECIDED, "no verdict"), finish=Finish.STOP)
    found = FirstErrorSearch(Scripted(lambda t: 0.5), budget=0).score([ungraded, trace(3, draw=1)])
    assert found[0].scores is None
    assert found[0].error.kind == "undecided"
    assert found[1].scores is not None
    bare = replace(trace(3), problem=replace(trace(3).problem, gold=None))
    assert FirstErrorSearch(Scripted(lambda t: 0.5)).score([bare])[0].error.kind == "no-gold"


class Planted:
    """A signal that knows the world's truth."""

    question, source = Question.VALIDITY, Source.of("planted")

    def score(self, traces):
        truths = WorldOracle(Question.VALUE).score(traces)
        return [
            Judgement(t.id, self.question, self.source, j.scores) for t, j in zip(traces, truths, strict=True)
        ]


def test_any_scorer_can_be_a_signal_and_a_perfect_one_leaves_nothing_to_ask(hard):
    truth = [j.first_error for j in WorldOracle(Question.VALUE).score(hard)]
    ours = FirstErrorSearch(WEAK, confidence=0.9, signals=(Planted(),)).score(hard)
    assert accuracy(ours, truth) > 0.97
    assert tokens(ours) < max(tokens(FirstErrorSearch(WEAK, confidence=0.9).score(hard)), 1)
    assert ours[0].source != FirstErrorSearch(WEAK).source


def test_settings_that_make_no_sense_are_refused():
    for wrong in ({"confidence": 0.4}, {"confidence": 1.0}, {"batch": 0}, {"budget": -1.0}, {"least": -0.1}):
        with pytest.raises(InputError, match="first-error-search"):
            FirstErrorSearch(POLICY, **wrong)
    with pytest.raises(InputError, match="must reach its answer"):
        FirstErrorSearch(POLICY, sampling=Sampling(stop=("\n",)))


def test_a_belief_sums_to_one_and_names_its_best(traces):
    search = _Search(FirstErrorSearch(POLICY, budget=0), traces[:12])
    for n in range(12):
        belief = search.belief(n)
        assert sum(belief.first_error) == pytest.approx(1.0)
        assert belief.confidence == max(belief.first_error)
        assert belief.best == NO_ERROR or belief.first_error[belief.best] == belief.confidence
