"""What several objectives do with labelled traces on the way to rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from preceptor.reward.examples import Dropped, Example, Group, Labelled, Target, examples
from preceptor.reward.render import Renderer, Row
from preceptor.trace import stream_seed

Targets = Sequence[float | None]


def by_problem(items: Sequence[Labelled]) -> list[list[Labelled]]:
    """Traces of one prompt together, in the order in which the prompts come."""
    found: dict[str, list[Labelled]] = {}
    for item in items:
        found.setdefault(item.trace.problem.prompt, []).append(item)
    return list(found.values())


def values(item: Labelled) -> list[float | None]:
    """Success rate after each step: of the rollouts where there are any, else the score itself."""
    counts = item.judgement.counts or (None,) * len(item.trace.steps)
    scores = item.judgement.scores or (None,) * len(item.trace.steps)
    return [c[0] / c[1] if c is not None and c[1] else s for c, s in zip(counts, scores, strict=True)]


def success_rate(items: Sequence[Labelled]) -> float | None:
    """Of the traces of one problem: the value of the bare problem."""
    known = [i.outcome for i in items if i.outcome is not None]
    return sum(known) / len(known) if known else None


def retarget(
    items: Sequence[Labelled], rule: Callable[[Labelled], Targets | None], dropped: Dropped, reason: str
) -> list[Labelled]:
    """The same traces with `rule`'s targets; those it gives none for are counted under `reason`."""
    out = []
    for item in items:
        targets = rule(item)
        if targets is None or all(t is None for t in targets):
            dropped.add(reason)
        else:
            out.append(replace(item, targets=tuple(targets)))
    return out


def channel_rows(
    items: Sequence[Labelled],
    channels: Callable[[Labelled], Sequence[Target]],
    render: Renderer,
    dropped: Dropped,
) -> list[Group]:
    """Rows whose readouts have several targets: `channels(item)` gives K per step."""
    out: list[Group] = []
    for item in items:
        wanted = channels(item)
        marked = replace(item, targets=(1.0,) * len(wanted))
        for (example,) in examples([marked], render, dropped):
            out.append((replace(example, targets=tuple(wanted[t] for t in example.row.steps)),))
    return out


def every_token(row: Row) -> Row:
    """The same row read at every token of its steps; `steps` says whose token it is."""
    spans = list(zip(row.begins, row.positions, row.steps, strict=True))
    positions = tuple(i for begin, end, _ in spans for i in range(begin, end + 1))
    steps = tuple(t for begin, end, t in spans for _ in range(begin, end + 1))
    return Row(row.token_ids, positions, steps, positions)


def token_rows(items: Sequence[Labelled], render: Renderer, dropped: Dropped) -> list[Group]:
    """Each step's target at all of its tokens."""
    out: list[Group] = []
    for (example,) in examples(items, render, dropped):
        target = dict(zip(example.row.steps, example.targets, strict=True))
        row = every_token(example.row)
        out.append((Example(row, tuple(target[t] for t in row.steps)),))
    return out


def solution_pairs(items: Sequence[Labelled], render: Renderer, dropped: Dropped) -> list[Group]:
    """(right, wrong) solutions of one problem as groups of two rows; each solution is in at most one pair,
    and which go together depends on the traces alone. Solutions that need windows are left out."""
    out: list[Group] = []
    for same in by_problem(items):
        rows: dict[float, list[Example]] = {0.0: [], 1.0: []}
        for item in sorted(same, key=lambda i: stream_seed("pair", i.trace.id)):
            if item.outcome is None:
                dropped.add("no-outcome")
                continue
            rendered = render(item.trace)
            if len(rendered.rows) != 1 or rendered.error is not None:
                dropped.add("step-too-long")
                continue
            (row,) = rendered.rows
            rows[item.outcome].append(Example(row, ((item.outcome,),) * len(row.positions)))
        out += zip(rows[1.0], rows[0.0], strict=False)
        unpaired = abs(len(rows[1.0]) - len(rows[0.0]))
        if unpaired:
            dropped.add("unpaired", unpaired)
    return out
