"""Self-training: search with the policy, train on what it found, and again.

`search_round` is one round of `mcts_nll` or, with a value head, of `alphamath`; `rest_mcts_round` trains a policy and
a reward model; `until_no_gain` repeats a round while a measure rises; `dagger` collects and clones. Searches are
deterministic, so a killed round that is called again makes the same rows and goes on with training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.errors import InputError
from preceptor.generation import Policy
from preceptor.judgement import Scorer
from preceptor.learn.data import rest_mcts
from preceptor.learn.data.dagger import betas, collect
from preceptor.learn.data.rows import Row
from preceptor.learn.supervised.train import SupervisedResult, train_supervised
from preceptor.policy.load import load_policy
from preceptor.search import SolveResult, Strategy, Tree, solve
from preceptor.search.trees.rest_mcts import RestMcts
from preceptor.trace import Problem
from preceptor.usage import Budget

if TYPE_CHECKING:
    from preceptor.reward import PRM


@dataclass(frozen=True)
class Round:
    """One round's policy and what it was made of."""

    policy: SupervisedResult
    search: SolveResult
    scorer: Scorer | PRM | None = None
    """The value model of the next round, where the method trains one."""


def search_round(
    policy: Any,
    problems: Sequence[Problem],
    *,
    out: str | Path,
    strategy: Strategy,
    rows: Callable[[Tree], list[Row]],
    scorer: Scorer | None = None,
    budget: Budget | None = None,
    seed: int = 0,
    **training: Any,
) -> Round:
    """Search every problem, train on `rows` of every tree.

    mcts_nll:   strategy=AlphaMathTraining(), rows=mcts_nll.tree_rows
    alphamath:  strategy=AlphaMathTraining(), rows=alphamath.tree_rows, value_weight=0.1; `scorer`: the round before's

    `training` goes to `train_supervised`. With `value_weight` the round has a scorer: its own value head.
    """
    policy = _loaded(policy)
    found = solve(policy, problems, strategy, scorer, budget, seed)
    made = [row for s in found.solutions for row in rows(s.tree)]
    if not made:
        raise InputError(
            f"{strategy}: got no row out of {len(problems)} trees, expected solutions to learn from."
        )
    trained = train_supervised(policy, made, out=out, seed=seed, **training)
    value: Scorer | None = None
    if training.get("value_weight") is not None:
        from preceptor.learn.supervised.value import ValueScorer

        value = ValueScorer.of_run(Path(out))
    return Round(trained, found, value)


def rest_mcts_round(
    policy: Any,
    problems: Sequence[Problem],
    scorer: Scorer,
    *,
    out: str | Path,
    strategy: RestMcts | None = None,
    budget: Budget | None = None,
    objective: str = "soft-ce",
    reward_settings: dict[str, Any] | None = None,
    seed: int = 0,
    **training: Any,
) -> Round:
    """MCTS* with the value model, then both are trained: the policy on right solutions, a new reward model on the
    values of all nodes (on the searched policy's weights, as it was before this round)."""
    from preceptor.reward import train

    policy = _loaded(policy)
    found = solve(policy, problems, strategy or RestMcts(), scorer, budget, seed)
    trees = [s.tree for s in found.solutions]
    labels = rest_mcts.value_labels(trees)
    rows = [row for tree in trees for row in rest_mcts.policy_rows(tree)]
    if not rows:
        raise InputError(
            f"rest-mcts: got no right solution of {len(problems)} problems, expected some to learn from."
        )
    prm = train(
        labels,
        backbone=policy,
        out=Path(out) / "reward",
        objective=objective,
        seed=seed,
        **(reward_settings or {}),
    )
    trained = train_supervised(policy, rows, out=Path(out) / "policy", seed=seed, **training)
    return Round(trained, found, prm)


def until_no_gain(
    one: Callable[[Any, int], Path], measure: Callable[[Any], float], policy: Any, most: int = 3
) -> list[tuple[Path, float]]:
    """(model, measure) of every round that was made, the last one without a gain included. `one(policy, k)` gives the
    model of round k."""
    best, made = measure(policy), []
    for k in range(most):
        model = one(policy, k)
        got = measure(model)
        made.append((model, got))
        if got <= best:
            break
        best, policy = got, model
    return made


def dagger(
    student: str | Path,
    teacher: Policy,
    problems: Sequence[Problem],
    *,
    out: str | Path,
    iterations: int = 3,
    most_turns: int = 32,
    seed: int = 0,
    **training: Any,
) -> list[SupervisedResult]:
    """DAgger: iteration k visits states with beta_k and trains the given student on the rows of all iterations so
    far."""
    rows: list[Row] = []
    results: list[SupervisedResult] = []
    for k, beta in enumerate(betas(iterations)):
        writer = _loaded(results[-1].model if results else student)
        rows += collect(
            writer, teacher, problems, beta=beta, iteration=k, most_turns=most_turns, seed=seed
        ).rows
        results.append(
            train_supervised(student, rows, out=Path(out) / f"iteration-{k}", seed=seed, **training)
        )
    return results


def _loaded(policy: Any) -> Any:
    return load_policy(str(policy), dtype="float32") if isinstance(policy, str | Path) else policy
