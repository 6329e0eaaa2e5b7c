"""Math-Shepherd: K rollouts at every proper prefix, a grade at the last step, exact cost, three values."""

from __future__ import annotations

import pytest

from preceptor.annotate import MathShepherd, OmegaBisection
from preceptor.errors import InputError, ItemError
from preceptor.generation import Sampling
from preceptor.judgement import NO_ERROR, Question, Scorer
from preceptor.store import Store
from preceptor.trace import Finish, Grade, Problem, Step, Trace, Verdict, steps_from_ends
from tests.annotate.scripted import GOLD, Scripted, problem, trace


def until(t: int):
    """Value 1 for prefixes of up to t steps, then 0."""
    return lambda length: 1.0 if length <= t else 0.0


def test_it_is_a_scorer_of_value():
    scorer = MathShepherd(Scripted(until(3)))
    assert isinstance(scorer, Scorer)
    assert scorer.question is Question.VALUE
    assert "writer" not in repr(scorer.source)


def test_the_first_error_is_where_value_drops_and_the_last_step_is_graded_not_rolled_out():
    policy = Scripted(until(2))
    (judged,) = MathShepherd(policy, rollouts=4).score([trace(5)])
    assert judged.scores == (1.0, 1.0, 0.0, 0.0, 0.0)
    assert judged.counts == ((4, 4), (4, 4), (0, 4), (0, 4), None)
    assert judged.first_error == 2
    assert max(r.prefix.count("\n") for r in policy.asked) == 4


@pytest.mark.parametrize("steps, rollouts", [(1, 8), (2, 1), (5, 3), (9, 8)])
def test_the_cost_is_exactly_k_times_t_minus_1_generations(steps: int, rollouts: int):
    policy = Scripted(until(3))
    (judged,) = MathShepherd(policy, rollouts=rollouts).score([trace(steps)])
    assert len(policy.asked) == rollouts * (steps - 1) == judged.usage.policy.calls
    assert judged.usage.policy.generated == 5 * rollouts * (steps - 1)
    assert len(policy.batches) <= 1, "all prefixes of all traces are one batch"


def test_soft_labels_are_rates_and_estimate_the_true_value():
    policy = Scripted(lambda t: 0.3)
    traces = [trace(11, draw=d) for d in range(40)]
    judged = MathShepherd(policy, rollouts=8, target="soft").score(traces)
    rates = [s for j in judged for s in j.scores[:-1]]
    assert all(s == c[0] / c[1] for j in judged for s, c in zip(j.scores[:-1], j.counts[:-1]))
    error = (0.3 * 0.7 / (8 * len(rates))) ** 0.5
    assert abs(sum(rates) / len(rates) - 0.3) < 4 * error


def test_the_first_error_follows_the_hard_label_even_where_the_target_is_soft():
    low = Scripted(lambda t: 0.1 if t < 4 else 0.0)
    (judged,) = MathShepherd(low, rollouts=64, target="soft").score([trace(6)])
    assert all(0 < s < 0.5 for s in judged.scores[:3])
    assert judged.first_error == 3


def test_more_rollouts_only_turn_hard_zeros_into_ones():
    before = None
    for rollouts in (1, 2, 4, 8, 16):
        (judged,) = MathShepherd(Scripted(lambda t: 0.2), rollouts=rollouts).score([trace(12)])
        assert before is None or all(a <= b for a, b in zip(before, judged.scores))
        before = judged.scores
    assert sum(before) > 6


def test_one_rollout_makes_hard_and_soft_equal():
    hard, soft = (
        MathShepherd(Scripted(lambda t: 0.5), rollouts=1, target=target).score([trace(9)])[0].scores
        for target in ("hard", "soft")
    )
    assert hard == soft
    assert set(hard[:-1]) == {0.0, 1.0}


def test_a_recovered_value_is_kept_and_flagged():
    (judged,) = MathShepherd(Scripted(lambda t: 0.0 if t == 2 else 1.0)).score([trace(4, GOLD)])
    assert judged.scores == (1.0, 0.0, 1.0, 1.0)
    assert (judged.first_error, judged.flags) == (1, ("not-monotone",))
    (clean,) = MathShepherd(Scripted(lambda t: 1.0)).score([trace(4, GOLD)])
    assert (clean.first_error, clean.flags) == (NO_ERROR, ())


def test_truncated_rollouts_are_unknown_not_wrong():
    cut = Scripted(lambda t: "cut" if t == 2 else 1.0)
    (judged,) = MathShepherd(cut, rollouts=3).score([trace(4)])
    assert judged.scores == (1.0, None, 1.0, 0.0)
    assert judged.counts == ((3, 3), (0, 0), (3, 3), None)
    assert (judged.undecided, judged.flags) == (3, ("truncated-rollouts",))
    assert judged.first_error is None, "an unknown step stands before the first zero"


def test_undecided_rollouts_leave_the_rate_and_are_counted(monkeypatch: pytest.MonkeyPatch):
    import preceptor.annotate.rollout.montecarlo as montecarlo

    def half_undecided(pairs, finishes):
        verdicts = (Verdict.UNDECIDED, Verdict.CORRECT, Verdict.INCORRECT, Verdict.CORRECT)
        return [Grade(verdicts[i % 4], "scripted") for i in range(len(pairs))]

    monkeypatch.setattr(montecarlo, "grade_many", half_undecided)
    (judged,) = MathShepherd(Scripted(lambda t: 1.0), rollouts=4, target="soft").score([trace(2)])
    assert judged.counts == ((2, 3), None)
    assert judged.scores == (2 / 3, 0.0)
    assert judged.undecided == 1


