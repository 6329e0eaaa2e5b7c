"""What every strategy keeps, whatever it does: the tests of each folder call these with their own strategies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

from preceptor.generation import Request
from preceptor.search import SolveResult, Status, Strategy, solve
from preceptor.trace import Finish, Problem, Verdict
from preceptor.usage import Budget
from tests.search.toy import Oracle, TreePolicy, problems

Search = Callable[[list[Problem]], SolveResult]
BUDGETS = (
    Budget(),
    *(Budget(tokens=t) for t in (0, 1, 7, 23, 60, 111, 300)),
    *(Budget(calls=c) for c in (0, 1, 5, 9)),
    *(Budget(scored=s) for s in (0, 90, 400)),
)


def searching(strategy: Strategy, budget: Budget | None = None) -> Search:
    return lambda ps: solve(TreePolicy(), ps, strategy, Oracle(), budget)


def outcome(result: SolveResult) -> dict[str, object]:
    return {s.problem.id: (s.answer, s.tree.to_record(), s.stop) for s in result.solutions}


def order_and_splits_change_nothing(search: Search, n: int = 5) -> None:
    ps = problems(n)
    together, backwards = outcome(search(ps)), outcome(search(ps[::-1]))
    apart: dict[str, object] = {}
    for p in ps:
        apart |= outcome(search([p]))
    assert together == backwards == apart


def gold_is_not_read(search: Search, n: int = 5) -> None:
    ps = problems(n)
    without = search([replace(p, gold=None) for p in ps])
    assert outcome(search(ps)) == outcome(without)
    assert without.decided == 0
    assert without.accuracy is None


def requests_are_distinct(sent: Iterable[Iterable[Request]]) -> None:
    seen = Counter((r.problem.id, r.prefix, r.draw) for batch in sent for r in batch)
    assert max(seen.values()) == 1


def every_token_is_in_the_ledger(strategy: Strategy, asides: Collection[str] = ()) -> None:
    """Under every budget, which holds. `asides`: roles of nodes that are never a candidate."""
    for budget in BUDGETS:
        policy = TreePolicy()
        result = solve(policy, problems(3), strategy, Oracle(), budget)
        for s in result.solutions:
            assert s.ledger == s.tree.ledger
            assert s.ledger.policy.generated == sum(len(n.text) - n.inserted for n in s.tree.nodes)
            assert budget.tokens is None or s.ledger.policy.generated <= budget.tokens
            assert budget.calls is None or s.ledger.policy.calls <= budget.calls
            assert budget.scored is None or s.ledger.scorer.scored <= budget.scored
            for c in s.candidates:
                assert c.trace.finish is Finish.STOP
                assert s.tree[c.node].status is Status.DONE
                assert s.tree[c.node].role not in asides
        assert result.ledger.policy.calls == sum(map(len, policy.sent))


def a_dead_problem_spoils_no_other(strategy: Strategy) -> None:
    # by the prompt: a strategy's own questions about a problem have ids of their own
    policy = TreePolicy(fails=lambda r: "toy1" in r.problem.prompt)
    good, bad, also_good = solve(policy, problems(3), strategy, Oracle()).solutions
    assert (bad.grade.verdict, bad.stop) == (Verdict.UNDECIDED, "failed")
    assert good.answer is not None
    assert also_good.answer is not None
