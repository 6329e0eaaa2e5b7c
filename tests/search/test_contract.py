"""Specifies what the engine offers to strategies beyond the built-in ones, by small strategies that use it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import pytest

from preceptor.generation import Sampling
from preceptor.search import Ask, BestOfN, Greedy, Majority, Node, Search, Status, StepBeam, Strategy, solve
from preceptor.search.duplicates import merge, prefer_distinct
from preceptor.search.strategy import elect, steps
from preceptor.segment import segment
from preceptor.trace import Finish
from preceptor.usage import Budget
from tests.search.toy import Oracle, TreePolicy, problems


@dataclass(frozen=True)
class Slices(Strategy):
    """Greedy decoding, a few tokens at a time."""

    tokens: int = 4
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.0))

    def select(self, search: Search) -> list[Ask]:
        unit = replace(self.sampling, max_tokens=self.tokens)
        start = [search.tree.root] if search.round == 0 else search.leaves
        return [Ask(node, 1, unit, resume=True) for node in start]

    def choose(self, search: Search) -> Node | None:
        return elect(search.done, "majority")


@dataclass(frozen=True)
class Rewrite(Strategy):
    """A draft, a critique under another prompt, a second try from the end of the draft's first step."""

    needs_scorer: ClassVar[bool] = True
    sampling: Sampling = field(default_factory=Sampling)
    insert: str = ""

    def select(self, search: Search) -> list[Ask]:
        if search.round == 0:
            return [Ask(search.tree.root, 1, self.sampling, role="solution")]
        draft = search.tree[1]
        if search.round == 1:
            other = replace(search.problem, prompt=f"Criticize: {search.tree.path(draft).text}")
            return [Ask(draft, 1, self.sampling, role="critique", start=0, problem=other)]
        if search.round == 2:
            cut = search.tree.path(draft).ends[0]
            return [Ask(draft, 2, self.sampling, role="solution", start=cut, insert=self.insert)]
        return []

    def to_score(self, search: Search, kids: Sequence[Node]) -> list[Node]:
        return [k for k in kids if k.role == "solution"]

    def backup(self, search: Search, kids: Sequence[Node]) -> None:
        for kid in kids:
            for node in search.tree.lineage(kid):
                node.visits += 1
                node.value_sum += (kid.scores or (0.0,))[-1] or 0.0

    def candidates(self, search: Search) -> list[Node]:
        return [n for n in search.done if n.role == "solution"]

    def choose(self, search: Search) -> Node | None:
        return elect(self.candidates(search), "bon")


@dataclass(frozen=True)
class Resampling(Strategy):
    """Particles that are redrawn with replacement by the strategy's own randomness after every step."""

    needs_scorer: ClassVar[bool] = True
    n: int = 6
    sampling: Sampling = field(default_factory=Sampling)

    def select(self, search: Search) -> list[Ask]:
        sampling = steps(self.sampling, search.problem)
        if search.round == 0:
            return [Ask(search.tree.root, self.n, sampling)]
        particles = search.leaves
        if not particles:
            return []
        drawn = search.rng("resample", search.round).integers(len(particles), size=self.n)
        return [Ask(node, int((drawn == i).sum()), sampling) for i, node in enumerate(particles)]

    def choose(self, search: Search) -> Node | None:
        return elect(search.done, "weighted")


def test_resumed_slices_join_into_the_greedy_text_with_its_steps() -> None:
    ps = problems(10)
    for tokens in (1, 4, 7):
        sliced = solve(TreePolicy(), ps, Slices(tokens))
        greedy = solve(TreePolicy(), ps, Greedy())
        for a, b in zip(sliced.solutions, greedy.solutions, strict=True):
            assert a.chosen is not None
            assert b.chosen is not None
            assert (a.chosen.text, a.chosen.steps, a.chosen.token_ids) == (
                b.chosen.text,
                b.chosen.steps,
                b.chosen.token_ids,
            )
            assert a.ledger.policy.generated == b.ledger.policy.generated


