"""RLHFlow's chat data: `{conversations: [{role: user, content: problem and step 1}, {assistant, +}, ...]}`.

Each later user turn is one step; the assistant answers `+` or `-`. Problem and first step share a turn. They are
told apart at the first `Step 1:`, else at the last blank line; where that would cut elsewhere than an item does,
the item is left out (`problem and step 1 run together`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from preceptor.annotate.formats.base import DoesNotFit, Format, Labelled, ReadOptions, Writing, each
from preceptor.annotate.formats.pieces import clipped, hard, labelled, lose_rest, rest
from preceptor.judgement import Judgement, Question, Source
from preceptor.trace import Problem, Trace
from preceptor.worlds.records import Row

NAME = "rlhflow-chat"
FIELD = "conversations"
SOURCE = Source("import/rlhflow-chat")
SIGNS = {"+": 1.0, "-": 0.0}


def looks(fields: Mapping[str, Any]) -> bool:
    turns = fields.get(FIELD)
    return isinstance(turns, list) and bool(turns) and isinstance(turns[0], dict) and "content" in turns[0]


def parted(turn: str) -> tuple[str, str, str] | None:
    """Problem, what stands between, and first step; None where no boundary is found."""
    at = turn.find("Step 1:")
    if at < 0:
        before, between, step = turn.rpartition("\n\n")
        return (before, between, step) if before.strip() and step.strip() else None
    before = turn[:at].rstrip()
    return (before, turn[len(before) : at], turn[at:]) if before else None


def items(row: Row, options: ReadOptions) -> list[Labelled]:
    turns = [row.inner(f"{FIELD}[{i}]", turn) for i, turn in enumerate(row.get(FIELD, list))]
    for i, turn in enumerate(turns):
        if turn.text("role") != (expected := "assistant" if i % 2 else "user"):
            raise turn.bad("role", turn.fields["role"], expected)
    if not turns or len(turns) % 2:
        raise row.bad(FIELD, f"{len(turns)} turns", "pairs of a user turn and an assistant turn")
    users, signs = [turn.text("content") for turn in turns[::2]], []
    for turn in turns[1::2]:
        sign = turn.text("content")
        if sign not in SIGNS:
            raise turn.bad("content", ascii(sign)[:40], "+ or -")
        signs.append(SIGNS[sign])
    parts = parted(users[0])
    if parts is None:
        raise row.bad(f"{FIELD}[0].content", "no boundary", "a problem, then 'Step 1:' or a blank line")
    prompt, between, first = parts
    own = rest(row.fields, FIELD)
    if between != "\n\n":
        own["between"] = between
    problem = Problem(prompt, world=NAME, segmenter="blank_line")
    extra = {NAME: own} if own else {}
    return [labelled(problem, [first, *users[1:]], signs, SOURCE, Question.VALIDITY, extra)]


def record(trace: Trace, judgement: Judgement, writing: Writing) -> dict[str, Any]:
    steps, scores = clipped(trace, judgement, writing)
    marks = hard(scores, writing)
    own = dict(judgement.extra.get(NAME, {}))
    between, prompt = own.pop("between", "\n\n"), trace.problem.prompt
    if parted(prompt + between + steps[0]) != (prompt, between, steps[0]):
        raise DoesNotFit("problem and step 1 run together")
    if any(not step.strip() for step in steps):
        raise DoesNotFit("empty step")
    lose_rest(trace, judgement, writing, [float(m) for m in marks], (SOURCE, Question.VALIDITY), NAME)
    turns = []
    for step, good in zip([prompt + between + steps[0], *steps[1:]], marks, strict=True):
        turns += [{"role": "user", "content": step}, {"role": "assistant", "content": "+" if good else "-"}]
    return {**own, FIELD: turns}


FORMAT = Format(NAME, "RLHFlow chat: a user turn per step, answered + or -", looks, items, each(record))
