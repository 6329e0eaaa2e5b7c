r"""One paragraph, one step: openr, SCAN, the Qwen PRM data and ProcessBench join their steps with "\n\n".

Our one deviation: a line of only spaces, tabs and "\r" counts as blank, so Windows line ends and stray
indentation do not glue paragraphs together. A display formula between blank lines is a step of its own.
"""

from __future__ import annotations

import re

from preceptor.segment.tile import tile
from preceptor.trace import Step

# Possessive, so that a long run of spaces before something else is read once.
_BLANK_LINES = re.compile(r"\n(?:[ \t\r]*+\n)++")


def blank_line(text: str) -> tuple[Step, ...]:
    r"""Steps of `text`, cut after every run of blank lines.

    >>> [(s.start, s.end) for s in blank_line("First.\nStill.\n\n\nSecond.\n")]
    [(0, 16), (16, 24)]
    """
    return tile(text, (m.end() for m in _BLANK_LINES.finditer(text)))
