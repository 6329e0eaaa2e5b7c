"""SCAN: confident problems only, wrong traces only, to the first zero, soft just before it."""

from __future__ import annotations

import pytest

from preceptor.annotate.rollout.scan import Scan
from preceptor.errors import InputError
from preceptor.generation import Sampling
from preceptor.judgement import NO_ERROR, Question, Scorer
from preceptor.policy import ScriptedPolicy, sample
from preceptor.store import Store
from preceptor.trace import Grade, Trace, Verdict, steps_from_ends
from preceptor.worlds import arithmetic
from tests.annotate.rollout.exact import NO_GOLD, Exact, attempts, exact_values, rates
from tests.annotate.scripted import GOLD, Scripted, problem, trace


def kinds(judged):
    return [j.error and j.error.kind for j in judged]


def test_it_is_a_scorer_of_value_with_the_published_settings():
    scorer = Scan(Scripted(lambda t: 1.0))
    assert isinstance(scorer, Scorer)
    assert (scorer.question, scorer.source.name) == (Question.VALUE, "scan")
    assert (scorer.samples, scorer.threshold, scorer.rollouts, scorer.distance) == (128, 0.75, 8, 2)
    assert scorer.sampling == Sampling(1.0, max_tokens=2048)


def test_the_released_example_sc_075_and_05_before_the_error_is_two_thirds():
    policy = Exact(rates(0.75, 1.0, 0.5, 0.0))
    (judged,) = Scan(policy, samples=20, rollouts=20).score([trace(5)])
    assert judged.scores == (1.0, pytest.approx(2 / 3), 0.0, None, None)
    assert (judged.first_error, judged.counts[:3]) == (2, ((20, 20), (10, 20), (0, 20)))
    far = Scan(Exact(rates(0.75, 0.25, 0.5, 0.5, 0.0)), samples=20, rollouts=20).score([trace(6)])[0]
    assert far.scores[:4] == (1.0, pytest.approx(2 / 3), pytest.approx(2 / 3), 0.0), (
        "0.25 is three steps away"
    )


def test_distance_0_gives_hard_labels():
    hard = Scan(Exact(rates(1.0, 0.25, 0.5, 0.0)), samples=20, rollouts=20, distance=0).score([trace(5)])[0]
    assert hard.scores == (1.0, 1.0, 0.0, None, None)


@pytest.mark.parametrize("error", range(5))
def test_a_wrong_trace_costs_k_times_e_plus_1_not_k_times_t(error: int):
    policy = Scripted(lambda t: 1.0 if t <= error else 0.0)
    (judged,) = Scan(policy, samples=16, rollouts=8).score([trace(6)])
    assert judged.first_error == error
    assert judged.usage.policy.calls == len(policy.asked) == 16 + 8 * (error + 1)


def test_right_traces_are_all_ones_for_the_problems_samples_alone():
    policy = Scripted(lambda t: 1.0 if t == 0 else 0.0)
    (judged,) = Scan(policy, samples=16).score([trace(6, GOLD)])
    assert (judged.scores, judged.first_error, judged.flags) == ((1.0,) * 6, NO_ERROR, ("assumed-correct",))
    assert {r.prefix for r in policy.asked} == {""}
    assert len(policy.asked) == 16


def test_a_wrong_trace_of_one_step_is_wrong_there_without_rollouts():
    policy = Scripted(lambda t: 1.0)
    (judged,) = Scan(policy, samples=16).score([trace(1)])
    assert (judged.scores, judged.first_error, len(policy.asked)) == ((0.0,), 0, 16)


def test_the_samples_are_shared_by_all_traces_of_a_problem_and_the_first_carries_them():
    policy = Exact(rates(0.8, 1.0, 0.0))
    traces = [trace(4, draw=d) for d in range(3)] + [trace(4, name="other")]
    judged = Scan(policy, samples=20, rollouts=4).score(traces)
    assert len(policy.asked) == 2 * 20 + 4 * 2 * 4
    assert [j.usage.policy.calls for j in judged] == [28, 8, 8, 28]
    assert judged[1].usage.policy.reused == 5 * 20
    assert policy.rounds[0] == [0], "first the bare problems; both have the empty prefix"
    assert [set(r) for r in policy.rounds[1:]] == [{1}, {2}], "then one batch a step, all traces together"


def test_problems_below_the_threshold_are_discarded_before_any_step_is_rolled_out():
    policy = Exact(rates(0.7, 1.0, 0.0))
    judged = Scan(policy, samples=20).score([trace(4), trace(4, GOLD)])
    assert kinds(judged) == ["low-self-confidence"] * 2
    assert all(j.scores is None and j.flags == ("discarded",) for j in judged)
    assert (len(policy.asked), judged[0].usage.policy.calls) == (20, 20)
    kept = Scan(Exact(rates(0.75, 1.0, 0.0)), samples=20).score([trace(4)])
    assert kinds(kept) == [None], "the threshold itself is kept"


