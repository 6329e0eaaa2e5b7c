"""Process advantages: the change of a prover's chance of success, best of n or another policy."""

from __future__ import annotations

import pytest

from preceptor.annotate import MonteCarlo
from preceptor.annotate.rollout.prover_advantage import ProverAdvantage
from preceptor.annotate.rules import advantages, best_of
from preceptor.errors import InputError
from preceptor.judgement import Question, Scorer
from preceptor.policy import ScriptedPolicy
from preceptor.store import Store
from preceptor.trace import Grade, Trace, Verdict, steps_from_ends
from tests.annotate.rollout.exact import NO_GOLD, Exact, attempts, exact_values, rates
from tests.annotate.scripted import GOLD, Scripted, trace


def test_it_is_a_scorer_of_progress_with_best_of_4_of_the_policy():
    scorer = ProverAdvantage(Scripted(lambda t: 1.0))
    assert isinstance(scorer, Scorer)
    assert (scorer.question, scorer.source.name, scorer.prover) == (
        Question.PROGRESS,
        "prover-advantage",
        4,
    )


def test_the_example_of_the_entry():
    policy = Exact(rates(0.1, 0.3, 0.0))
    (four,) = ProverAdvantage(policy, rollouts=20).score([trace(3)])
    assert four.scores[0] == pytest.approx(0.7599 - 0.3439)
    (one,) = ProverAdvantage(policy, rollouts=20, prover=1).score([trace(3)])
    assert one.scores[0] == pytest.approx(0.2)
    assert four.counts == one.counts == ((6, 20), (0, 20), None), "counts are the policy's own"
    assert four.first_error is None


def test_one_set_of_rollouts_serves_every_n(tmp_path):
    with Store(tmp_path / "a.store") as store:
        policy = Exact(rates(0.1, 0.3, 0.5, 0.0))
        for n in (1, 2, 4, 8):
            ProverAdvantage(policy, prover=n, store=store).score([trace(6)])
            assert len(policy.asked) == 8 * 6


@pytest.mark.parametrize("n", [1, 4])
def test_advantages_sum_to_the_grade_less_the_value_of_the_bare_problem(n: int):
    policy = Scripted(lambda t: 0.4)
    traces = [trace(6, answer, draw=d) for d, answer in enumerate(["41", GOLD, "7", GOLD])]
    root = MonteCarlo(policy).evidence([(traces[0], 0)])[0].value
    assert 0 < root < 1
    for t, j in zip(traces, ProverAdvantage(policy, prover=n).score(traces)):
        assert sum(j.scores) == pytest.approx(float(GOLD in t.text) - best_of(root, n))
        assert len(set(j.scores)) > 1


@pytest.mark.parametrize("answer, value", [("41", 0.0), (GOLD, 1.0)])
def test_a_prover_that_never_or_always_succeeds_tells_nothing(answer: str, value: float):
    (judged,) = ProverAdvantage(Scripted(lambda t: value)).score([trace(5, answer)])
    assert judged.scores == (0.0,) * 5


def test_another_policy_as_prover_rolls_out_in_place_of_the_policy():
    base, prover = Exact(rates(0.1)), Exact(rates(0.5, 0.8, 0.2), fingerprint="prover")
    scorer = ProverAdvantage(base, rollouts=20, prover=prover)
    (judged,) = scorer.score([trace(3)])
    assert judged.scores == pytest.approx((0.3, -0.6, -0.2))
    assert (len(base.asked), len(prover.asked)) == (0, 60)
    assert judged.usage.policy.calls == 60
    assert len({scorer.source, ProverAdvantage(base, rollouts=20).source}) == 2


def test_the_cost_is_k_per_problem_and_k_times_t_minus_1_per_trace():
    policy = Scripted(lambda t: 0.5)
    traces = [trace(5, draw=d) for d in range(3)] + [trace(1, name="other")]
    judged = ProverAdvantage(policy, rollouts=4).score(traces)
    assert len(policy.asked) == 2 * 4 + 3 * 4 * 4
    assert [j.usage.policy.calls for j in judged] == [20, 16, 16, 4]
    assert len(policy.batches) == 2


def test_the_first_pit_stops_wrong_traces_only_and_does_not_guess_the_rest():
    policy = Exact(rates(0.5, 0.5, 0.0, 0.25))
    wrong, right = trace(6), trace(6, GOLD, draw=1)
    stopped, whole = ProverAdvantage(policy, rollouts=20, prover=1, first_pit=True).score([wrong, right])
    assert stopped.scores == (0.0, -0.5, None, None, None, None)
    assert (stopped.flags, stopped.usage.policy.calls) == (("stopped-at-pit",), 60)
    assert whole.scores == (0.0, -0.5, 0.25, 0.0, 0.0, 0.75)
    (full,) = ProverAdvantage(policy, rollouts=20, prover=1).score([wrong])
    assert full.scores == (0.0, -0.5, 0.25, 0.0, 0.0, -0.25)


def test_undecided_prefixes_leave_the_steps_at_both_sides_unknown():
    policy = Exact(rates(0.5, 0.5, "cut", 0.5))
    (judged,) = ProverAdvantage(policy, rollouts=20, prover=1).score([trace(5)])
    assert judged.scores == (0.0, None, None, 0.0, -0.5)
    assert (judged.undecided, judged.flags) == (20, ("truncated-rollouts",))
    (open_end,) = ProverAdvantage(policy, rollouts=20, prover=1).score(
        [trace(2, grade=Grade(Verdict.UNDECIDED, "late"))]
    )
    assert open_end.scores == (0.0, None)
    (nothing,) = ProverAdvantage(Scripted(lambda t: "cut")).score([trace(3)])
    assert (nothing.scores, nothing.error.kind) == (None, "undecided")


def test_failing_rollouts_are_typed_and_their_cost_is_kept():
    for values, calls in (((None, 1.0), 9), ((1.0, 1.0, None), 9)):
        (judged,) = ProverAdvantage(Scripted(rates(*values)), rollouts=3).score([trace(3)])
        assert (judged.scores, judged.error.kind) == (None, "rollouts-failed")
        assert judged.usage.policy.calls == calls


def test_without_gold_nothing_is_asked():
    policy = Scripted(lambda t: 1.0)
    (judged,) = ProverAdvantage(policy).score([Trace(NO_GOLD, "a\nb\n", steps_from_ends([2, 4]))])
    assert (judged.scores, judged.error.kind, policy.asked) == (None, "no-gold", [])


def test_on_the_arithmetic_world_advantages_estimate_the_exact_ones_of_a_prover_that_is_not_the_policy():
    base, prover = ScriptedPolicy(error=0.3), ScriptedPolicy(error=0.1, repair=0.1)
    traces = attempts(ScriptedPolicy(error=0.25), problems=4, samples=2)
    judged = ProverAdvantage(base, rollouts=200, prover=prover).score(traces)
    for t, j in zip(traces, judged):
        values = exact_values(prover, t)
        assert j.scores == pytest.approx(advantages(values[1:], values[0]), abs=4 * (2 * 0.25 / 200) ** 0.5)
    assert any(min(j.scores) < -0.5 for j in judged), "a wrong step costs the prover most of its chance"


def test_a_prover_of_best_of_0_is_refused():
    with pytest.raises(InputError, match="prover: got 0"):
        ProverAdvantage(Scripted(lambda t: 1.0), prover=0)
