r"""Where the final answer stands in a text: character offsets, so that any tokenizer's tokens can be found.

The content of the last `\boxed{...}`, else what follows the last `Answer:` on its line. An answer that the
length limit may have cut is none, as in grading.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from preceptor.grade import GRADERS
from preceptor.grade.boxed import has_box, last_boxed
from preceptor.trace import Finish, Trace

AnswerSpan = Callable[[Trace], "tuple[int, int] | None"]
"""Start and end of the answer in `trace.text`, or None without one."""

_MARKER = re.compile(r"\banswer(?:\*\*)?[ \t]*:(?:\*\*)?[ \t]*(?P<answer>[^\s][^\n]*)", re.IGNORECASE)


def boxed_span(trace: Trace) -> tuple[int, int] | None:
    r"""The content of the last `\boxed{...}` (or `\fbox`), white space at its ends left out."""
    text = trace.text
    content = last_boxed(text, trace.finish is not Finish.LENGTH)
    if not content:
        return None
    command = "\\boxed" if "\\boxed" in text else "\\fbox"
    at = text.rfind(command) + len(command)
    while text[at].isspace():
        at += 1
    start = text.index(content, at + (text[at] == "{"))
    return start, start + len(content)


def marker_span(trace: Trace) -> tuple[int, int] | None:
    """What follows the last `Answer:` on the same line, white space at its ends left out."""
    cut = trace.finish is Finish.LENGTH
    text = trace.text[: trace.text.rfind("\n") + 1] if cut else trace.text
    last = None
    for last in _MARKER.finditer(text):  # noqa: B007  (the last one is meant)
        pass
    if last is None:
        return None
    start = last.start("answer")
    return start, start + len(last["answer"].rstrip())


def answer_span(trace: Trace) -> tuple[int, int] | None:
    """`boxed_span` where the text has a box, else `marker_span`."""
    return boxed_span(trace) if has_box(trace.text) else marker_span(trace)


def gold_answer(trace: Trace) -> str | None:
    """The problem's gold answer."""
    return trace.problem.gold or None


def own_answer(trace: Trace) -> str | None:
    """The answer the trace itself gives: its grade's, else what the problem's grader extracts."""
    if trace.grade is not None:
        return trace.grade.answer or None
    grader = GRADERS.get(trace.problem.grader)
    return (grader.extract(trace.text, trace.finish is not Finish.LENGTH) if grader else None) or None
