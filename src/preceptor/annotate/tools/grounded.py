"""GroundedPRM: tree search over steps, the sign of each step by a tool, outcomes mixed in.

A simulation that passes step i is worth R_i = mean over later steps j of decay^(j-i) v_j, plus beta F, with v_j in
{+1, -1, 0 no verdict} and F = +1 or -1; Q is their mean. Label 1 iff v = +1 and Q >= 0. The form is partly from
memory; decay, beta, c and the fusion rule were not found and are ours. Deviations: a step without a verdict goes by Q
alone (the rule above would call every unparsed step wrong); undecided simulations do not count. Q is below 0 where a
policy mostly fails, so right steps of hard problems come out 0: know the policy's success rate.
Cost: at most K (T - 1) rollouts per trace, and one tool check per new step. Left out: the generative PRM.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from preceptor.annotate.rollout.base import RolloutAnnotator, spent
from preceptor.annotate.rollout.montecarlo import Prefix, Rollout, lost_prefix, outcome, rollout_flags, tally
from preceptor.annotate.tools.step_tools import Calculator, Check, Claim, StepTool, checked
from preceptor.errors import InputError, ItemError
from preceptor.judgement import Judgement, Question, first_below
from preceptor.trace import Trace
from preceptor.usage import Ledger, Usage

UNCHECKED = "unchecked-steps"
OVERRULED = "wrong-step-right-ending"
"""A tool found a step wrong although simulations through it end right more often than not."""


def rewards(signs: Sequence[int], outcome: int, decay: float = 0.9, beta: float = 1.0) -> list[float]:
    """R_i of every step of one simulation; the last step has the outcome term only.

    >>> [round(r, 4) for r in rewards((1, -1, 0, 1), 1)]
    [0.943, 1.405, 1.9, 1.0]
    """
    last = len(signs) - 1
    return [
        sum(decay ** (j - i) * signs[j] for j in range(i + 1, last + 1)) / max(1, last - i) + beta * outcome
        for i in range(last + 1)
    ]


def sign_of(check: Check) -> int:
    return 0 if check.right is None else 1 if check.right else -1


@dataclass(frozen=True)
class Grounded(RolloutAnnotator):
    """Scorer of validity: 1, 0, or None where no tool spoke and no simulation was decided.

    The search tree begins with the trace itself as its first simulation. In each of `rollouts` rounds, one search
    starts at every proper prefix of every trace: a node is rolled out `width` times before UCT goes on to one of its
    children. `rationale` says per step what the tools found, and Q. `counts` are simulations through the step.
    """

    name: ClassVar[str] = "grounded"
    cost: ClassVar[str] = (
        "at most K (T - 1) rollouts, and a tool check per step of the trace and of the rollouts"
    )
    question: ClassVar[Question] = Question.VALIDITY

    tools: tuple[StepTool, ...] = (Calculator(),)
    """The first with a verdict decides."""
    decay: float = 0.9
    beta: float = 1.0
    exploration: float = 1.4
    """c of UCT(s, a) = Q(s, a) + c sqrt(ln N(s) / N(s, a))."""
    width: int = 4
    """Ours; not found."""

    def __post_init__(self) -> None:
        super().__post_init__()
        numbers = (self.decay, self.beta, self.exploration)
        if not all(map(math.isfinite, numbers)) or min(numbers) < 0 or self.width < 1 or not self.tools:
            raise InputError(
                f"grounded: got decay={self.decay}, beta={self.beta}, exploration={self.exploration}, "
                f"width={self.width}, {len(self.tools)} tools; expected finite numbers >= 0, and a width and tools "
                "of at least 1"
            )

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"tools": [tool.to_record() for tool in self.tools]}

    def judge(self, traces: Sequence[Trace]) -> list[Judgement]:
        memory = _Memory(self.tools)
        claims = [_claims(trace, 0) for trace in traces]
        memory.check([claim for each in claims for claim in each])
        cases = [
            _Case(self, t, [memory.take(c) for c in each]) for t, each in zip(traces, claims, strict=True)
        ]
        for _ in range(self.rollouts):
            picked = [(case, *place) for case in cases for place in case.select()]
            places = [(node.prefix, range(draw, draw + 1)) for _, node, draw in picked]
            drawn = self.monte_carlo.draw([p for p, _ in places], [d for _, d in places]) if places else []
            claims = [_claims(r.trace, len(r.prefix.text)) if r.right is not None else [] for (r,) in drawn]
            memory.check([claim for each in claims for claim in each])
            for (case, node, _), (rollout,), each in zip(picked, drawn, claims, strict=True):
                case.observe(node, rollout, each, memory)
        return [self._judge(case) for case in cases]

    def _judge(self, case: _Case) -> Judgement:
        trace, found = case.trace, tally(case.rollouts)
        usage = spent([found]) + Ledger(scorer=case.checking)
        labels = [_label(node) for node in case.path]
        if all(label is None for label in labels):
            error = lost_prefix([found]) or ItemError("undecided", "no simulation and no tool gave a verdict")
            return Judgement(trace.id, self.question, self.source, None, usage=usage, error=error)
        flags = rollout_flags([found])
        if any(node.sign == 0 for node in case.path):
            flags = (*flags, UNCHECKED)
        if any(node.sign < 0 and 2 * node.right > node.visits for node in case.path):
            flags = (*flags, OVERRULED)
        return Judgement(
            trace.id,
            self.question,
            self.source,
            tuple(labels),
            counts=tuple((node.right, node.visits) for node in case.path),
            undecided=found.undecided + found.failed,
            first_error=first_below(labels, 0.5),
            rationale=tuple(_told(node) for node in case.path),
            flags=flags,
            usage=usage,
        )


class _Node:
    """A prefix that ends with `step`; the root has none."""

    def __init__(self, prefix: Prefix, parent: _Node | None, check: Check, ends: int | None = None):
        self.prefix, self.parent, self.check, self.sign = prefix, parent, check, sign_of(check)
        self.ends = ends
        """Where a trace ends here: its outcome, 0 when undecided."""
        self.children: dict[str, _Node] = {}
        self.visits = self.right = self.drawn = 0
        self.total = 0.0

    @property
    def value(self) -> float | None:
        """Q."""
        return self.total / self.visits if self.visits else None

    def uct(self, exploration: float) -> float:
        assert self.parent is not None
        explored = math.log(max(1, self.parent.visits)) / self.visits
        return self.total / self.visits + exploration * math.sqrt(explored)

    def path(self) -> list[_Node]:
        """From the first step to here."""
        return [] if self.parent is None else [*self.parent.path(), self]


class _Memory:
    """Verdicts of one `judge`: equal claims are checked once, and the first to take one carries its cost."""

    def __init__(self, tools: Sequence[StepTool]):
        self.tools = tools
        self._known: dict[Claim, Check] = {}
        self._paid: set[Claim] = set()

    def check(self, claims: Sequence[Claim]) -> None:
        new = [claim for claim in dict.fromkeys(claims) if claim not in self._known]
        self._known.update(zip(new, checked(self.tools, new), strict=True))

    def take(self, claim: Claim) -> tuple[Check, Usage]:
        usage = Usage() if claim in self._paid else self._known[claim].usage
        self._paid.add(claim)
        return self._known[claim], usage


class _Case:
    """One trace and the tree around it."""

    def __init__(self, settings: Grounded, trace: Trace, checks: Sequence[tuple[Check, Usage]]):
        self.settings, self.trace = settings, trace
        self.rollouts: list[Rollout] = []
        self.checking = sum((usage for _, usage in checks), Usage())
        grade = outcome(trace)
        ended = 0 if not grade.decided else 1 if grade.correct else -1
        node = self.root = _Node(Prefix(trace.problem), None, Check(None))
        for t, (step, (check, _)) in enumerate(zip(trace.step_texts, checks, strict=True), start=1):
            child = _Node(Prefix.of(trace, t), node, check, ended if t == len(checks) else None)
            node.children[step] = child
            node = child
        self.path = node.path()
        self._back_up(node, [], ended)

    def select(self) -> list[tuple[_Node, int]]:
        """One search from every proper prefix: the nodes to roll out and the numbers of their draws. A search that
        comes to an end of the tree is told at once."""
        found = []
        for start in self.path[:-1]:
            node = self._descend(start)
            if node.ends is not None:
                self._back_up(node, [], node.ends)
                continue
            found.append((node, node.drawn))
            node.drawn += 1
        return found

    def _descend(self, node: _Node) -> _Node:
        c = self.settings.exploration
        while node.drawn >= self.settings.width:
            tried = [child for child in node.children.values() if child.visits]
            if not tried:
                break
            node = max(tried, key=lambda child: child.uct(c))
        return node

    def observe(self, node: _Node, rollout: Rollout, claims: Sequence[Claim], memory: _Memory) -> None:
        """Take in one rollout from `node`: its first step becomes a child, its rewards go to all before it."""
        self.rollouts.append(rollout)
        if rollout.right is None:
            return
        ended, taken = 1 if rollout.right else -1, [memory.take(claim) for claim in claims]
        self.checking = sum((usage for _, usage in taken), self.checking)
        signs = [sign_of(check) for check, _ in taken]
        if claims:
            step = claims[0].step
            if step not in node.children:
                prefix = Prefix(rollout.request.problem, claims[0].before + step, rollout.trace)
                ends = ended if len(claims) == 1 else None
                node.children[step] = _Node(prefix, node, taken[0][0], ends)
            node, signs = node.children[step], signs[1:]
        self._back_up(node, signs, ended)

    def _back_up(self, node: _Node, later: Sequence[int], ended: int) -> None:
        if not ended:
            return
        path, s = node.path(), self.settings
        signs = [*(n.sign for n in path), *later]
        for n, reward in zip(
            [self.root, *path], [0.0, *rewards(signs, ended, s.decay, s.beta)], strict=False
        ):
            n.visits, n.right, n.total = n.visits + 1, n.right + (ended > 0), n.total + reward


def _claims(trace: Trace, start: int) -> list[Claim]:
    """The steps behind character `start`, the first one from there on."""
    cuts = [(max(step.start, start), step.end) for step in trace.steps if step.end > start]
    return [Claim(trace.problem, trace.text[:a], trace.text[a:b]) for a, b in cuts]


def _label(node: _Node) -> float | None:
    if node.sign < 0:
        return 0.0
    return None if node.value is None else float(node.value >= 0)


def _told(node: _Node) -> str:
    value = (
        "no decided simulation"
        if node.value is None
        else f"Q {node.value:+.2f} over {node.visits} simulations"
    )
    return f"{node.check.said or 'no tool spoke'}; {value}"
