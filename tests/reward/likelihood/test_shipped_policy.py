"""The scorers on the shipped policy: stored equals recomputed, and the oracle's truth is told from error."""

from __future__ import annotations

from dataclasses import replace

import pytest

from preceptor.annotate import WorldOracle
from preceptor.policy.load import load_policy
from preceptor.policy.sample import sample
from preceptor.reward.likelihood import DRM, Belief, CRew, LogRatio, Rationalyst, Uncertainty
from preceptor.reward.metrics import auroc
from preceptor.worlds import WORLDS


@pytest.fixture(scope="module")
def policy():
    return load_policy("world:arithmetic")


@pytest.fixture(scope="module")
def traces(policy):
    return sample(policy, WORLDS["arithmetic"].problems("test", 40), 4, seed=1)


def unknown_writer(traces):
    return [replace(t, policy="", token_ids=None, token_ends=None, logprobs=None) for t in traces]


@pytest.mark.parametrize("scorer", [CRew, lambda p: Uncertainty(p, "min_logprob")], ids=["crew", "min"])
def test_scoring_anothers_solution_by_one_pass_equals_what_was_stored_while_sampling(policy, traces, scorer):
    free, read = scorer(policy).score(traces[:16]), scorer(policy).score(unknown_writer(traces[:16]))
    assert sum(j.usage.scorer.scored for j in free) == 0
    assert sum(j.usage.scorer.scored for j in read) > 0
    for one, other in zip(free, read, strict=True):
        for a, b in zip(one.scores, other.scores, strict=True):
            assert (a is None) == (b is None)
            assert a is None or a == pytest.approx(b, abs=1e-4)


def test_the_policy_is_less_sure_where_it_is_wrong(policy, traces):
    import numpy as np

    truth = [s for j in WorldOracle().score(traces) for s in j.scores]
    for statistic in ("min_logprob", "max_entropy"):
        scores = [s for j in Uncertainty(policy, statistic).score(traces) for s in j.scores]
        pairs = [(s, y) for s, y in zip(scores, truth, strict=True) if s is not None]
        assert auroc(np.array([s for s, _ in pairs]), np.array([y > 0.5 for _, y in pairs])) > 0.65


def test_belief_in_the_gold_answer_rises_along_a_right_solution_and_not_along_a_wrong_one(policy, traces):
    judged = Belief(policy, ending="\n").score(traces)
    last = {True: [], False: []}
    for trace, judgement in zip(traces, judged, strict=True):
        known = [s for s in judgement.scores or () if s is not None]
        if len(known) > 1:
            last[trace.grade.correct].append(known[-1] - known[0])
    mean = {k: sum(v) / len(v) for k, v in last.items()}
    assert mean[True] > 0.4
    assert mean[False] < mean[True] / 2


def test_a_policy_against_itself_is_zero_to_the_last_bit(policy, traces):
    assert {s for j in LogRatio(policy, policy).score(traces[:8]) for s in j.scores} == {0.0}


def test_rationales_and_dimensions_come_out_whole(policy, traces):
    some = traces[:4]
    assert all(s <= 0 for j in Rationalyst(policy).score(some) for s in j.scores or () if s is not None)
    judged = [j for j in DRM(policy).score(some) if j.scores]
    assert sum(j.scores[-1] for j in judged) == pytest.approx(0.0, abs=1e-6)
