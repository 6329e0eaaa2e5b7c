"""One loop for every strategy, over all problems at once.

Each turn makes one call of the policy (and of each helper) with every request of every problem, and one call of
the scorer with every new node. Which problems share a batch, their order and how a budget cuts a batch change no
outcome: random streams belong to (seed, problem, prefix, draw). A request or a trace that fails alone is an error on
its node and the others go on. Left out: overlapping policy and scorer calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from preceptor.errors import BackendError, InputError, ItemError
from preceptor.generation import Continuation, Policy
from preceptor.grade import grade_many
from preceptor.judgement import Scorer
from preceptor.progress import Progress, silent
from preceptor.search.result import Candidate, Solution, SolveResult
from preceptor.search.state import Job, Search
from preceptor.search.strategy import Strategy
from preceptor.search.tree import Node, Tree
from preceptor.trace import Grade, Problem, Trace, Verdict
from preceptor.usage import Budget


class _Sent(NamedTuple):
    search: Search
    job: Job


def solve(
    policy: Policy,
    problems: Sequence[Problem],
    strategy: Strategy,
    scorer: Scorer | None = None,
    budget: Budget | None = None,
    seed: int = 0,
    progress: Progress = silent,
    helpers: Mapping[str, Policy] | None = None,
) -> SolveResult:
    """Search for an answer to each problem within `budget` (per problem; None: no limit).

    `helpers` are other policies that the strategy asks, by its names for them (`Strategy.helpers`); the policy
    itself stands in for those not given. Their tokens count as the policy's.

    Raises `InputError` for a strategy that lacks its scorer, that would never end, or whose problems share
    an id; `BackendError` when the policy or the scorer fails as a whole.
    """
    budget = budget or Budget()
    _check(problems, strategy, scorer, budget)
    policy = strategy.prepare(policy)
    others = dict(helpers or {})
    if unknown := sorted(set(others) - set(strategy.helpers)):
        raise InputError(f"{strategy}: helpers {unknown} are not asked; it asks {list(strategy.helpers)}")
    searches = [
        Search(p, strategy, budget, seed, Tree(p, policy=policy.fingerprint, seed=seed)) for p in problems
    ]
    turns = 0
    while active := [s for s in searches if s.stopped is None]:
        for search in active:
            if not search.pending:
                search.plan()
        sent = [_Sent(s, job) for s in active for job in s.wave()]
        new = _generate(policy, others, sent)
        if scorer is not None:
            _score(scorer, new, strategy)
        for search in active:
            search.settle()
        turns += bool(sent)
        ended = sum(s.stopped is not None for s in searches)
        tokens = sum(s.spent.policy.generated for s in searches)
        progress(ended, len(searches), f"turn {turns}, {tokens} tokens")
    return SolveResult(
        solutions=_conclude(searches),
        strategy=str(strategy),
        policy=policy.fingerprint,
        scorer=None if scorer is None else str(scorer.source),
        budget=budget,
        seed=seed,
        rounds=turns,
    )


def _check(problems: Sequence[Problem], strategy: Strategy, scorer: Scorer | None, budget: Budget) -> None:
    if strategy.needs_scorer and scorer is None:
        raise InputError(f"{strategy} chooses by step scores and got no scorer. Pass scorer=... (--scorer).")
    if strategy.asked is None and budget == Budget():
        raise InputError(
            f"{strategy} samples until the budget is spent and got none. Pass budget=Budget(...) (--budget)."
        )
    if len({p.id for p in problems}) != len(problems):
        raise InputError(
            f"solve: got {len(problems)} problems with {len({p.id for p in problems})} different ids, "
            "expected one id each: problems with the same id would share random streams."
        )


def _generate(
    policy: Policy, helpers: Mapping[str, Policy], sent: Sequence[_Sent]
) -> dict[int, tuple[Search, list[Node]]]:
    """One call of each policy that is asked; the new nodes by search (keyed by identity, in order)."""
    got: dict[int, Continuation] = {}
    for name in dict.fromkeys(s.job.ask.by for s in sent):
        asked, which = [i for i, s in enumerate(sent) if s.job.ask.by == name], helpers.get(name, policy)
        answers = which.generate([sent[i].job.request for i in asked])
        if len(answers) != len(asked):
            raise BackendError(
                f"policy {which.fingerprint}: got {len(answers)} answers to {len(asked)} requests"
            )
        got |= dict(zip(asked, answers, strict=True))
    new: dict[int, tuple[Search, list[Node]]] = {}
    for i, (search, job) in enumerate(sent):
        continuation = got[i]
        new.setdefault(id(search), (search, []))[1].append(search.grow(job, continuation))
    return new


def _score(scorer: Scorer, new: dict[int, tuple[Search, list[Node]]], strategy: Strategy) -> None:
    """One scorer call for the new nodes of all problems."""
    asked = [(s, n) for s, nodes in new.values() for n in s.admit(strategy.to_score(s, nodes))]
    judgements = scorer.score([s.tree.trace(n) for s, n in asked]) if asked else []
    if len(judgements) != len(asked):
        raise BackendError(f"scorer {scorer.source}: got {len(judgements)} judgements of {len(asked)} traces")
    for (search, node), judgement in zip(asked, judgements, strict=True):
        search.judge(node, judgement)


def _conclude(searches: Sequence[Search]) -> tuple[Solution, ...]:
    """Choose everywhere, and only then look at the gold answers."""
    winners = [s.strategy.choose(s) for s in searches]
    shown = []
    for search, winner in zip(searches, winners, strict=True):
        nodes = search.strategy.candidates(search)
        extra = [] if winner is None or winner in nodes else [winner]
        shown.append([(node, search.tree.trace(node)) for node in [*nodes, *extra]])
    traces = [trace for pairs in shown for _, trace in pairs]
    grades = iter(grade_many([(t.problem, t.text) for t in traces], [t.finish for t in traces]))
    return tuple(
        _solution(search, winner, [(node, trace.graded(next(grades))) for node, trace in pairs])
        for search, winner, pairs in zip(searches, winners, shown, strict=True)
    )


def _solution(search: Search, winner: Node | None, graded: list[tuple[Node, Trace]]) -> Solution:
    chosen = next((trace for node, trace in graded if node is winner), None)
    complete = search.strategy.candidates(search)
    error = None
    if chosen is None:
        error = search.error or (next(_errors(search), None) if not complete else None)
    return Solution(
        problem=search.problem,
        answer=None if winner is None else winner.answer,
        grade=_no_answer(search, error) if chosen is None or chosen.grade is None else chosen.grade,
        chosen=chosen,
        candidates=tuple(
            Candidate(n.id, trace, n.answer, n.canon, n.scores) for n, trace in graded if n in complete
        ),
        asked=search.strategy.asked,
        stop=search.stopped or "done",
        unserved=search.unserved,
        ledger=search.spent,
        tree=search.tree,
        error=error,
    )


def _errors(search: Search) -> Iterator[ItemError]:
    return (n.error for n in search.tree.nodes if n.error is not None)


def _no_answer(search: Search, error: ItemError | None) -> Grade:
    """Without a winner: wrong where a right answer is known, undecided where the policy failed."""
    if error is not None:
        return Grade(Verdict.UNDECIDED, f"policy failed: {error.kind}")
    if search.problem.gold is None:
        return Grade(Verdict.UNDECIDED, "no gold answer")
    return Grade(Verdict.INCORRECT, f"no finished solution gave an answer ({search.stopped})")
