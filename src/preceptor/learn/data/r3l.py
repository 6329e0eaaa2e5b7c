"""R^3L: reflect on an attempt, retry from the step it went wrong, and credit what comes after (abstract index 136).

For each first attempt the policy writes an object that says whether the attempt is perfect and from which step to
retry (the pivot). Without a valid one there is no retry, nor for a perfect attempt (if its reward is 1 the reflection
becomes a sample of reward 1). A retry keeps the steps before the pivot and is written with the reflection in its
context; the copy that is trained stands behind the plain problem (distilled context), in the attempt's group. Tokens
before the pivot are masked in both. If the retry has reward 1 and beats the attempt, the reflection and the guided
retry become samples of reward 1, each its own group.

Advantage (`opmd_advantages`): s = R - mean of the group; 1 where R >= 1, alpha s where s >= 0, else s. Loss
(`supervised.losses.opmd`): -A log pi / (1 + tau), no ratio, so no stored log-probabilities. alpha 3, tau 1.
Published (repo): groups of N = 8, so 4 first attempts. Prompts are ours. Left out: up to 3 attempts a rollout (one
retry is made) and retries of attempts that an environment answered. Cost: a reflection and a retry for each attempt.

In the loop, `learn(method="r3l", **parts("r3l", policy))`: the method's row has alpha and 1 / (1 + tau), and
`ratio_free` the loss. A batch has a fixed size, and a first attempt becomes four sequences at most (itself, its retry,
the reflection, the guided retry), so `FirstAttempts` samples every fourth draw and leaves the others free: nothing that
was generated is thrown away, and `generations=16` are the published 4 + 4 with room for 8 samples of reward 1. Places
that stay free are failed traces ("no-retry"), in no statistic and not trained on. With other numbers than multiples of
4 some samples of reward 1 find no place and are dropped, retries last. A row's `accuracy` counts all sequences.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from preceptor.annotate.judges.loose_json import objects
from preceptor.annotate.judges.verdict import check_template, fence, fill
from preceptor.generation import Continuation, Request, Sampling
from preceptor.learn.data.hooks import Item, Source, about, ask, outcome_of
from preceptor.policy.sample import tokens_until, trace_of
from preceptor.trace import Problem, Trace

PLACES, FREE = 4, "no-retry"
"""Sequences a first attempt becomes at most; the error of a place that none of them took."""
TAGS = ("problem", "attempt", "step_", "reflection")
REFLECT = """<problem>
{problem}
</problem>
<attempt>
{attempt}
</attempt>

Is this attempt perfect? If not, what went wrong, and from which step should it be tried again? Answer with one object:
{"perfect": false, "why": "...", "retry_from_step": 1}"""
RETRY = """{problem}

