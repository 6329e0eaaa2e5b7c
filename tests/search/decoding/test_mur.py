"""MUR: the gate by hand, its two limits, and who chooses where it branches.

Run: python -m pytest tests/search/decoding/test_mur.py
"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from preceptor.errors import InputError
from preceptor.generation import Continuation
from preceptor.search import Status, StepBeam, solve
from preceptor.search.decoding.mur import Mur, uncertainty
from preceptor.search.tree import Node
from preceptor.trace import Finish, Problem
from preceptor.usage import Usage
from tests.search.decoding.models import check_search
from tests.search.decoding.toys import Known
from tests.search.toy import Oracle, TreePolicy, problems


class Scripted(TreePolicy):
    """Steps of given uncertainty: `first[t]` for the first sample of step t, `rest[t]` for the later ones."""

    def __init__(self, first, rest):
        super().__init__()
        self.first, self.rest = first, rest

    def _one(self, request):
        t = request.prefix.count("\n")
        if t == len(self.first):
            return Continuation("Answer: 7", Finish.STOP, (7,), (9,), (-0.1,), Usage(generated=1, calls=1))
        tries = self.__dict__.setdefault("tries", {})
        k = tries[request.prefix] = tries.get(request.prefix, -1) + 1
        u = self.first[t] if k == 0 else self.rest[t][k - 1]
        text = f"step {t} try {k}\n"
        return Continuation(
            text, Finish.BOUNDARY, (1, 2), (4, len(text)), (-u, -u), Usage(generated=2, calls=1)
        )


def run(first, rest, **settings):
    policy = Scripted(first, rest)
    (s,) = solve(policy, [Problem("Walk.", gold="7", grader="exact")], Mur(3, **settings)).solutions
    return s, [n.data.get("branches", False) for n in s.tree.nodes[1:] if "momentum" in n.data]


def test_the_momentum_and_the_gate_are_those_of_the_formula():
    first = [0.5, 0.6, 0.61, 0.9, 0.9]
    rest = [(9.0, 9.0)] * 5  # a branch keeps the first sample
    s, branched = run(first, rest)
    means, mean = [0.0], 0.0
    for t, u in enumerate(first):
        mean = 0.9 * mean + 0.1 * u
        means.append(mean / (1 - 0.9 ** (t + 1)))
    noted = [n.data["momentum"] for n in s.tree.nodes if "momentum" in n.data]
    assert noted == pytest.approx(means)
    assert noted[1] == pytest.approx(0.5), "corrected, M of one step is its uncertainty"
    gate = [t > 0 and math.exp(m) / 0.9 < math.exp(u) for t, (m, u) in enumerate(zip(means, [*first, 0.1]))]
    assert branched == gate == [False, False, False, True, True, False]


def test_as_published_the_first_steps_branch_almost_always():
    first = [0.5, 0.5, 0.5, 0.5]
    s, branched = run(first, [(9.0, 9.0)] * 4, bias_correction=False)
    assert branched == [False, True, True, True, False]
    noted = [n.data["momentum"] for n in s.tree.nodes if "momentum" in n.data]
    assert noted[:3] == pytest.approx([0.0, 0.05, 0.095])
    assert run(first, [(9.0, 9.0)] * 4)[1] == [False] * 5


def test_the_least_uncertain_candidate_goes_on_and_enters_the_momentum():
    s, _ = run([0.5, 2.0, 0.5], [(), (1.5, 0.2), (9.0, 9.0)])
    kept = list(s.tree.lineage(s.tree.having(Status.DONE)[0]))[::-1]
    assert kept[2].text == "step 1 try 2\n"
    dropped = s.tree.having(Status.PRUNED)
    assert [n.text for n in dropped][:2] == ["step 1 try 0\n", "step 1 try 1\n"]
    assert all("mur" in n.data["why"] for n in dropped)
    later = kept[3].data["momentum"]
    assert later == pytest.approx((0.9 * 0.05 + 0.1 * 0.2) / (1 - 0.81))


def test_a_scorer_chooses_instead_and_is_asked_where_it_branches_only():
    oracle = Oracle()
    result = solve(Known(), problems(12), Mur(3, gamma=50.0), oracle)
    scored = 0
    for s in result.solutions:
        for node in s.tree.nodes:
            kids = s.tree.children(node)
            if len(kids) > 1:
                best = max(k.scores[-1] for k in kids)
                kept = [k for k in kids if k.status is not Status.PRUNED]
                assert [k.scores[-1] for k in kept] == [best]
                scored += len(kids)
            else:
                assert all(k.scores is None for k in kids)
    assert result.ledger.scorer.calls == scored > 12


def test_a_gate_that_never_opens_is_one_sample_and_one_that_is_always_open_branches_after_the_first_step():
    ps = problems(10)
    never = solve(Known(), ps, Mur(4, gamma=1e-9))
    chain = solve(Known(), ps, StepBeam(1, 1), Oracle(constant=0.5))
    assert [s.chosen.text for s in never.solutions] == [s.chosen.text for s in chain.solutions]
    always = solve(Known(), ps, Mur(4, gamma=1e9))
    for s in always.solutions:
        assert len(s.tree.children(s.tree.root)) == 1
        assert len(s.tree) == 1 + 1 + 4 * 3
        assert len(s.candidates) == 1


def test_it_keeps_to_batches_ledgers_and_budgets():
    for settings in ({}, {"gamma": 5.0, "bias_correction": False}):
        check_search(Known, problems(5), Mur(3, **settings))
        check_search(Known, problems(3), Mur(3, **settings), Oracle)


def test_without_log_probabilities_there_is_no_gate_and_that_is_an_error():
    class Silent(TreePolicy):
        def _one(self, request):
            return replace(super()._one(request), logprobs=None)

    with pytest.raises(InputError, match="no log-probabilities"):
        solve(Silent(), problems(1), Mur())
    assert uncertainty(Node(1, 0, logprobs=())) == 0.0
    for wrong in ({"expand": 0}, {"momentum": 1.0}, {"gamma": 0.0}, {"max_steps": 0}):
        with pytest.raises(ValueError, match="expected"):
            Mur(**wrong)
