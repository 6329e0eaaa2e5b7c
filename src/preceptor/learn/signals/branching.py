"""TreePS-RAG: a tree of rollouts a problem under a budget of sequences (abstract index 149).

`start` chains are sampled from the prompt; then, a branch a round, an existing node is chosen and continued to the
end, until there are exactly `sequences`. Nodes are the prompt and every step that is not the last of a trace. Published
is to branch at diverse nodes first; the rule is not found. Ours: uniform over the nodes that have been branched from
least often, so every node is tried before one is tried twice. Left out: comparing observations; steps that an
environment answered cannot be continued by the policy alone.

A branch goes on from the sampled ids of its prefix and keeps its step ends, so the prefix is the same node for both.
All problems take their rounds together, one batched call a round. Cost: `sequences` generations, of which
branches pay for their own tokens only.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from preceptor.credit import rollout_of
from preceptor.errors import InputError
from preceptor.generation import Continuation, Policy, Request, Sampling
from preceptor.learn.signals.nodes import node_ids
from preceptor.policy.sample import trace_of
from preceptor.trace import Problem, Trace, steps_from_ends, stream_seed
from preceptor.usage import Usage


class Place(NamedTuple):
    """Behind the first `step` steps of a trace; of none, the prompt."""

    trace: Trace | None
    step: int
    draw: int = 0
    """Different for different branches of one prefix."""


def grow(
    policy: Policy,
    problems: Sequence[Problem],
    places: Sequence[Place],
    sampling: Sampling,
    seed: int,
    writer: str = "",
) -> list[Trace]:
    """One graded trace a place, in order, from one batched call: prefix and continuation, in sampled ids.

    A whole trace has at most `sampling.max_tokens` tokens. What failed is a trace with its error.
    """
    asked = [_request(p, at, sampling, seed) for p, at in zip(problems, places, strict=True)]
    answers = policy.generate(asked) if asked else []
    name = writer or policy.fingerprint
    return [_trace(at, r, a, name) for at, r, a in zip(places, asked, answers, strict=True)]


def open_places(trace: Trace) -> list[int]:
    """Numbers of steps behind which the trace can be continued; a step without tokens of its own is no place."""
    if trace.error is not None or trace.token_ids is None or trace.token_ends is None:
        return [0]
    spans = rollout_of(trace).spans
    return [0, *(t for t in range(1, len(spans)) if spans[t - 1][1] > spans[t - 1][0])]


@dataclass(eq=False)
class TreeRollouts:
    """Samples trees. `spent` adds up."""

    policy: Policy
    sequences: int = 8
    """Rollouts a problem, chains and branches together."""
    start: int = 2
    """N0, chains. Not found, ours; so is the budget in sequences."""
    sampling: Sampling = field(default_factory=Sampling)
    spent: Usage = field(default_factory=Usage, init=False)

    def __post_init__(self) -> None:
        if not 1 <= self.start <= self.sequences:
            raise InputError(
                f"tree rollouts: got start={self.start}, sequences={self.sequences}, expected 1 <= start <= sequences."
            )

    def sample(self, problems: Sequence[Problem], seed: int = 0, writer: str = "") -> list[list[Trace]]:
        """`sequences` graded traces a problem, chains first; branches name their `parent`.

        A problem's tree depends on the problem and the seed, not on the other problems.
        """
        trees: list[list[Trace]] = [[] for _ in problems]
        used: list[Counter[tuple[object, ...]]] = [Counter() for _ in problems]
        first = [(k, Place(None, 0, d)) for k in range(len(problems)) for d in range(self.start)]
        self._grow(problems, first, trees, seed, writer)
        for count in used:
            count[("prompt",)] = self.start
        for _ in range(self.sequences - self.start):
            round_ = [(k, self._choose(problems[k], trees[k], used[k], seed)) for k in range(len(problems))]
            self._grow(problems, round_, trees, seed, writer)
        return trees

    def _grow(
        self,
        problems: Sequence[Problem],
        chosen: Sequence[tuple[int, Place]],
        trees: list[list[Trace]],
        seed: int,
        writer: str,
    ) -> None:
        places = [place for _, place in chosen]
        made = grow(self.policy, [problems[k] for k, _ in chosen], places, self.sampling, seed, writer)
        for (k, _), trace in zip(chosen, made, strict=True):
            trees[k].append(trace)
            self.spent += trace.usage

    def _choose(
        self, problem: Problem, tree: Sequence[Trace], used: Counter[tuple[object, ...]], seed: int
    ) -> Place:
        nodes: dict[tuple[object, ...], tuple[Trace | None, int]] = {("prompt",): (None, 0)}
        for trace in tree:
            ids = node_ids(trace) or ()
            for t in open_places(trace)[1:]:
                nodes.setdefault((ids[t - 1],), (trace, t))
        least = min(used[n] for n in nodes)
        free = [n for n in nodes if used[n] == least]
        node = random.Random(stream_seed("branch", seed, problem.id, len(tree))).choice(free)
        used[node] += 1
        return Place(*nodes[node], draw=used[node] - 1)


def _request(problem: Problem, at: Place, sampling: Sampling, seed: int) -> Request:
    if at.trace is None or at.step == 0:
        return Request(problem, draw=at.draw, seed=seed, sampling=sampling)
    size, text = prefix_of(at.trace, at.step)
    left = replace(sampling, max_tokens=max(1, sampling.max_tokens - size))
    return Request(problem, text, (at.trace.token_ids or ())[:size], at.draw, seed, left)


def prefix_of(trace: Trace, step: int) -> tuple[int, str]:
    """Tokens of the first steps, and their text: less than the steps' own where a token runs over the end."""
    size = rollout_of(trace).spans[step - 1][1] if step else 0
    return size, trace.text[: (trace.token_ends or ())[size - 1]] if size else ""


def _trace(at: Place, request: Request, answer: Continuation, writer: str) -> Trace:
    made = trace_of(
        request.problem,
        answer,
        request.prefix,
        earlier=at.trace if request.prefix else None,
        policy=writer,
        seed=request.seed,
        draw=request.draw,
    )
    if at.trace is None or not request.prefix or made.error is not None:
        return made
    bound = len(request.prefix)
    kept = [s.end for s in at.trace.steps[: at.step] if s.end <= bound]
    own = [s.end for s in made.steps if s.end > bound and not made.text[bound : s.end].isspace()]
    shared = [*kept, *([] if kept[-1:] == [bound] else [bound])] if bound else []
    ends = [*shared, *own]
    if ends[-1] != len(made.text):  # nothing but space came
        ends = [*ends[:-1], len(made.text)] if made.text[ends[-1] :].isspace() else [*ends, len(made.text)]
    return replace(made, steps=steps_from_ends(ends))
