"""Specifies best-first search: the priority, the first finished one that comes up, and what makes it optimal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from math import log

import pytest

from preceptor.errors import InputError
from preceptor.judgement import Judgement
from preceptor.search import solve
from preceptor.search.beams import BestFirst, Paired
from preceptor.search.result import Solution
from preceptor.trace import Problem, Trace
from tests.search.beams.tables import Likely, Marks, Table, asked, run
from tests.search.toy import DEPTH, LEAVES, Oracle, TreePolicy, p_left, problem, problems, walked

MANY = 30  # samples that show every next step


def likelihood(p: Problem, leaf: str, start: int = 0) -> float:
    """Log-probability of the steps of a leaf from `start` on."""
    return sum(
        log(p_left(p, leaf[:t]) if leaf[t] == "a" else 1 - p_left(p, leaf[:t])) for t in range(start, DEPTH)
    )


@dataclass
class Rest(Oracle):
    """Log-probability of the best rest of a path: never falls short of any."""

    scale: float = 1.0

    def _one(self, trace: Trace) -> Judgement:
        scores = []
        for t in range(len(trace.steps)):
            node = walked(trace.prefix(t + 1))
            best = max(likelihood(trace.problem, leaf, len(node)) for leaf in LEAVES if leaf.startswith(node))
            scores.append(self.scale * best)
        return replace(super()._one(trace), scores=tuple(scores))


def leaf_of(solution: Solution) -> str:
    assert solution.chosen is not None
    return walked(solution.chosen.text)


def expansions(solution: Solution) -> int:
    return len({n.parent for n in solution.tree.nodes[1:]})


def test_uniform_cost_finds_the_likeliest_path_and_exact_foresight_goes_straight_to_it() -> None:
    ps = problems(10)
    blind = solve(Likely(), ps, BestFirst(MANY, utility="logprob", weight=0.0), Oracle())
    exact = solve(Likely(), ps, BestFirst(MANY, utility="logprob"), Rest())
    hopeful = solve(Likely(), ps, BestFirst(MANY, utility="logprob"), Rest(scale=0.5))
    for a, b, c in zip(blind.solutions, exact.solutions, hopeful.solutions, strict=True):
        best = max(LEAVES, key=lambda leaf: likelihood(a.problem, leaf))
        assert leaf_of(a) == leaf_of(b) == leaf_of(c) == best
        assert expansions(b) == DEPTH + 1 <= expansions(c) <= expansions(a)
        assert a.ledger.scorer.calls == 0, "scores that nothing reads are not paid"
    assert sum(map(expansions, blind.solutions)) > sum(map(expansions, exact.solutions))


def test_an_estimate_that_falls_short_may_miss_the_best_path() -> None:
    result = solve(Likely(), problems(10), BestFirst(MANY, utility="logprob"), Rest(scale=5.0))
    missed = [
        s for s in result.solutions if leaf_of(s) != max(LEAVES, key=lambda x: likelihood(s.problem, x))
    ]
    assert missed


OPTIONS = {"": ["a", "b"], "a": ["!1", "c"], "b": ["!2", "d"], "bd": ["!3", "!3"], "ac": ["!4", "!4"]}


def test_the_first_finished_one_to_come_up_wins_and_not_the_first_to_be_written() -> None:
    marks = {"a": 0.9, "b": 0.6, "a!1": 0.5, "ac": 0.4, "b!2": 0.7, "bd": 0.1}
    s = run(BestFirst(2), OPTIONS, marks)
    assert asked(s) == {"": 2, "a": 2, "b": 2}
    assert s.answer == "2"
    assert [c.answer for c in s.candidates] == ["1", "2"]


@pytest.mark.parametrize(
    "utility, weight, answer", [("none", 1.0, "3"), ("min", 0.0, "3"), ("max", 0.5, "4"), ("last", 0.0, "3")]
)
def test_the_priority_is_what_the_path_is_worth_plus_what_is_to_come(
    utility: str, weight: float, answer: str
) -> None:
    marks = {"a": 0.9, "b": 0.6, "ac": 0.2, "ac!4": 0.8, "a!1": 0.1, "bd": 0.5, "bd!3": 0.5, "b!2": 0.3}
    s = run(BestFirst(2, utility=utility, weight=weight), OPTIONS, marks)
    assert s.answer == answer
    worth = {"none": lambda r: 0.0, "min": min, "max": max, "last": lambda r: r[-1]}[utility]
    for node in s.tree.nodes[1:]:
        scores = [x for x in node.scores or () if x is not None]
        assert node.data["f"] == pytest.approx(worth(scores) + weight * scores[-1])


def test_step_rewards_and_values_may_come_from_two_scorers() -> None:
    rewards = {"a": 0.5, "b": 0.4, "a!1": 0.5, "ac": 0.5, "b!2": 0.4, "bd": 0.4, "bd!3": 0.4}
    values = {"a": 0.1, "b": 0.9, "a!1": 0.0, "ac": 0.0, "b!2": 0.1, "bd": 0.9, "bd!3": 1.0}
    both = Paired(Marks(rewards), Marks(values), "value")
    strategy = BestFirst(2, utility="mean", value="value")
    s = solve(Table(OPTIONS), [problem()], strategy, both).solutions[0]
    assert s.answer == "3"
    assert s.tree.nodes[1].data["f"] == pytest.approx(0.6)
    assert s.tree.nodes[2].data["f"] == pytest.approx(1.3)


def test_expansions_are_limited_and_the_best_finished_one_is_taken_then() -> None:
    marks = {"a": 0.9, "b": 0.8, "a!1": 0.1, "ac": 0.7, "b!2": 0.2, "bd": 0.6}
    s = run(BestFirst(2, expansions=3), OPTIONS, marks)
    assert asked(s) == {"": 2, "a": 2, "b": 2}
    assert s.answer == "2"


def test_a_finished_one_without_an_answer_is_passed_over() -> None:
    options = {"": ["?", "a"], "a": ["!1"]}
    s = run(BestFirst(2), options, {"?": 0.9, "a": 0.5, "a!1": 0.5})
    assert s.answer == "1"
    assert s.tree.nodes[1].data["why"] == "finished without an answer"


def test_depth_is_limited() -> None:
    s = run(BestFirst(1, max_steps=2), {"": ["a"], "a": ["b"]}, {"a": 0.5, "ab": 0.5})
    assert [n.status.value for n in s.tree.nodes[1:]] == ["live", "cut"]


def test_a_policy_without_log_probabilities_is_refused_where_they_are_needed() -> None:
    class Silent(TreePolicy):
        def _one(self, request):  # type: ignore[no-untyped-def]
            return replace(super()._one(request), logprobs=None)

    with pytest.raises(InputError, match="no log-probabilities"):
        solve(Silent(), problems(1), BestFirst(2, utility="logprob"), Oracle())


def test_open_prefixes_come_up_best_first() -> None:
    for s in solve(TreePolicy(), problems(6), BestFirst(3), Oracle()).solutions:
        order = list(dict.fromkeys(n.parent for n in s.tree.nodes[1:]))
        born = {i: min(n.id for n in s.tree.nodes[1:] if n.parent == i) for i in order}
        for earlier, later in pairwise(order[1:]):
            if (later or 0) < born[earlier]:
                assert s.tree[earlier or 0].data["f"] >= s.tree[later or 0].data["f"]
