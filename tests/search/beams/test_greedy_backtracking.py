"""Specifies greedy search with backtracking: what each class of step costs, and what is never tried again."""

from __future__ import annotations

from preceptor.search import Greedy, Majority, solve
from preceptor.search.beams import GreedyBacktracking
from preceptor.usage import Budget
from tests.search.beams.tables import Marks, Table, asked, path, paths, run
from tests.search.toy import Oracle, TreePolicy, problem, problems


def test_a_scorer_that_always_says_yes_costs_one_chain_of_thought() -> None:
    ps = problems(10)
    result = solve(TreePolicy(), ps, GreedyBacktracking(), Oracle(constant=1.0))
    chain = solve(TreePolicy(), ps, Majority(1))
    for a, b in zip(result.solutions, chain.solutions, strict=True):
        assert a.chosen is not None
        assert b.chosen is not None
        assert a.chosen.text == b.chosen.text
        assert a.ledger.policy.generated == b.ledger.policy.generated
        assert a.ledger.policy.calls == 4


def test_a_scorer_that_always_says_no_ends_in_a_plain_chain_of_thought() -> None:
    ps = problems(6)
    result = solve(TreePolicy(), ps, GreedyBacktracking(5, 20), Oracle(constant=0.0))
    greedy = solve(TreePolicy(), ps, Greedy())
    for a, b in zip(result.solutions, greedy.solutions, strict=True):
        assert (a.answer, a.chosen and a.chosen.text) == (b.answer, b.chosen and b.chosen.text)
        first = [n for n in a.tree.nodes[1:] if n.role == "step"]
        assert len(first) == 20
        assert {n.parent for n in first} == {0}
        assert a.finished == 1
        assert a.ledger.policy.generated == sum(len(n.text) for n in a.tree.nodes)
        assert a.ledger.scorer.calls <= 2, "a text that was rejected is not scored again"


def test_a_neutral_step_waits_until_the_tries_are_used_up_and_the_best_one_is_taken() -> None:
    options = {"": ["a", "b", "c", "d"], "b": ["!2"]}
    marks = {"a": 0.4, "b": 0.6, "c": 0.1, "d": 0.9, "b!2": 0.9, "d!4": 0.9}
    s = run(GreedyBacktracking(3, 20), options, marks)
    assert asked(s) == {"": 3, "b": 1}
    assert s.answer == "2"
    assert paths(s) == {"a": "live", "b": "live", "c": "rejected", "b!2": "done"}
    assert [n.data.get("class") for n in s.tree.nodes[1:]] == ["neutral", "neutral", "negative", "positive"]
    sooner = run(GreedyBacktracking(4, 20), options | {"d": ["!4"]}, marks)
    assert asked(sooner) == {"": 4, "d": 1}, "a positive one is taken at once"


def test_a_dead_end_is_left_and_never_entered_again() -> None:
    options = {"": ["a", "a", "a", "b", "b"], "a": ["x", "y"], "b": ["!2"]}
    marks = {"a": 0.9, "b": 0.8, "ax": 0.1, "ay": 0.0, "b!2": 0.9}
    policy, scorer = Table(options), Marks(marks)
    s = solve(policy, [problem()], GreedyBacktracking(4, 30), scorer).solutions[0]
    assert asked(s) == {"": 4, "a": 4, "b": 1}
    assert s.answer == "2"
    dead = s.tree.nodes[1]
    assert (dead.status.value, dead.data["why"]) == ("rejected", "no continuation held")
    prefixes = [r.prefix for batch in policy.sent for r in batch]
    last = max(i for i, prefix in enumerate(prefixes) if prefix == "step a\n")
    assert all(prefix in ("", "step b\n") for prefix in prefixes[last + 1 :])
    again = [n for n in s.tree.nodes[2:] if path(n.text) == "a" and n.parent == 0]
    assert [(n.status.value, n.data["duplicate_of"]) for n in again] == [("pruned", 1)] * 2
    assert sum(t.text == "step a\n" for t in scorer.sent) == 1


def test_backtracking_goes_on_upwards_with_the_tries_that_are_left() -> None:
    options = {"": ["a", "b"], "a": ["c", "d"], "ac": ["x", "y"], "ad": ["x", "y"], "b": ["!1"]}
    marks = {"a": 0.9, "ac": 0.9, "ad": 0.1, "acx": 0.0, "acy": 0.0, "b": 0.9, "b!1": 0.9}
    s = run(GreedyBacktracking(2, 30), options, marks)
    assert asked(s) == {"": 2, "a": 2, "ac": 2, "b": 1}
    assert paths(s)["a"] == paths(s)["ac"] == "rejected"
    assert s.answer == "1"


def test_a_held_neutral_is_next_when_the_accepted_one_dies() -> None:
    options = {"": ["a", "b", "b"], "a": ["!1"], "b": ["x", "y"]}
    marks = {"a": 0.5, "b": 0.9, "bx": 0.0, "by": 0.1, "a!1": 0.9}
    s = run(GreedyBacktracking(2, 30), options, marks)
    assert s.answer == "1"
    assert asked(s) == {"": 2, "b": 2, "a": 1}


def test_three_classes_are_read_from_any_scale_and_an_unscored_step_is_no_verdict() -> None:
    options = {"": ["a", "b", "c"], "b": ["!2"], "c": ["!3"], "a": ["!1"]}
    ternary = GreedyBacktracking(2, 20, positive=0.5, negative=-0.5)
    s = run(ternary, options, {"a": -1.0, "b": 0.0, "b!2": 1.0})
    assert [n.data["class"] for n in s.tree.nodes[1:]] == ["negative", "neutral", "positive"]
    unscored = run(GreedyBacktracking(2, 20), options, {"b": 0.4, "b!2": 0.9})
    assert [n.data["class"] for n in unscored.tree.nodes[1:]] == ["neutral", "neutral", "positive"]
    assert unscored.answer == "2", "a scored neutral comes before an unscored one"


def test_a_rejected_solution_is_no_candidate() -> None:
    s = run(GreedyBacktracking(3, 20), {"": ["!1", "!2"]}, {"!1": 0.1, "!2": 0.9})
    assert [c.answer for c in s.candidates] == ["2"]
    assert paths(s) == {"!1": "rejected", "!2": "done"}


def test_samples_end_where_the_budget_does() -> None:
    result = solve(TreePolicy(), problems(3), GreedyBacktracking(), Oracle(constant=0.0), Budget(calls=7))
    assert all(s.stop == "budget:calls" and s.answer is None for s in result.solutions)