def test_a_prefix_lost_to_failures_fails_the_judgement_and_a_few_failures_only_flag_it():
    (judged,) = MathShepherd(Scripted(lambda t: None if t == 2 else 1.0), rollouts=3).score([trace(4)])
    assert (judged.scores, judged.error.kind) == (None, "rollouts-failed")
    assert judged.usage.policy.generated == 5 * 6

    class Flaky(Scripted):
        def _one(self, request):
            self.value = lambda t: None if request.draw == 0 else 1.0
            return super()._one(request)

    (judged,) = MathShepherd(Flaky(lambda t: 1.0), rollouts=3).score([trace(3)])
    assert judged.counts == ((2, 2), (2, 2), None)
    assert (judged.undecided, judged.flags) == (2, ("failed-rollouts",))


def test_traces_that_rollouts_cannot_judge_cost_nothing_and_say_why():
    policy = Scripted(until(1))
    no_gold = Problem("?", None, grader="numeric")
    bad = [
        Trace(problem(), "", (), finish=Finish.ERROR, error=ItemError("timeout", "late")),
        Trace(problem(), "", ()),
        Trace(no_gold, "a\nb\n", steps_from_ends([2, 4])),
        Trace(problem(), "a\nb\n", (Step(0, 2, observation="42"), Step(2, 4))),
    ]
    judged = MathShepherd(policy).score([*bad, trace(3)])
    assert [j.error and j.error.kind for j in judged] == [
        "failed-trace", "no-steps", "no-gold", "needs-environment", None,
    ]  # fmt: skip
    assert [j.trace for j in judged] == [t.id for t in [*bad, trace(3)]]
    assert len(policy.asked) == 16
    for scorer in (MathShepherd(policy), OmegaBisection(policy)):
        assert scorer.score([]) == []


def test_the_grade_of_the_trace_stands_even_where_grading_its_text_would_differ():
    given = trace(2, grade=Grade(Verdict.CORRECT, "a person said so"))
    assert MathShepherd(Scripted(until(9))).score([given])[0].scores == (1.0, 1.0)
    unknown = trace(2, grade=Grade(Verdict.UNDECIDED, "timeout"))
    (judged,) = MathShepherd(Scripted(until(9))).score([unknown])
    assert (judged.scores, judged.first_error) == ((1.0, None), None)


def test_the_first_of_two_traces_with_one_prefix_carries_its_cost():
    a, b = trace(3, "1"), trace(3, "2")
    policy = Scripted(until(1))
    first, second = MathShepherd(policy, rollouts=4).score([a, b])
    assert len(policy.asked) == 8
    assert (first.usage.policy.generated, second.usage.policy.generated) == (40, 0)
    assert second.usage.policy.reused == 40


def test_a_second_annotator_over_the_same_store_generates_nothing(tmp_path):
    with Store(tmp_path / "a.store") as store:
        policy, traces = Scripted(lambda t: 0.4), [trace(9, draw=d) for d in range(5)]
        hard = MathShepherd(policy, store=store).score(traces)
        paid = len(policy.asked)
        soft = MathShepherd(policy, target="soft", store=store).score(traces)
        found = OmegaBisection(policy, store=store).score(traces)
        assert len(policy.asked) == paid == 5 * 8 * 8
        assert sum(j.usage.policy.generated for j in soft + found) == 0
        assert sum(j.usage.policy.reused for j in soft) == sum(j.usage.policy.generated for j in hard)
        more = MathShepherd(policy, rollouts=12, store=store).score(traces)
        assert len(policy.asked) == paid + 5 * 4 * 8, "more draws pay only for what is new"
        assert [j.counts[0][1] for j in more] == [12] * 5


def test_judgements_do_not_depend_on_batching_or_order():
    traces = [trace(6, draw=d) for d in range(12)]
    scorer = MathShepherd(Scripted(lambda t: 0.5))
    together = {j.trace: j.scores for j in scorer.score(traces)}
    alone = {t.id: MathShepherd(Scripted(lambda t: 0.5)).score([t])[0].scores for t in reversed(traces)}
    assert together == alone


def test_sampled_ids_of_a_prefix_go_to_the_policy_that_sampled_them_and_to_no_other():
    ids, ends = (10, 11, 12, 13, 14), (4, 12, 12, 24, 35)
    # The third token adds no character (say, the first byte of the next one): it is not of the prefix.
    given = trace(3, token_ids=ids, token_ends=ends)
    assert [s.end for s in given.steps] == [12, 24, 35]
    own = Scripted(until(9), fingerprint="writer")
    MathShepherd(own, rollouts=1).score([given])
    assert [r.prefix_ids for r in own.asked] == [ids[:2], ids[:4]]
    other = Scripted(until(9))
    MathShepherd(other, rollouts=1).score([given])
    assert [r.prefix_ids for r in other.asked] == [None, None]


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"rollouts": 0}, "expected at least 1"),
        ({"sampling": Sampling(0.0)}, "all the same"),
        ({"sampling": Sampling(stop=("\n",))}, "must reach its answer"),
        ({"target": "softish"}, "expected 'hard' or 'soft'"),
    ],
)
def test_settings_that_make_no_sense_are_refused_at_once(settings, said):
    with pytest.raises(InputError, match=said):
        MathShepherd(Scripted(until(1)), **settings)


def test_the_source_tells_settings_apart():
    policy = Scripted(until(1))
    sources = {
        MathShepherd(policy).source,
        MathShepherd(policy, rollouts=4).source,
        MathShepherd(policy, target="soft").source,
        MathShepherd(policy, seed=1).source,
        MathShepherd(policy, sampling=Sampling(0.9)).source,
        MathShepherd(Scripted(until(1), fingerprint="other")).source,
    }
    assert len(sources) == 6
    assert MathShepherd(Scripted(until(2))).source in sources
