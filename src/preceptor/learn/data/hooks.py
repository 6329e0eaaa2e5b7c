"""What a loop calls around sampling: problems before it, graded attempts behind it.

    problems = hook.prepare(problems, step)     one problem out for each in, in order
    items = hook.amend(items_of(traces), source)

`prepare` returns problems that stand for the given ones (a start further on, a chain, a task of its own) with ids of
their own, so that each is its own group. `amend` returns the items in their order, some replaced, new ones behind
them; a loop of fixed batch size drops what is beyond `len(items)`. A loop computes group statistics *after* `amend`,
from `Item.rollout`, and trains token `l` of an item with the clipped ratio, or where `off_policy[l]` with
`supervised.losses.shaped`. What a hook asks of any policy is added to `source.usage`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from preceptor.credit import Rollout, rollout_of
from preceptor.generation import Continuation, Policy, Reader, Request, Sampling
from preceptor.trace import Finish, Problem, Trace, content_id
from preceptor.usage import Usage


@dataclass(frozen=True)
class Item:
    """One attempt as the update sees it."""

    trace: Trace
    group: str
    """Items with the same one are each other's baseline."""
    outcome: float | None
    """Reward; None: unknown, in no statistic and not trained on."""
    model_mask: tuple[bool, ...] | None = None
    """False: context, no loss on this token. None: every token is trained, but for what an environment wrote, which
    `trace.sampled` says and no hook has to repeat."""
    off_policy: tuple[bool, ...] | None = None
    """True: not sampled by the policy in training. None: no such token."""
    note: str = ""
    """What a hook did, one word to count by."""

    @property
    def rollout(self) -> Rollout:
        """As `preceptor.credit` reads it; what an environment wrote is masked whatever `model_mask` says."""
        made, mask = rollout_of(self.trace), self.model_mask
        if mask is not None and made.model_mask is not None:
            mask = tuple(a and b for a, b in zip(mask, made.model_mask, strict=True))
        return replace(made, prompt_id=self.group, outcome=self.outcome, model_mask=mask or made.model_mask)


class Source(Protocol):
    """Who samples for the loop; `learn.rollouts.RolloutSource` is one."""

    policy: Any
    """A `Policy`: the weights as they are now."""
    sampling: Sampling
    seed: int
    usage: Usage


class Prepare(Protocol):
    def __call__(self, problems: Sequence[Problem], step: int) -> list[Problem]: ...


class Amend(Protocol):
    def __call__(self, items: Sequence[Item], source: Source) -> list[Item]: ...


def items_of(traces: Sequence[Trace]) -> list[Item]:
    """Graded traces as they were sampled: grouped by problem, correct 1, incorrect 0, the others None."""
    return [Item(t, t.problem.id, outcome_of(t)) for t in traces]


def outcome_of(trace: Trace) -> float | None:
    """1 correct, 0 incorrect, None undecided, ungraded or failed."""
    if trace.error is not None or trace.grade is None or not trace.grade.decided:
        return None
    return float(trace.grade.correct)


def about(problem: Problem, prompt: str, purpose: str) -> Problem:
    """A question about a problem, with an id of its own; ungraded, without reference and world."""
    name = content_id(purpose, problem.id, prompt)
    return Problem(prompt, id=name, grader=problem.grader, segmenter=problem.segmenter)


def ask(source: Source, policy: Policy, requests: Sequence[Request]) -> list[Continuation]:
    """One batched call, paid by the source; no call for no request."""
    if not requests:
        return []
    answers = policy.generate(requests)
    source.usage += sum((a.usage for a in answers), Usage())
    return answers


def in_own_tokens(
    source: Source, requests: Sequence[Request], answers: Sequence[Continuation]
) -> list[Continuation]:
    """What another writer continued, in the tokens of the policy in training; log-probabilities become unknown.

    A policy that cannot read given text is taken to share the writer's tokens.
    """
    policy, out = source.policy, [replace(a, logprobs=None) for a in answers]
    read = [k for k, a in enumerate(answers) if a.error is None and a.text]
    if not isinstance(policy, Reader) or not read:
        return out
    end = getattr(getattr(policy, "tokenizer", None), "eos_token_id", None)
    seen = policy.likelihood([requests[k] for k in read], [answers[k].text for k in read])
    for k, found in zip(read, seen, strict=True):
        source.usage += found.usage
        if found.error is not None:
            out[k] = Continuation("", Finish.ERROR, usage=answers[k].usage, error=found.error)
            continue
        ids, ends = found.token_ids, found.token_ends
        if answers[k].finish is Finish.STOP and end is not None:
            ids, ends = (*ids, end), (*ends, len(answers[k].text))
        out[k] = replace(out[k], token_ids=ids, token_ends=ends)
    return out
