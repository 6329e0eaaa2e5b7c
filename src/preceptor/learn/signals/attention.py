"""AttnRL: branch where later steps look back to (abstract index 54, repo RyanLiu112/AttnRL).

`responses` (6) are sampled of each problem; ceil(6 exp(-accuracy)) of them, the rarer outcome first, are branched at
two steps that later steps attend to, by `credit.ops.attnrl`: each branch is a continuation from before the step. A
problem that all responses solve is expanded only when the mean score of its steps is above the running mean of such
problems, else it gives nothing. A response with too few steps is branched at the prompt (ours), so the number of
sequences is exact. Undecided responses are in no accuracy and are branched last.

Left out: the adapted number of prompts and the one-step-old schedule, which are a loop's. Cost: 6 to 18 sequences a
problem, and one pass over each of the 6 with `eager` attention, whose memory is quadratic in the length.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from preceptor.credit import rollout_of
from preceptor.credit.ops.attnrl import Solved, branch_points, expansions, influence
from preceptor.errors import InputError
from preceptor.generation import Sampling
from preceptor.learn.signals.branching import Place, grow, prefix_of
from preceptor.policy.render import prompt_ids
from preceptor.reward.probes.states import reading, usage_of
from preceptor.trace import Problem, Trace
from preceptor.usage import Usage


def step_influence(policy: Any, trace: Trace, offset: int = 1) -> tuple[list[float], Usage]:
    """One score a step, from a pass over the sampled ids. InputError for a trace without them.

    The averages over query and key tokens are taken on the model's device, one layer at a time.
    """
    if trace.token_ids is None:
        raise InputError(f"trace {trace.id}: got no sampled token ids, expected them to read attention from.")
    prompt = prompt_ids(policy.tokenizer, trace.problem)
    ids = [*prompt, *trace.token_ids]
    owner = torch.zeros(len(ids), len(trace.steps) + 1, device=policy.model.device)
    owner[: len(prompt), 0] = 1.0
    for k, (a, b) in enumerate(rollout_of(trace).spans, 1):
        owner[len(prompt) + a : len(prompt) + b, k] = 1.0
    owner /= owner.sum(0).clamp_min(1.0)
    row = torch.tensor([ids], device=policy.model.device)
    with reading(policy, eager=True):
        layers = policy.model(input_ids=row, output_attentions=True, use_cache=False).attentions
        means = torch.cat([owner.T @ layer[0].float() @ owner for layer in layers])
    end = trace.text.find("</think>")
    thinking = 1 + sum(end < 0 or step.start <= end for step in trace.steps)
    scores = influence(means.cpu().numpy(), offset, thinking)[1:]
    return scores.tolist(), usage_of(policy, len(ids))


@dataclass(eq=False)
class AttentionTree:
    """Samples trees. `spent` adds up; `solved` is the running mean score of problems that all responses solved."""

    policy: Any
    """A local policy: its model is looked into."""
    responses: int = 6
    positions: int = 2
    percentile: float = 80.0
    apart: int = 512
    offset: int = 1
    sampling: Sampling = field(default_factory=Sampling)
    solved: Solved = field(default_factory=Solved, init=False)
    spent: Usage = field(default_factory=Usage, init=False)

    def __post_init__(self) -> None:
        if min(self.responses, self.positions, self.offset) < 1 or not 0 <= self.percentile <= 100:
            raise InputError(
                f"attention tree: got {self}, expected numbers >= 1 and a percentile in [0, 100]."
            )

    def expected(self, accuracy: float) -> int:
        """Sequences of a problem that is expanded."""
        return self.responses + self.positions * expansions(accuracy, self.responses)

    def sample(self, problems: Sequence[Problem], seed: int = 0, writer: str = "") -> list[list[Trace]]:
        """`expected(accuracy)` graded traces a problem, the branches last; none for one that is left out. Two
        batched calls."""
        n = self.responses
        asked = [(p, Place(None, 0, d)) for p in problems for d in range(n)]
        made = grow(self.policy, [p for p, _ in asked], [at for _, at in asked], self.sampling, seed, writer)
        trees = [made[k * n : (k + 1) * n] for k in range(len(problems))]
        plans = [self._plan(tree, [self._scores(t) for t in tree]) for tree in trees]
        more = [(p, at) for p, plan in zip(problems, plans, strict=True) for at in plan or ()]
        grown = grow(self.policy, [p for p, _ in more], [at for _, at in more], self.sampling, seed, writer)
        self.spent = sum((t.usage for t in (*made, *grown)), self.spent)
        branches = iter(grown)
        return [
            [] if plan is None else [*tree, *(next(branches) for _ in plan)]
            for tree, plan in zip(trees, plans, strict=True)
        ]

    def _scores(self, trace: Trace) -> list[float]:
        if trace.error is not None or not trace.token_ids:
            return [0.0] * len(trace.steps)
        scores, usage = step_influence(self.policy, trace, self.offset)
        self.spent += usage
        return scores

    def _plan(self, tree: Sequence[Trace], scores: Sequence[Sequence[float]]) -> list[Place] | None:
        """Where to branch; None for a problem to leave out."""
        known = [t.grade.correct if t.grade is not None and t.grade.decided else None for t in tree]
        right, decided = known.count(True), len(known) - known.count(None)
        if decided and right == decided:
            every = [s for row in scores for s in row]
            expand, self.solved = self.solved(math.fsum(every) / len(every) if every else 0.0)
            if not expand:
                return None
        rare = right * 2 < decided
        order = sorted(range(len(tree)), key=lambda i: (known[i] is None, known[i] is not rare, i))
        used = Counter({"": self.responses})
        plan = []
        for i in order[: expansions(right / decided if decided else 0.0, len(tree))]:
            for t in self._points(tree[i], scores[i]):
                prefix = prefix_of(tree[i], t)[1]
                plan.append(Place(tree[i], t, used[prefix]))
                used[prefix] += 1
        return plan

    def _points(self, trace: Trace, scores: Sequence[float]) -> list[int]:
        """`positions` steps to cut before; 0 is the prompt."""
        found: list[int] = []
        if trace.error is None and trace.token_ids:
            starts = [a for a, _ in rollout_of(trace).spans]
            found = branch_points(np.array(scores), starts, self.positions, self.percentile, self.apart)
        return (found + [0] * self.positions)[: self.positions]
