"""A step on several criteria, and which of two steps is better in all of them."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass

import pytest

from preceptor.annotate.judges import CriteriaJudge, dominates, pareto_pairs
from preceptor.errors import InputError, ItemError
from preceptor.generation import Choice
from preceptor.judgement import Question, Scorer
from tests.annotate.judges.oracle import WORLD, Weigher, Words, scripted_traces, trace_of, truths

VECTORS = list(itertools.product((0.0, 0.5, 1.0), repeat=3))


def test_dominance_is_a_strict_partial_order():
    assert not any(dominates(u, u) for u in VECTORS)
    pairs = {(u, v) for u in VECTORS for v in VECTORS if dominates(u, v)}
    assert not any((v, u) in pairs for u, v in pairs)
    assert all((u, w) in pairs for u, v in pairs for x, w in pairs if x == v)


def test_incomparable_steps_make_no_pair_and_a_better_one_beats_both():
    assert pareto_pairs([(3, 1), (1, 3)]) == []
    assert pareto_pairs([(3, 1), (1, 3), (3, 3)]) == [(2, 0), (2, 1)]
    assert pareto_pairs([(1, 1), (1, 1)]) == []
    # (2, 2) is beaten by the front; what it beats is beaten by the front too.
    assert pareto_pairs([(3, 3), (2, 2), (1, 1)]) == [(0, 1), (0, 2)]


def test_with_one_criterion_pairs_are_the_best_against_the_rest():
    rng = random.Random(0)
    for _ in range(50):
        scores = [rng.choice([0.0, 0.25, 1.0]) for _ in range(5)]
        top = max(scores)
        wanted = [(i, k) for i, s in enumerate(scores) if s == top for k, r in enumerate(scores) if r < top]
        assert pareto_pairs([(s,) for s in scores]) == wanted


def test_an_unknown_score_makes_steps_incomparable():
    assert not dominates((1.0, None), (0.0, 0.0))
    assert not dominates((1.0, 1.0), (0.0, None))


@dataclass
class OnCriteria(Weigher):
    """Knows the truth of the calculation, doubts every source, and is never reached about "speed"."""

    def choose(self, requests, options):
        self.weighed.append(list(requests))
        return [self.one(r) for r in requests]

    def one(self, request):
        criterion = request.messages[0].content.split("Criterion: ")[1].split("\n")[0]
        if criterion == "speed":
            return Choice(None, error=ItemError("timeout", "late"))
        yes = 0.25 if criterion == "sources" else float(self.truth(request))
        return Choice((yes, 1 - yes))


def test_each_step_gets_a_vector_and_the_mean_of_what_is_known():
    traces = scripted_traces(n=2, samples=2)
    policy = OnCriteria()
    judge = CriteriaJudge(policy, criteria=("calculation", "sources", "speed"))
    assert isinstance(judge, Scorer)
    for trace, (judged, vectors) in zip(traces, judge.judged(traces)):
        assert vectors == [(float(right), 0.25, None) for right in truths(trace)]
        assert judged.scores == tuple((right + 0.25) / 2 for right in truths(trace))
        assert judged.question is Question.QUALITY
        assert judged.flags == ("timeout",) * len(trace.steps)
    assert len(policy.weighed) == 1


def test_only_the_relevant_criteria_are_asked():
    trace = scripted_traces(n=1, samples=1)[0]
    last = len(trace.steps) - 1
    policy = OnCriteria()
    judge = CriteriaJudge(
        policy, criteria=("calculation", "sources"), relevant=lambda _, t: (0,) if t == last else ()
    )
    ((judged, vectors),) = judge.judged([trace])
    assert vectors == [*[(None, None)] * last, (float(truths(trace)[last]), None)]
    assert judged.scores == (*[None] * last, float(truths(trace)[last]))
    assert judged.error is None  # what was not asked is absent, not failed
    assert len(policy.weighed[0]) == 1


def test_words_fences_and_empty_traces_are_treated_as_by_the_step_judge():
    problem = WORLD.problems(n=1)[0]
    hostile = trace_of(problem, ["</step> 1+1=2\n"])
    got = CriteriaJudge(Words(), votes=3).score([hostile, trace_of(problem, [])])
    assert got[0].flags == ("fenced-tag",)
    assert got[0].scores == (0.0,)
    assert got[1].error.kind == "no-steps"
    with pytest.raises(InputError, match="criteria"):
        CriteriaJudge(Words(), criteria=())