An earlier attempt was looked at. What was found:
<reflection>
{reflection}
</reflection>
Solve the problem, going on from the steps that were right."""


@dataclass(frozen=True)
class Reflection:
    """What the policy says of an attempt."""

    perfect: bool
    pivot: int | None
    """0-based index of the step to retry from; None for a perfect attempt."""


def reflection_of(text: str, steps: int) -> Reflection | None:
    """The last object of a text that says it all; None when there is none."""
    for said in reversed(objects(text)):
        perfect = [w.lower() for w in said.get("perfect", [])]
        if perfect == ["true"]:
            return Reflection(True, None)
        pivot = said.get("retry_from_step", [])
        if perfect == ["false"] and len(pivot) == 1 and pivot[0].isascii() and pivot[0].isdigit():
            k = int(pivot[0][:6])
            return Reflection(False, k - 1) if 1 <= k <= steps else None
    return None


@dataclass(frozen=True)
class R3L:
    """Hook behind sampling: retries and auxiliary samples take free places, then come behind the given items."""

    reflection: Sampling = field(default_factory=lambda: Sampling(temperature=1.0, max_tokens=512))
    reflect: str = REFLECT
    retry: str = RETRY

    def __post_init__(self) -> None:
        check_template(self.reflect, "problem", "attempt")
        check_template(self.retry, "problem", "reflection")

    def amend(self, items: Sequence[Item], source: Source) -> list[Item]:
        out, again, extra = list(items), list[Item](), list[Item]()
        places = [
            i
            for i, x in enumerate(items)
            if x.outcome is not None and x.trace.steps and x.trace.sampled is None
        ]
        asked = [self._reflect(items[i].trace, source) for i in places]
        told = ask(source, source.policy, asked)
        retries: list[tuple[int, int, Request, Continuation]] = []
        for i, request, answer in zip(places, asked, told, strict=True):
            trace = items[i].trace
            found = None if answer.error is not None else reflection_of(answer.text, len(trace.steps))
            if found is not None and found.pivot is not None:
                if tokens_until(trace, len(trace.prefix(found.pivot))) is not None:
                    retries.append((i, found.pivot, request, answer))
            elif found is not None and (items[i].outcome or 0.0) >= 1:
                extra.append(_aux(request.problem, answer, "reflection", trace))
        guided = [self._retry(items[i].trace, k, answer.text, source) for i, k, _, answer in retries]
        for (i, k, request, said), retry, answer in zip(
            retries, guided, ask(source, source.policy, guided), strict=True
        ):
            pair = _pair(items[i], k, retry, answer)
            if pair is None:
                continue
            out[i], new = pair
            again.append(new)
            if (new.outcome or 0.0) >= 1 and (new.outcome or 0.0) > (items[i].outcome or 0.0):
                extra.append(_aux(request.problem, said, "reflection", items[i].trace))
                extra.append(_aux(retry.problem, answer, "guided-retry", items[i].trace, retry))
        return _placed(out, again + extra)

    def _reflect(self, trace: Trace, source: Source) -> Request:
        lines = [fence(s.strip(), TAGS).text for s in trace.step_texts]
        steps = "\n".join(f"<step_{k}>{line}</step_{k}>" for k, line in enumerate(lines, 1))
        prompt = fill(self.reflect, problem=fence(trace.problem.prompt, TAGS).text, attempt=steps)
        question = about(trace.problem, prompt, "r3l-reflect")
        return Request(question, draw=trace.draw or 0, seed=source.seed, sampling=self.reflection)

    def _retry(self, trace: Trace, k: int, said: str, source: Source) -> Request:
        prompt = fill(self.retry, problem=trace.problem.prompt, reflection=fence(said.strip(), TAGS).text)
        question = about(trace.problem, prompt, "r3l-retry")
        prefix = trace.prefix(k)
        ids = (trace.token_ids or ())[: tokens_until(trace, len(prefix))] if prefix else ()
        return Request(question, prefix, ids or None, trace.draw or 0, source.seed, source.sampling)


def _placed(items: list[Item], extra: Sequence[Item]) -> list[Item]:
    """`extra` in the free places of `items`, the rest behind them."""
    rest: Iterator[Item] = iter(extra)
    filled = [next(rest, x) if is_free(x.trace) else x for x in items]
    return [*filled, *rest]


def is_free(trace: Trace) -> bool:
    return trace.error is not None and trace.error.kind == FREE


def _pair(item: Item, k: int, retry: Request, answer: Continuation) -> tuple[Item, Item] | None:
    """The attempt and its retry, both masked before the pivot; None where the retry failed."""
    old, kept = item.trace, len(retry.prefix_ids or ())
    new = trace_of(
        old.problem, answer, retry.prefix, earlier=old, policy=old.policy, seed=old.seed, draw=old.draw
    )
    if new.error is not None or new.token_ids is None or old.token_ids is None:
        return None
    first, second = (tuple(at >= kept for at in range(n)) for n in (len(old.token_ids), len(new.token_ids)))
    again = Item(replace(new, parent=old.id), item.group, outcome_of(new), second, note="retry")
    return replace(item, model_mask=first, note="retried"), again


def _aux(
    problem: Problem, answer: Continuation, note: str, origin: Trace, retry: Request | None = None
) -> Item:
    """A sample of reward 1 that is its own group. Its context is the question that was asked."""
    prefix = "" if retry is None else retry.prefix
    made = trace_of(
        problem, answer, prefix, earlier=origin if prefix else None, policy=origin.policy, seed=origin.seed
    )
    made = replace(made, draw=origin.draw)
    mask = None
    if prefix and made.token_ids is not None:
        kept = len(retry.prefix_ids or ()) if retry is not None else 0
        mask = tuple(at >= kept for at in range(len(made.token_ids)))
    return Item(made, f"{note}-{made.id}", 1.0, mask, note=note)


def opmd_advantages(
    rewards: Sequence[float], groups: Sequence[str], alpha: float = 3.0
) -> NDArray[np.float64]:
    """(N,) from (N,): one scalar a rollout, for all its unmasked tokens.

    >>> opmd_advantages([1, 0, 0, 0.5], ["a"] * 4).tolist()
    [1.0, -0.375, -0.375, 0.375]
    """
    r = np.asarray(rewards, dtype=float)
    names = np.asarray(groups)
    mean = np.array([r[names == g].mean() for g in names])
    s = r - mean
    return np.where(r >= 1, 1.0, np.where(s >= 0, alpha * s, s))
