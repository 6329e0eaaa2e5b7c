"""h1: short problems composed into long ones, the horizon growing with success (abstract index 124).

`compose` chains word problems of the world `arithmetic`: the answer of one link, moved by a constant, stands in the
next link for one of its numbers ("Call the answer A. ... has (A+5) pens"). Only the last answer is graded. A chain is
again a problem of the world, with every link's operations and the constants' as its nodes, so its oracle judges each
line. The constant makes the next link's number what it was: divisions stay whole.

`Horizon` advances from n to n + 1 when the mean reward of the last `window` steps exceeds `threshold`, or after
`most` steps. The rule was not found; threshold 0.7 or a cap is the catalogue's, window and cap are ours. Left out:
other adapters.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

from preceptor.errors import InputError
from preceptor.learn.data.hooks import Item, Source
from preceptor.trace import Problem, content_id, stream_seed
from preceptor.worlds.arithmetic_oracle import State
from preceptor.worlds.word_problems import solution

NAMES = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def compose(links: Sequence[Problem]) -> Problem | None:
    """The chain of `links`, one link being itself; None where they do not fit: a number would stand for two
    things."""
    if not links or any(p.world != "arithmetic" for p in links) or len(links) > len(NAMES):
        raise InputError(
            f"h1: got {len(links)} links of worlds {sorted({p.world for p in links})}, expected 1 to {len(NAMES)} of "
            "'arithmetic'."
        )
    chain = links[0]
    for name, link in zip(NAMES, links[1:]):
        joined = _join(chain, link, name)
        if joined is None:
            return None
        chain = joined
    return chain


def _join(first: Problem, second: Problem, name: str) -> Problem | None:
    givens, nodes = list(first.meta["givens"]), [list(n) for n in first.meta["nodes"]]
    end = len(nodes) - 1
    answer = int(first.gold or 0)
    at = _needed(second)
    if at is None:
        return None
    number = second.meta["givens"][at]
    op, constant = ("+", number - answer) if number > answer else ("-", answer - number)
    others = [g for i, g in enumerate(second.meta["givens"]) if i != at]
    if not _distinct(first, second, constant):
        return None
    prompt, found = re.subn(rf"(?<!\d){number}(?!\d)", f"({name}{op}{constant})", second.prompt)
    if found != 1:
        return None
    shift, refs = len(nodes) + 1, {f"g{at}": f"n{end + 1}"}
    refs |= {
        f"g{i}": f"g{len(givens) + 1 + k}" for k, i in enumerate(i for i in range(len(others) + 1) if i != at)
    }
    refs |= {f"n{k}": f"n{shift + k}" for k in range(len(second.meta["nodes"]))}
    nodes.append([op, f"n{end}", f"g{len(givens)}"])
    nodes += [[o, refs[a], refs[b]] for o, a, b in second.meta["nodes"]]
    givens += [constant, *others]
    meta: dict[str, Any] = {"givens": givens, "nodes": nodes}
    text = f"{first.prompt} Call the answer {name}. {prompt}"
    lines = solution(givens, [(o, a, b) for o, a, b in nodes])
    return replace(
        second,
        prompt=text,
        id="h1-" + content_id(text, second.gold),
        reference=lines,
        meta={**meta, "horizon": first.meta.get("horizon", 1) + 1},
    )


def _needed(problem: Problem) -> int | None:
    """The first given that changes the answer."""
    for i in range(len(problem.meta["givens"])):
        if moved(problem, i) != State.of(problem).carried():
            return i
    return None


def moved(problem: Problem, given: int, by: int = 1) -> Any:
    """The answer were the given number `given` greater by `by`; None where a division by zero ends it."""
    state = State.of(problem)
    state.givens[given] += by
    return state.carried()


def _numbers(problem: Problem) -> set[int]:
    """Given and computed."""
    results = {int(line.rpartition("=")[2]) for line in problem.reference[:-1]}
    return set(problem.meta["givens"]) | results


def _distinct(first: Problem, second: Problem, constant: int) -> bool:
    """The oracle tells lines by their numbers: each may stand for one thing."""
    a, b = _numbers(first), _numbers(second)
    return not a & b and constant not in a | b


def chains(pool: Sequence[Problem], horizon: int, n: int, seed: int = 0, tries: int = 200) -> list[Problem]:
    """`n` different chains of `horizon` links from `pool`, each link drawn until it fits. InputError when none does."""
    if horizon == 1:
        return (
            [pool[stream_seed("h1", seed, k) % len(pool)] for k in range(n)]
            if n > len(pool)
            else list(pool[:n])
        )
    found: dict[str, Problem] = {}
    for k in range(n):
        chain = _chain(pool, horizon, seed, k, tries, found)
        found[chain.id] = chain
    return list(found.values())


def _chain(
    pool: Sequence[Problem], horizon: int, seed: int, k: int, tries: int, taken: Collection[str]
) -> Problem:
    for turn in range(tries):
        chain: Problem | None = pool[stream_seed("h1", seed, k, turn) % len(pool)]
        for depth, name in enumerate(NAMES[: horizon - 1]):
            fits = (
                _join(chain, pool[stream_seed("h1", seed, k, turn, depth, t) % len(pool)], name)
                for t in range(tries)
                if chain is not None
            )
            chain = next((c for c in fits if c is not None), None)
        if chain is not None and chain.id not in taken:
            return chain
    raise InputError(
        f"h1: got {len(taken)} chains of {horizon} links and no other in {tries} tries; give a larger pool or "
        "shorter problems."
    )


def horizon_after(
    history: Sequence[tuple[int, float]],
    *,
    threshold: float = 0.7,
    window: int = 5,
    most: int = 200,
    last: int = 5,
) -> int:
    """The next step's horizon from (horizon, mean reward) of all steps so far."""
    if not history:
        return 1
    now = history[-1][0]
    own = [r for n, r in history if n == now]
    learned = len(own) >= window and fmean(own[-window:]) > threshold
    return min(last, now + 1) if learned or len(own) >= most else now


@dataclass
class Horizon:
    """Hook: chains of the present horizon in place of the problems, from `pool`. `history` is its whole state."""

    pool: Sequence[Problem]
    threshold: float = 0.7
    window: int = 5
    most: int = 200
    last: int = 5
    seed: int = 0
    history: list[tuple[int, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if min(self.window, self.most) < 1 or not 1 <= self.last <= len(NAMES):
            raise InputError(
                f"h1: got window={self.window}, most={self.most}, last={self.last}, expected at least 1 each and last "
                f"at most {len(NAMES)}."
            )

    @property
    def now(self) -> int:
        return horizon_after(
            self.history, threshold=self.threshold, window=self.window, most=self.most, last=self.last
        )

    def prepare(self, problems: Sequence[Problem], step: int) -> list[Problem]:
        if self.now == 1:
            return list(problems)
        return chains(self.pool, self.now, len(problems), stream_seed(self.seed, step))

    def amend(self, items: Sequence[Item], source: Source) -> list[Item]:
        known, now = [x.outcome for x in items if x.outcome is not None], self.now
        if known:
            self.history.append((now, fmean(known)))
        return [replace(x, note=f"horizon-{now}") for x in items]

    def state_dict(self) -> dict[str, Any]:
        return {"history": [list(x) for x in self.history]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.history = [(int(n), float(r)) for n, r in state["history"]]
