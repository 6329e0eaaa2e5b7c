"""What is worth a judge: trust of an ensemble, uncertainty of runs, convincing wrong answers."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from preceptor.annotate import WorldOracle
from preceptor.annotate.combine import (
    ActiveJudge,
    ForExperts,
    Trust,
    convincing,
    for_experts,
    judged_for_experts,
    skipped,
    to_label,
    trusted,
)
from preceptor.annotate.combine.active import CODE, PAPER, Belief, beliefs, vote_beliefs
from preceptor.annotate.combine.convincing import trace_score
from preceptor.annotate.combine.opv_selection import agreed
from preceptor.errors import InputError
from preceptor.judgement import Judgement, Question, Scorer, Source
from preceptor.trace import Grade, Verdict, stream_seed
from tests.annotate.combine.noisy import Noisy, traces, truth
from tests.annotate.scripted import trace


class Head(Noisy):
    """A soft score near the truth, unsure of every fourth step; heads differ on those."""

    def score(self, given):
        return [replace(j, scores=tuple(self.soft(j.trace, t, s) for t, s in enumerate(j.scores))) for j in
                super().score(given)]  # fmt: skip

    def soft(self, name, t, right):
        if random.Random(stream_seed("unsure", name, t)).random() < 0.1:
            return random.Random(stream_seed("head", self.seed, name, t)).uniform(0.2, 0.8)
        return 0.99 if right else 0.01


HEADS = tuple(Head(seed=k) for k in range(4))


def test_mean_and_population_deviation_per_step():
    (first, second) = beliefs([(0.9, 0.2), (0.7, 0.2)], 2)
    assert first == pytest.approx((0.8, 0.1))
    assert second == pytest.approx((0.2, 0.0))
    assert beliefs([(0.9,), (None,)], 1) == (None,)


def test_a_single_head_has_no_deviation_so_only_confidence_acts():
    found = beliefs([(0.97, 0.6)], 2)
    assert [b.std for b in found] == [0.0, 0.0]
    assert trusted(found[:1], Trust(delta_std=0.0))
    assert not trusted(found, Trust(delta_std=0.0))


def test_votes_of_one_judge_count_as_members():
    assert vote_beliefs([(8, 8), (6, 8), (0, 0), None]) == (Belief(1.0, 0.0), (0.75, 0.1875**0.5), None, None)


@pytest.mark.parametrize(
    "found, wanted",
    [
        ([(0.99, 0.001), (0.96, 0.001)], True),
        ([(0.99, 0.001), (0.80, 0.001)], False),
        ([(0.99, 0.010), (0.96, 0.001)], False),
        ([(0.99, 0.001), (0.02, 0.001)], True),
        ([(0.99, 0.001), (0.02, 0.001), (0.60, 0.3)], True),
        ([(0.99, 0.001), (0.40, 0.001), (0.99, 0.001)], False),
        ([], False),
    ],
)
def test_a_trace_is_trusted_iff_every_step_up_to_the_first_predicted_error_is(found, wanted):
    assert trusted([Belief(*b) for b in found]) is wanted


def test_the_code_trusts_more_than_the_paper_and_impossible_thresholds_trust_nothing():
    step = [Belief(0.92, 0.008)]
    assert (trusted(step, PAPER), trusted(step, CODE)) == (False, True)
    sure = [Belief(1.0, 0.0)]
    assert trusted(sure)
    assert not trusted(sure, Trust(delta_p=1.01))
    assert not trusted([Belief(0.0, 0.0)], Trust(delta_p=1.01))
    assert not trusted(sure, Trust(delta_std=-0.1))


def test_the_judge_is_asked_once_for_the_untrusted_traces_only():
    given, judge = traces(15), Noisy(1.0, seed=9)
    scorer = ActiveJudge(HEADS, judge)
    judged = scorer.score(given)
    assert isinstance(scorer, Scorer)
    sure = [j for j in judged if "trusted" in j.flags]
    assert 0 < len(sure) < len(given)
    assert judge.asked == [[j.trace for j in judged if "trusted" not in j.flags]]
    assert {(j.scores, j.error.kind, j.usage.scorer.calls) for j in sure} == {(None, "trusted", 4)}
    asked = [(j, real) for j, real in zip(judged, truth(given)) if "trusted" not in j.flags]
    assert all((j.scores, j.usage.scorer.calls, j.source) == (r.scores, 5, scorer.source) for j, r in asked)
    assert skipped(judged).value == len(sure) / len(given)
    assert len(judged[0].extra["active-judge"]) == len(given[0].steps)


@pytest.mark.parametrize("trust", [Trust(delta_p=1.01), Trust(delta_std=-1.0)])
def test_thresholds_that_no_step_meets_select_every_trace(trust):
    given, judge = traces(5), Noisy(1.0)
    judged = ActiveJudge(HEADS, judge, trust).score(given)
    assert judge.asked == [[t.id for t in given]]
    assert skipped(judged).hits == 0
    assert [j.scores for j in judged] == [j.scores for j in truth(given)]


def test_equal_heads_never_disagree_and_only_their_confidence_selects():
    given = traces(10)
    same = ActiveJudge((Head(seed=1),) * 3, WorldOracle(), Trust(delta_std=0.0))
    assert {b[1] for j in same.score(given) for b in j.extra["active-judge"]} <= {0.0, 1.1102230246251565e-16}


def test_a_member_that_fails_on_a_trace_leaves_it_to_the_judge():
    class Fails(Noisy):
        def score(self, given):
            return [Judgement(t.id, self.question, self.source, None) for t in given]

    judge = Noisy(1.0)
    ActiveJudge((Noisy(1.0, seed=1), Fails(seed=2)), judge).score(traces(2))
    assert len(judge.asked[0]) == 8
    with pytest.raises(InputError, match="at least 1"):
        ActiveJudge((), judge)


def test_uncertain_items_go_to_experts_and_unanimous_ones_never_do():
    assert for_experts([0.0, 0.4, None, 0.4, 0.6], 2) == ForExperts((4, 1), (0, 3), (2,))
    assert for_experts([0.0, 0.0], 5).chosen == ()
    with pytest.raises(InputError):
        for_experts([], -1)


def test_uncertainty_of_judgements_is_that_of_their_votes():
    def judged(*counts):
        return Judgement("t", Question.VALIDITY, Source("opv"), (0.0,) * len(counts), counts=counts)

    unanimous_error, split = judged((8, 8), (0, 8)), judged((8, 8), (4, 8))
    assert judged_for_experts([unanimous_error, split], 1).chosen == (1,)


def test_experts_must_agree_or_an_adjudicator_decides():
    assert agreed([2, 2], 5) == 2
    assert agreed([2, -1], -1) == -1
    assert (agreed([2, -1]), agreed([2])) == (None, None)


def test_the_most_convincing_wrong_answer_comes_first():
    assert convincing([0.2, 0.95, 0.9], [False, True, False], 1) == [2]
    assert convincing([0.2, 0.95, 0.9], [False, True, False], 3) == [2, 0, 1]


def test_eighty_percent_are_wrong_answers_and_the_rest_is_the_best_of_what_remains():
    scores = [k / 20 for k in range(20)]
    right = [k % 2 == 0 for k in range(20)]
    picks = convincing(scores, right, 10)
    assert picks[:8] == [19, 17, 15, 13, 11, 9, 7, 5]
    assert picks[8:] == [18, 16]


def test_undecided_is_not_wrong_and_unscored_is_never_picked():
    assert convincing([0.9, 0.5, None], [None, False, False], 1) == [1]
    assert convincing([0.9, 0.5, None], [None, False, False], 3) == [1, 0]
    with pytest.raises(InputError):
        convincing([0.1], [], 1)


def test_a_product_never_rises_with_a_step_and_unjudged_steps_leave_no_score():
    def judged(*scores):
        return Judgement("t", Question.VALIDITY, Source("s"), scores or None)

    rows = [judged(*(0.9, 0.8, 1.0, 0.5)[:n]) for n in (1, 2, 3, 4)]
    products = [trace_score(j) for j in rows]
    assert products == sorted(products, reverse=True)
    assert math.isclose(products[-1], 0.36)
    assert trace_score(rows[-1], "min") == 0.5
    assert [trace_score(j) for j in (judged(0.5, None), judged())] == [None, None]


def test_traces_for_labellers_come_per_problem_and_never_from_held_out_ones():
    def sampled(name, draw, verdict):
        return trace(2, name=name, draw=draw).graded(Grade(verdict, "known"))

    wrong, right = Verdict.INCORRECT, Verdict.CORRECT
    given = [sampled(q, d, v) for q in ("a", "b") for d, v in ((0, wrong), (1, wrong), (2, right))]
    given.append(replace(given[1], draw=9, seed=7))
    judged = [
        Judgement(t.id, Question.VALUE, Source("s"), (s, 1.0))
        for t, s in zip(given, (0.2, 0.9, 0.95, 0.9, 0.2, 0.3, 0.99))
    ]
    chosen = to_label(given, judged, 2)
    assert chosen == [given[1], given[0], given[3], given[4]], "an equal text is shown once"
    held_out = given[0].problem.id
    assert {t.problem.id for t in to_label(given, judged, 2, never={held_out})} == {given[3].problem.id}
