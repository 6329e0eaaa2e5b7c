"""From labels to training rows, with a count of everything left out and why; the held-out split.

A row's targets have one entry per readout, each with K channels (mostly one); None is "no target". Rows that
a loss compares (a right and a wrong solution) form a group and stay in one batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from preceptor.errors import InputError
from preceptor.judgement import Judgement, Question
from preceptor.reward.render import Renderer, Row
from preceptor.reward.targets import TargetConfig, step_targets
from preceptor.trace import Trace, stream_seed


class Labels(Protocol):
    """Judged traces, matched by `Judgement.trace`."""

    @property
    def traces(self) -> Sequence[Trace]: ...

    @property
    def judgements(self) -> Sequence[Judgement]: ...


@dataclass(frozen=True)
class Labelled:
    """One trace with a target (or None) per step, and the judgement it comes from."""

    trace: Trace
    targets: tuple[float | None, ...]
    judgement: Judgement

    @property
    def outcome(self) -> float | None:
        """1 for a right answer, 0 for a wrong one, None for unknown: undecided is not wrong."""
        grade = self.trace.grade
        return float(grade.correct) if grade is not None and grade.decided else None


Target = tuple[float | None, ...]
"""K channels."""


@dataclass(frozen=True)
class Example:
    """One row with a target per readout; a trace read through windows gives several."""

    row: Row
    targets: tuple[Target, ...]
    extra: Mapping[str, float] = field(default_factory=dict)
    """Numbers of the whole row that a loss wants, e.g. `outcome`."""


Group = tuple[Example, ...]


@dataclass
class Dropped:
    """Counts by reason."""

    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, reason: str, n: int = 1) -> None:
        self.reasons[reason] += n


def the_question(labels: Labels) -> Question:
    """The one question all judgements answer; a mixture is refused."""
    found = Counter(j.question for j in labels.judgements)
    if len(found) != 1:
        got = ", ".join(f"{n} x {q.value}" for q, n in sorted(found.items())) or "no judgement"
        raise InputError(
            f"labels: got {got}, expected judgements that all answer one question. Label again, or select "
            "one question's judgements."
        )
    return next(iter(found))


def labelled(labels: Labels, config: TargetConfig, dropped: Dropped) -> list[Labelled]:
    """The usable judgements with their traces."""
    traces = {t.id: t for t in labels.traces}
    out = []
    for judgement in labels.judgements:
        trace = traces.get(judgement.trace)
        if trace is None:
            dropped.add("no-trace")
        elif judgement.scores is None:
            dropped.add(judgement.error.kind if judgement.error else "no-scores")
        elif len(judgement.scores) != len(trace.steps):
            dropped.add("wrong-number-of-scores")
        else:
            try:
                targets = step_targets(judgement, config)
            except ValueError:
                dropped.add("target-not-a-probability")
                continue
            if any(t is not None for t in targets):
                out.append(Labelled(trace, targets, judgement))
            else:
                dropped.add("no-labelled-step")
    return out


def split(items: Sequence[Labelled], held_out: float, seed: int) -> tuple[list[Labelled], list[Labelled]]:
    """(train, held out) by problem: no prompt is on both sides, whatever its ids are.

    At least one problem is held out when `held_out > 0` and there are two or more.
    """
    prompts = {item.trace.problem.prompt for item in items}
    order = sorted(prompts, key=lambda p: (stream_seed("held-out", seed, p), p))
    n = 0 if held_out <= 0 or len(order) < 2 else min(max(1, round(held_out * len(order))), len(order) - 1)
    kept_back = set(order[:n])
    train = [item for item in items if item.trace.problem.prompt not in kept_back]
    return train, [item for item in items if item.trace.problem.prompt in kept_back]


def examples(items: Sequence[Labelled], render: Renderer, dropped: Dropped) -> list[Group]:
    """One row per trace (or window) with the steps' targets. Windows without a label and steps that do not
    fit are counted."""
    out: list[Group] = []
    for item in items:
        rendered = render(item.trace)
        read = {t for row in rendered.rows for t in row.steps}
        wanted = [len(item.targets) - 1] if render.whole else range(len(item.targets))
        lost = sum(1 for t in wanted if item.targets[t] is not None and t not in read)
        if lost:
            dropped.add("step-too-long", lost)
        for row in rendered.rows:
            # A readout of the whole trajectory is one more than there are steps; only some rules label it.
            targets = tuple((item.targets[t] if t < len(item.targets) else None,) for t in row.steps)
            if any(y is not None for (y,) in targets):
                out.append((Example(row, targets),))
            else:
                dropped.add("window-without-label")
    return out
