r"""Supervised RL: the reward of the next action is its similarity to an expert's (abstract index 111).

Every prefix of an expert's solution is a task of its own: the policy thinks freely, closes its thinking with
`</think>`, and writes the next step. Reward = 2M / S, M the characters in matching blocks (longest first, then left
and right of it), S those of both texts; a text without exactly one marker, without an action or with one beyond
`LONGEST` characters gets -1. Thinking is not scored, and no rollout has to solve the problem. Groups whose rewards
spread (sample standard deviation) less than `least_std` are not trained on. Threshold: not found, 0.05 is the
catalogue's. The prompt is ours. Cost: S^2 in the worst case, milliseconds for a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from statistics import stdev

from preceptor.annotate.judges.verdict import fill
from preceptor.errors import InputError
from preceptor.learn.data.hooks import Item, Source, about
from preceptor.trace import Problem, stream_seed

BAD_FORMAT = -1.0
LONGEST = 2000
"""Characters of an action; a longer one is no step, and matching it would take seconds."""
PROMPT = """{problem}

The solution so far:
{steps}
Think about what comes next, end your thinking with {marker}, then write the next step alone."""


def similarity(action: str, expert: str) -> float:
    """2M / S in [0, 1]; two empty texts are equal.

    >>> similarity("12*7=84", "12*7=84"), similarity("abcd", "bc")
    (1.0, 0.6666666666666666)
    """
    return SequenceMatcher(None, action, expert, autojunk=False).ratio()


def action_of(text: str, marker: str = "</think>") -> str | None:
    """What follows the one marker, without the blanks around it; None for a bad format. An empty marker: the whole
    text is the action."""
    if marker and text.count(marker) != 1:
        return None
    action = (text.partition(marker)[2] if marker else text).strip()
    return action if 0 < len(action) <= LONGEST else None


def reward(text: str, expert: str, marker: str = "</think>") -> float:
    action = action_of(text, marker)
    return BAD_FORMAT if action is None else similarity(action, expert.strip())


@dataclass(frozen=True)
class SRL:
    """Hook: tasks out of problems with a reference, similarities for outcomes."""

    marker: str = "</think>"
    """Ends the thinking; "" for policies that do not think."""
    least_std: float = 0.05
    seed: int = 0

    def tasks(self, problem: Problem) -> list[Problem]:
        """One per step of the reference; `gold` is the expert's step."""
        return [self._task(problem, k) for k in range(len(problem.reference))]

    def _task(self, problem: Problem, k: int) -> Problem:
        steps = "".join(problem.reference[:k])
        prompt = fill(PROMPT, problem=problem.prompt, steps=steps, marker=self.marker)
        task = about(problem, prompt, "srl")
        return replace(
            task, gold=problem.reference[k].strip(), grader="exact", meta={"of": problem.id, "step": k}
        )

    def prepare(self, problems: Sequence[Problem], step: int) -> list[Problem]:
        """A random prefix of each problem; the draw depends on (seed, step, problem)."""
        for p in problems:
            if not p.reference:
                raise InputError(f"problem {p.id}: got no reference solution, expected steps to learn from.")
        cuts = [stream_seed("srl", self.seed, step, p.id) % len(p.reference) for p in problems]
        return [self._task(p, k) for p, k in zip(problems, cuts, strict=True)]

    def amend(self, items: Sequence[Item], source: Source) -> list[Item]:
        scored = [self._scored(item) for item in items]
        keep = spread(scored, self.least_std)
        return [x if x.group in keep else replace(x, outcome=None, note="flat-group") for x in scored]

    def _scored(self, item: Item) -> Item:
        if item.trace.error is not None:
            return replace(item, outcome=None)
        got = reward(item.trace.text, item.trace.problem.gold or "", self.marker)
        return replace(item, outcome=got, note="bad-format" if got == BAD_FORMAT else "")


def spread(items: Sequence[Item], least: float) -> set[str]:
    """Groups whose known outcomes have a sample standard deviation of at least `least`, and above 0."""
    groups: dict[str, list[float]] = {}
    for item in items:
        if item.outcome is not None:
            groups.setdefault(item.group, []).append(item.outcome)
    stds = {g: stdev(r) if len(r) > 1 else 0.0 for g, r in groups.items()}
    return {g for g, s in stds.items() if s >= least and s > 0}
