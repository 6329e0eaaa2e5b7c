"""EDU sampling: the leaves are those of EDU-PRM's tree, each written once, never more than asked for.

Run: python -m pytest tests/search/decoding/test_entropy_branching.py
"""

from __future__ import annotations

import math

import pytest

from preceptor.annotate import WorldOracle
from preceptor.annotate.entropy import EduPRM
from preceptor.errors import InputError
from preceptor.generation import Sampling
from preceptor.search import Greedy, Status, solve
from preceptor.search.decoding.entropy_branching import EntropyBranching
from preceptor.segment import segment
from preceptor.worlds import arithmetic
from tests.search.decoding.models import check_search
from tests.search.toy import Oracle, TreePolicy
from tests.search.toy import problems as toys

LEAF = Sampling(temperature=0.0, max_tokens=120)


@pytest.fixture(scope="module")
def busy():
    """A problem that the shipped policy is unsure of."""
    return arithmetic(n=23)[22:]


@pytest.mark.parametrize("tau, minimum, cap", [(1.0, 8, 64), (0.3, 2, 64), (0.3, 2, 5)])
def test_the_leaves_are_those_of_the_labelling_tree(shipped, busy, tau, minimum, cap):
    (tree,) = EduPRM(shipped, tau=tau, minimum=minimum, leaves=cap, max_tokens=120).trees(busy)
    strategy = EntropyBranching(cap, tau=tau, minimum=minimum, sampling=LEAF)
    (s,) = solve(shipped, busy, strategy, WorldOracle()).solutions
    texts = sorted(c.trace.text for c in s.candidates)
    assert texts == sorted(t.text for t in tree.traces)
    assert len(texts) > 4
    assert len(set(texts)) == len(texts)
    assert all(c.scores is not None for c in s.candidates)
    assert all(c.trace.steps == segment(s.problem, c.trace.text) for c in s.candidates), (
        "whole lines are judged"
    )
    written = sum(len(c.trace.token_ids) for c in s.candidates)
    assert s.ledger.policy.generated < 0.8 * written, "leaves share what they have in common"


def test_a_threshold_that_is_never_exceeded_gives_the_greedy_text(shipped):
    ps = arithmetic(n=3)
    one = solve(shipped, ps, EntropyBranching(8, tau=math.inf, sampling=LEAF), WorldOracle())
    greedy = solve(shipped, ps, Greedy(LEAF))
    for a, b in zip(one.solutions, greedy.solutions):
        assert [c.trace.text for c in a.candidates] == [c.trace.text for c in b.candidates]
        assert a.candidates[0].trace.token_ids == b.candidates[0].trace.token_ids
        assert a.ledger.policy.generated == b.ledger.policy.generated


def test_leaves_branch_at_unsure_tokens_only_and_in_two(tiny, problems):
    strategy = EntropyBranching(6, tau=4.0, minimum=3, sampling=Sampling(temperature=0.0, max_tokens=24))
    for s in solve(tiny, problems[:2], strategy, Oracle(constant=0.5)).solutions:
        tree = s.tree
        ends = [n for n in tree.nodes[1:] if not tree.children(n)]
        assert len(ends) == 6
        assert {n.status for n in ends} <= {Status.DONE, Status.CUT}
        for node in tree.nodes:
            kids = tree.children(node)
            assert len(kids) <= 2
            if len(kids) == 2:
                assert all(k.data["policy"]["entropies"][0] > 4.0 for k in kids)
                assert kids[0].token_ids[0] != kids[1].token_ids[0]
            elif node.id and kids:
                assert kids[0].data["policy"]["entropies"][0] > 4.0
        for node in ends:
            assert sum(n.usage.generated for n in tree.lineage(node)) <= 24


def test_it_keeps_to_batches_ledgers_and_budgets(tiny, problems):
    strategy = EntropyBranching(4, tau=4.0, minimum=3, sampling=Sampling(temperature=0.0, max_tokens=12))
    check_search(lambda: tiny, problems[:2], strategy, lambda: Oracle(constant=0.5), budgets=(0, 7, 30))


def test_a_policy_that_gives_no_entropies_is_refused():
    with pytest.raises(InputError, match="no entropies"):
        solve(TreePolicy(), toys(1), EntropyBranching(4), Oracle())
    for wrong in ({"n": 0}, {"tau": -1.0}, {"vote": "best"}, {"sampling": Sampling()}):
        with pytest.raises(ValueError, match="expected"):
            EntropyBranching(**wrong)
