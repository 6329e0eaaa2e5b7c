"""Untrained reward models of tokens, and what any search has to keep to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from preceptor.generation import Policy
from preceptor.judgement import Scorer, Source
from preceptor.reward import PRM
from preceptor.reward.model import build
from preceptor.reward.objectives import OBJECTIVES
from preceptor.search import Status, Strategy, solve
from preceptor.trace import Problem
from preceptor.usage import Budget


def reward_model(backbone: Path, objective: str, seed: int = 0) -> PRM:
    """What the objective trains, before it is trained: random values that differ from token to token."""
    wanted = OBJECTIVES[objective]
    torch.manual_seed(seed)
    model, tokenizer, fmt = build(
        backbone, question=wanted.question, head=wanted.head, link=wanted.link, layout=wanted.layout
    )
    if objective == "saffron":
        with torch.no_grad():
            model.head.bias.normal_()
    return PRM(model.eval(), tokenizer, fmt, Source(objective, str(seed)))


def outcomes(result: Any) -> dict[str, Any]:
    """What must not depend on the batch: answers, texts, statuses; costs of shared prefixes may."""
    return {
        s.problem.id: (
            s.answer,
            s.stop,
            [(n.text, n.status, n.role, n.parent, n.canon) for n in s.tree.nodes],
        )
        for s in result.solutions
    }


def check_search(
    policy: Callable[[], Policy],
    problems: Sequence[Problem],
    strategy: Strategy,
    scorer: Callable[[], Scorer | None] = lambda: None,
    budgets: Sequence[int] = (0, 5, 17, 40, 90, 10_000),
) -> None:
    """Batch invariance, the ledger's identity, and token budgets that are never exceeded."""
    together = outcomes(solve(policy(), problems, strategy, scorer()))
    backwards = outcomes(solve(policy(), problems[::-1], strategy, scorer()))
    apart: dict[str, Any] = {}
    for problem in problems:
        apart |= outcomes(solve(policy(), [problem], strategy, scorer()))
    assert together == backwards == apart
    for tokens in budgets:
        for s in solve(policy(), problems, strategy, scorer(), Budget(tokens=tokens)).solutions:
            assert s.ledger.policy.generated <= tokens
            assert s.ledger == s.tree.ledger
            assert s.ledger.policy.generated == sum(n.usage.generated for n in s.tree.nodes)
            assert s.finished == len(s.tree.having(Status.DONE))
            assert all(n.data.get("why") for n in s.tree.having(Status.PRUNED))