def test_a_rewrite_keeps_the_prefix_it_branches_from_and_its_sampled_ids() -> None:
    policy = TreePolicy()
    result = solve(policy, problems(4), Rewrite(), Oracle())
    assert policy.sent[1][0].problem.prompt.startswith("Criticize: go ")
    assert policy.sent[1][0].problem.id == "toy0"
    for s in result.solutions:
        draft, critique, *tries = s.tree.nodes[1:]
        assert critique.role == "critique"
        assert critique.scores is None
        assert s.tree.path(critique).text == critique.text
        first = s.tree.path(draft).text[: s.tree.path(draft).ends[0]]
        for node in tries:
            path = s.tree.path(node)
            assert path.text == first + node.text
            assert path.token_ids == tuple(map(ord, path.text))
            assert s.tree.trace(node).steps == segment(s.problem, path.text)
        assert s.finished == 3
        assert s.tree.root.visits == 4
        assert draft.visits == 4


def test_inserted_text_is_part_of_the_path_and_not_of_what_was_sampled() -> None:
    policy = TreePolicy()
    result = solve(policy, problems(4), Rewrite(insert="go a\n"), Oracle())
    assert all(r.prefix.endswith("go a\n") and r.prefix_ids is None for r in policy.sent[2])
    for s in result.solutions:
        for node in s.tree.nodes[3:]:
            assert node.text.startswith("go a\n")
            assert node.inserted == 5
            assert node.usage.generated == len(node.text) - 5
            assert s.tree.path(node).token_ids is None
            trace = s.tree.trace(node)
            assert trace.steps == segment(s.problem, trace.text)


def test_resampled_copies_of_a_prefix_get_draws_of_their_own() -> None:
    policy = TreePolicy()
    result = solve(policy, problems(6), Resampling(), Oracle())
    seen = [(r.problem.id, r.prefix, r.draw) for batch in policy.sent for r in batch]
    assert len(seen) == len(set(seen))
    again = solve(TreePolicy(), problems(6)[::-1], Resampling(), Oracle())
    assert {s.problem.id: s.answer for s in result.solutions} == {
        s.problem.id: s.answer for s in again.solutions
    }


@pytest.mark.parametrize("strategy", [Slices(), Rewrite(), Resampling()], ids=str)
def test_budgets_and_ledgers_hold_for_strategies_the_engine_does_not_know(strategy: Strategy) -> None:
    for tokens in (0, 7, 30, 55, 500):
        for s in solve(TreePolicy(), problems(3), strategy, Oracle(), Budget(tokens=tokens)).solutions:
            assert s.ledger == s.tree.ledger
            assert s.ledger.policy.generated <= tokens


def test_a_step_cut_by_the_budget_is_not_live() -> None:
    s = solve(TreePolicy(), problems(1), StepBeam(2, 2), Oracle(), Budget(tokens=13)).solutions[0]
    assert [n.status for n in s.tree.nodes[1:]] == [Status.LIVE, Status.LIVE, Status.CUT]
    assert s.tree.nodes[3].finish is Finish.LENGTH
    assert s.unserved == 1
    assert s.stop == "budget:tokens"


def _with_texts(texts: str) -> tuple[Search, list[Node]]:
    s = solve(TreePolicy(), problems(1), Majority(1)).solutions[0]
    search = Search(s.problem, Majority(1), Budget(), 0, s.tree)
    for text in texts:
        s.tree.nodes.append(Node(len(s.tree), 0, text, ends=(1,)))
    return search, s.tree.nodes[2:]


def test_distinct_prefixes_come_before_repeats_and_repeats_fill_the_rest() -> None:
    search, nodes = _with_texts("aabbc")
    assert "".join(n.text for n in prefer_distinct(search, nodes)) == "abcab"
    assert {n.text for n in prefer_distinct(search, nodes)[:3]} == set("abc")


def test_merged_duplicates_are_counted_on_the_first_and_stay_in_the_tree() -> None:
    search, nodes = _with_texts("aabbc")
    kept = merge(search, nodes)
    assert [(n.text, n.multiplicity) for n in kept] == [("a", 2), ("b", 2), ("c", 1)]
    assert [n.status for n in nodes] == [Status.LIVE, Status.PRUNED] * 2 + [Status.LIVE]
    assert nodes[1].data == {"duplicate_of": nodes[0].id}


def test_a_strategy_is_named_by_the_settings_that_matter() -> None:
    assert str(BestOfN(4)) == "BestOfN(n=4, aggregate='last')"
    assert str(Majority(None, batch=3)) == "Majority(n=None, batch=3)"
    assert str(Greedy()) == "Greedy()"
