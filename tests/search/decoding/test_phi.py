"""phi-decoding: weights and clusters by hand, and that the choice follows them.

Run: python -m pytest tests/search/decoding/test_phi.py
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from preceptor.errors import InputError
from preceptor.search import Status, StepBeam, solve
from preceptor.search.decoding.clusters import kmeans, tfidf
from preceptor.search.decoding.phi import LOOKAHEAD, Phi, foresight_weights
from tests.search.decoding.models import check_search
from tests.search.decoding.toys import Known
from tests.search.toy import Oracle, TreePolicy, problems


def test_a_weight_is_the_mean_of_both_softmaxes():
    logprobs, clusters = [0.0, math.log(2), 0.0], [0, 1, 0]
    e, e2 = math.e, math.e**2
    by_size = [e2 / (2 * e2 + e), e / (2 * e2 + e), e2 / (2 * e2 + e)]
    expected = [(a + b) / 2 for a, b in zip([0.25, 0.5, 0.25], by_size)]
    assert foresight_weights(logprobs, clusters) == pytest.approx(expected)
    assert sum(foresight_weights([-3.0, -1000.0], [0, 0])) == pytest.approx(1.0)


def test_tfidf_has_unit_rows_and_common_words_weigh_less():
    rows = tfidf(["a b", "a c c", ""])
    idf_a, idf_b = math.log(4 / 3) + 1, math.log(4 / 2) + 1
    assert rows[0, :2] == pytest.approx(np.array([idf_a, idf_b]) / math.hypot(idf_a, idf_b))
    assert rows[1, 2] / rows[1, 0] == pytest.approx(2 * idf_b / idf_a)
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1.0, 1.0, 0.0])


def test_texts_that_say_the_same_are_a_cluster():
    texts = [
        "84-30=54 Answer: 54",
        "9+9=18 Answer: 18",
        "84-30=54\nAnswer: 54",
        "9+9=18\nAnswer: 18",
        "no idea",
    ]
    labels = kmeans(tfidf(texts), 3)
    assert labels[0] == labels[2] != labels[1] == labels[3]
    assert labels[4] not in labels[:2]
    assert kmeans(tfidf(["same", "same", "same"]), 3) == [0, 0, 0]
    assert kmeans(tfidf(["", ""]), 2) == [0, 0]


def test_one_candidate_is_the_policys_own_sample_and_looks_at_nothing():
    ps = problems(8)
    one = solve(Known(), ps, Phi(1))
    chain = solve(Known(), ps, StepBeam(1, 1), Oracle(constant=0.5))
    assert [s.chosen.text for s in one.solutions] == [s.chosen.text for s in chain.solutions]
    assert one.ledger.policy.generated == chain.ledger.policy.generated


def test_the_likeliest_step_by_foresight_goes_on_and_foresight_is_no_solution():
    for s in solve(Known(), problems(8), Phi(4, clusters=2)).solutions:
        tree, looked = s.tree, 0
        for node in tree.nodes:
            steps = [k for k in tree.children(node) if k.role != LOOKAHEAD]
            if not steps:
                continue
            futures = [next((f for f in tree.children(k) if f.role == LOOKAHEAD), k) for k in steps]
            if all(f is k for f, k in zip(futures, steps)):
                continue
            looked += 1
            assert all(f.text.endswith(("1", "2", "3", "7")) for f in futures)
            logprobs = [sum(f.logprobs) / len(f.logprobs) for f in futures]
            weights = foresight_weights(logprobs, kmeans(tfidf([f.text for f in futures]), 2))
            assert [k.data["weight"] for k in steps] == pytest.approx(weights)
            kept = [i for i, k in enumerate(steps) if k.status is not Status.PRUNED]
            assert kept == [int(np.argmax(weights))]
        assert looked == 3
        ahead = [n for n in tree.nodes if n.role == LOOKAHEAD]
        assert {n.status for n in ahead} == {Status.PRUNED}
        assert len(s.candidates) == 1
        assert s.candidates[0].node not in {n.id for n in ahead}


def test_agreement_can_outweigh_likelihood():
    odd, common = foresight_weights([-0.1, -0.5, -0.5, -0.5], [0, 1, 1, 1])[:2]
    assert common > odd
    odd, common = foresight_weights([-0.1, -9.0, -9.0, -9.0], [0, 1, 1, 1])[:2]
    assert odd > common


def test_it_keeps_to_batches_ledgers_and_budgets():
    check_search(Known, problems(4), Phi(3))
    check_search(Known, problems(3), Phi(2, foresight=7))


def test_a_policy_without_log_probabilities_is_refused():
    class Silent(TreePolicy):
        def _one(self, request):
            return replace(super()._one(request), logprobs=None)

    with pytest.raises(InputError, match="no log-probabilities"):
        solve(Silent(), problems(1), Phi())
    for wrong in ({"n": 0}, {"foresight": 0}, {"clusters": 0}):
        with pytest.raises(ValueError, match="expected"):
            Phi(**wrong)
