"""Specifies votes over meanings: greedy clusters by mutual entailment, and what is asked to find them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from preceptor.generation import Continuation, Request
from preceptor.search import Majority, Solution, solve
from preceptor.search.voting.cluster_vote import ClusterVote
from preceptor.search.voting.clusters import (
    CONTRADICTS,
    ENTAILS,
    NEUTRAL,
    cluster_weights,
    clustered,
    same_meaning,
)
from preceptor.trace import Finish, Problem
from preceptor.usage import Budget, Usage

NAMES = ["Marie Curie", "Curie", "Bohr", "M. Curie", "Bohr", "Meitner", "Curie", "Bohr"]
"""Bohr leads as a string, Curie as a person."""


class People:
    """Draw i answers with the i-th name; of two names it says entailment when the last word is the same."""

    fingerprint = "people"

    def __init__(self, names: Sequence[str] = NAMES, one_way: bool = False):
        self.names, self.one_way = names, one_way
        self.relations: list[Request] = []

    def generate(self, requests: Sequence[Request]) -> list[Continuation]:
        return [self._one(r) for r in requests]

    def _one(self, request: Request) -> Continuation:
        if request.problem.prompt == "Who?":
            text = f"Answer: {self.names[request.draw]}"
        else:
            self.relations.append(request)
            lines = request.problem.prompt.split("\n")
            first, second = lines[lines.index("<first>") + 1], lines[lines.index("<second>") + 1]
            same = first.split()[-1] == second.split()[-1]
            text = ENTAILS if same and (not self.one_way or len(first) > len(second)) else CONTRADICTS
        return Continuation(text, Finish.STOP, usage=Usage(generated=len(text), calls=1))


def who(strategy, policy: People | None = None, **settings) -> Solution:  # type: ignore[no-untyped-def]
    task = Problem("Who?", "Curie", id="who", grader="exact")
    return solve(policy or People(), [task], strategy, **settings).solutions[0]


def test_meanings_are_counted_instead_of_strings() -> None:
    assert who(Majority(8)).answer == "Bohr"
    policy = People()
    s = who(ClusterVote(8), policy)
    assert s.answer == "Marie Curie"  # the first sample of the cluster, as it was written
    assert len(policy.relations) == 5 * 4  # five different answers, both ways
    assert s.finished == 8
    assert [s.tree[c.node].data["cluster"] for c in s.candidates].count("Marie Curie") == 4


def test_strict_wants_entailment_both_ways_and_loose_no_contradiction() -> None:
    assert same_meaning(ENTAILS, ENTAILS)
    assert not same_meaning(ENTAILS, NEUTRAL)
    assert same_meaning(ENTAILS, NEUTRAL, strict=False)
    assert not same_meaning(NEUTRAL, NEUTRAL, strict=False)
    assert not same_meaning(ENTAILS, CONTRADICTS, strict=False)
    assert not same_meaning(None, ENTAILS, strict=False)
    assert who(ClusterVote(8), People(one_way=True)).answer == "Bohr"


def test_clusters_are_greedy_and_not_transitive() -> None:
    near = lambda a, b: ENTAILS if abs(int(a) - int(b)) <= 1 else CONTRADICTS  # noqa: E731
    assert clustered(["1", "2", None, "3", "1"], near) == ["1", "1", None, "3", "1"]
    assert clustered(["2", "1", "3"], near) == ["2", "2", "2"]
    assert clustered([None], near) == [None]


def test_weights_of_clusters_are_shares_and_evidence_tilts_them() -> None:
    assert cluster_weights(["a", "b", "a", None]) == pytest.approx({"a": 2 / 3, "b": 1 / 3})
    tilted = cluster_weights(["a", "b"], {"b": 1.0}, eta=math.log(3))
    assert tilted == pytest.approx({"a": 0.25, "b": 0.75})
    assert cluster_weights([]) == {}


def test_only_the_most_frequent_answers_are_compared_and_equal_ones_never() -> None:
    policy = People()
    assert who(ClusterVote(8, limit=2), policy).answer == "Bohr"
    assert len(policy.relations) == 2
    same = People(["Curie"] * 4)
    assert who(ClusterVote(4), same).answer == "Curie"
    assert same.relations == []


def test_unknown_relations_unite_nothing_and_a_helper_is_asked_where_given() -> None:
    class Silent(People):
        def _one(self, request: Request) -> Continuation:
            got = super()._one(request)
            return (
                got
                if request.problem.prompt == "Who?"
                else Continuation("perhaps", Finish.STOP, usage=got.usage)
            )

    assert who(ClusterVote(8), Silent()).answer == "Bohr"
    policy, nli = People(), People()
    assert who(ClusterVote(8), policy, helpers={"nli": nli}).answer == "Marie Curie"
    assert policy.relations == []
    assert len(nli.relations) == 20
    cut = who(ClusterVote(8), budget=Budget(calls=12))
    assert (cut.stop, cut.finished) == ("budget:calls", 8)


def test_without_n_new_answers_are_compared_as_they_come() -> None:
    policy = People()
    s = who(ClusterVote(None, batch=4), policy, budget=Budget(calls=24))
    asked = [tuple(r.problem.prompt.split("\n")[i] for i in (5, 8)) for r in policy.relations]
    assert len(asked) == len(set(asked))
    assert s.stop == "budget:calls"
