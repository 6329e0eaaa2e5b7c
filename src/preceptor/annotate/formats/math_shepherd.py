"""Math-Shepherd: `{input, label, task}`; `label` is `input` with each marker `ки` replaced by `+` or `-`.

The marker has two characters and its label one, so positions are compared after the marker has become one
private-use character. A marker inside the problem (about a dozen records) has a label that belongs to no step:
it is dropped and kept in `extra`. Problem and steps part at the first `Step 1:`, else `step 1:`, else after the
first `?`. Steps that do not start with their number get it when written, and that is counted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from preceptor.annotate.formats.base import DoesNotFit, Format, Labelled, ReadOptions, Writing, each
from preceptor.annotate.formats.pieces import answered as with_answer
from preceptor.annotate.formats.pieces import clipped, hard, implied_error, lose_rest, rest
from preceptor.judgement import Judgement, Question, Source
from preceptor.trace import Problem, Trace
from preceptor.worlds.readers import joined
from preceptor.worlds.records import Row

NAME = "math-shepherd"
MARKER = "ки"
ONE = "\ue000"
"""Stands for the marker while positions are compared."""
SOURCE = Source("rollouts/math-shepherd")
ANSWER = re.compile(r"The answer is:\s*(.+?)\s*$", re.DOTALL)


def looks(fields: Mapping[str, Any]) -> bool:
    texts = [fields.get("input"), fields.get("label")]
    return all(isinstance(t, str) for t in texts) and MARKER in str(texts[0])


def boundary(text: str) -> int | None:
    """Where the first step starts."""
    for word in ("Step 1:", "step 1:"):
        if (at := text.find(word)) >= 0:
            return at
    at = text.find("?")
    return None if at < 0 else at + 1


def items(row: Row, options: ReadOptions) -> list[Labelled]:
    text, label = row.text("input"), row.text("label")
    if ONE in text:
        raise row.bad("input", f"the private-use character {ONE!a}", "text without it")
    text = text.replace(MARKER, ONE)
    signs = _signs(row, text, label)
    start = boundary(text)
    if start is None or not text[:start].strip():
        raise row.bad("input", "no boundary", "a problem, then 'Step 1:' or a question mark")
    stray = text[:start].count(ONE)
    *pieces, tail = text[start:].split(ONE)
    if not pieces:
        raise row.bad("input", "no marker after the problem", f"'{MARKER}' after each step")
    prompt, steps = text[:start].rstrip().replace(ONE, MARKER), [p.strip() for p in pieces]
    own = rest(row.fields, "input", "label")
    if stray:
        own["stray"] = signs[:stray]
    if tail.strip() or laid_out(prompt, steps).replace(MARKER, ONE) != text:
        own["input"] = row.fields["input"]
    scores = tuple(1.0 if s == "+" else 0.0 for s in signs[stray:])
    problem = Problem(prompt, world=NAME, segmenter="line")
    found = ANSWER.search(steps[-1])
    trace = with_answer(joined(problem, steps, "\n"), found and found[1])
    flags = (("stray-marker",) if stray else ()) + (("text-after-last-marker",) if tail.strip() else ())
    judgement = Judgement(
        trace.id, Question.VALUE, SOURCE, scores, first_error=implied_error(scores), flags=flags,
        extra={NAME: own},
    )  # fmt: skip
    return [(trace, judgement)]


def _signs(row: Row, text: str, label: str) -> str:
    """The label of every marker, in order."""
    if len(text) != len(label):
        got = f"{len(label)} characters against {len(text)} of the input"
        raise row.bad("label", got, f"the input with each '{MARKER}' replaced by one sign")
    places = [i for i, c in enumerate(text) if c == ONE]
    signs = "".join(label[i] for i in places)
    if set(signs) - {"+", "-"}:
        raise row.bad("label", f"{ascii(signs)[:40]} at the markers", "+ or -")
    if _marked(text, signs) != label:
        raise row.bad("label", "another text than the input", "the same text")
    return signs


def _marked(text: str, signs: str) -> str:
    left = iter(signs)
    return "".join(next(left) if c == ONE else c for c in text)


def laid_out(prompt: str, steps: list[str]) -> str:
    """The published layout."""
    return prompt + " " + "\n".join(f"{step} {MARKER}" for step in steps)


def record(trace: Trace, judgement: Judgement, writing: Writing) -> dict[str, Any]:
    own = dict(judgement.extra.get(NAME, {}))
    steps, scores = clipped(trace, judgement, writing)
    prompt, stray, trimmed = trace.problem.prompt, own.pop("stray", ""), [step.strip() for step in steps]
    writing.lose(space_around_steps=trimmed != steps, space_after_the_problem=prompt != prompt.rstrip())
    steps, prompt = trimmed, prompt.rstrip()
    if boundary(laid_out(prompt, steps)) not in (len(prompt), len(prompt) + 1):
        if "Step 1:" in prompt or "step 1:" in prompt:
            raise DoesNotFit("'Step 1:' in the problem")
        if not steps[0].lower().startswith("step 1:") and "input" not in own:
            steps = [f"Step {t}: {step}" for t, step in enumerate(steps, start=1)]
            writing.lose(steps_without_numbers=True)
    text = own.pop("input", None) or laid_out(prompt, steps)
    text = text.replace(MARKER, ONE)
    signs = stray + "".join("+" if good else "-" for good in hard(scores, writing))
    if text.count(ONE) != len(signs):
        raise DoesNotFit("marker in the text")
    read = [1.0 if s == "+" else 0.0 for s in signs[len(stray) :]]
    carried = ANSWER.search(steps[-1]) is not None
    native = NAME in judgement.extra
    lose_rest(trace, judgement, writing, read, (SOURCE, Question.VALUE), NAME, answer=carried, flags=native)
    return {**own, "input": text.replace(ONE, MARKER), "label": _marked(text, signs)}


FORMAT = Format(NAME, "Math-Shepherd: input with markers, label with + and -", looks, items, each(record))