def test_a_wrong_trace_of_which_every_prefix_survives_is_discarded_not_blamed_on_its_last_step():
    policy = Scripted(lambda t: 1.0)
    (judged,) = Scan(policy, samples=16, rollouts=4).score([trace(5)])
    assert (judged.error.kind, judged.scores, judged.flags) == ("no-zero", None, ("discarded",))
    assert judged.usage.policy.calls == 16 + 4 * 4, "the last step is not rolled out"


def test_a_trace_without_an_answer_is_discarded():
    text = "first\nsecond\nthird\n"
    silent = Trace(problem(), text, steps_from_ends([6, 13, 19]))
    (judged,) = Scan(Scripted(lambda t: 1.0), samples=4).score([silent])
    assert (judged.error.kind, judged.flags) == ("no-answer", ("discarded",))
    stated = trace(2, grade=Grade(Verdict.INCORRECT, "a person said so"))
    (kept,) = Scan(Exact(rates(1.0, 0.0)), samples=4).score([stated])
    assert kept.first_error == 0, "an answer stands in the text even where the grade does not repeat it"


def test_undecided_is_neither_low_confidence_nor_a_zero():
    (no_root,) = Scan(Scripted(rates("cut", 1.0)), samples=4).score([trace(4)])
    assert (no_root.error.kind, no_root.flags) == ("undecided", ())
    (no_step,) = Scan(Scripted(rates(1.0, 1.0, "cut", 0.0)), samples=4).score([trace(5)])
    assert (no_step.scores, no_step.error.kind) == (None, "undecided")
    ungraded = trace(3, grade=Grade(Verdict.UNDECIDED, "timeout"))
    assert kinds(Scan(Scripted(rates(1.0, 0.0)), samples=4).score([ungraded])) == ["undecided"]


def test_undecided_samples_leave_the_self_confidence():
    class Flaky(Exact):
        def _one(self, request):
            if request.draw % 2 and not request.prefix:
                return Scripted(lambda t: "cut")._one(request)
            return super()._one(request)

    (judged,) = Scan(Flaky(rates(1.0, 0.5, 0.0)), samples=20, rollouts=20).score([trace(4)])
    assert judged.scores == (0.5, 0.0, None, None), "SC is 10 of 10, not 10 of 20"
    assert (judged.undecided, judged.flags) == (10, ("truncated-rollouts",))


def test_failing_rollouts_are_typed_and_cost_is_kept():
    judged = Scan(Scripted(rates(None, 1.0)), samples=4).score([trace(4)])
    assert (kinds(judged), judged[0].usage.policy.calls) == (["rollouts-failed"], 4)
    judged = Scan(Scripted(rates(1.0, 1.0, None)), samples=4, rollouts=3).score([trace(4)])
    assert (kinds(judged), judged[0].usage.policy.calls) == (["rollouts-failed"], 10)


def test_without_gold_nothing_is_asked():
    policy = Scripted(lambda t: 1.0)
    judged = Scan(policy).score([Trace(NO_GOLD, "a\nb\n", steps_from_ends([2, 4]))])
    assert (kinds(judged), policy.asked) == (["no-gold"], [])


def test_samples_drawn_before_are_not_drawn_again(tmp_path):
    with Store(tmp_path / "a.store") as store:
        policy = ScriptedPolicy(error=0.05)
        scorer = Scan(policy, samples=8, store=store)
        traces = sample(policy, arithmetic("test", 3), 8, sampling=scorer.sampling, store=store)
        judged = scorer.score([t for t in traces if t.grade.correct])
        assert sum(j.usage.policy.generated for j in judged) == 0 < judged[0].usage.policy.reused


def test_on_the_arithmetic_world_targets_are_the_exact_ratios_and_errors_the_oracles():
    policy = ScriptedPolicy(error=0.03)
    traces = attempts(ScriptedPolicy(error=0.3), problems=6, samples=3)
    judged = Scan(policy, samples=200, rollouts=200).score(traces)
    walked = [(t, j) for t, j in zip(traces, judged) if j.scores is not None and j.first_error != NO_ERROR]
    assert len(walked) >= 6
    for t, j in walked:
        values = exact_values(policy, t)
        e = values[1:].index(0.0)
        assert j.first_error == e
        for at in range(max(0, e - 2), e):
            assert j.scores[at] == pytest.approx(min(values[at + 1] / values[0], 1.0), abs=0.1)
    assert "low-self-confidence" not in kinds(judged), "the exact rates are above 0.83"


@pytest.mark.parametrize(
    "settings", [{"samples": 0}, {"threshold": 0.0}, {"threshold": 1.5}, {"distance": -1}]
)
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(InputError, match="scan: got"):
        Scan(Scripted(lambda t: 1.0), **settings)


def test_the_source_tells_settings_apart():
    policy = Scripted(lambda t: 1.0)
    settings = [{}, {"samples": 8}, {"threshold": 0.5}, {"distance": 1}, {"rollouts": 4}]
    assert len({Scan(policy, **s).source for s in settings}) == 5
