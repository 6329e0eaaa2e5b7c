r"""One line, one step: GSM8K solutions, code, the arithmetic worlds.

A line ends at "\n" and owns it. Whitespace-only lines join the line before them, so a trailing newline
never makes a step. The line `#### 72` of a GSM8K solution is a step like any other here; a reader that
wants only the reasoning drops it (`preceptor.worlds`).
"""

from __future__ import annotations

import re

from preceptor.segment.tile import tile
from preceptor.trace import Step


def line(text: str) -> tuple[Step, ...]:
    r"""Steps of `text`, cut after every "\n".

    >>> [(s.start, s.end) for s in line("2+3=5\n\n5*4=20\n")]
    [(0, 7), (7, 14)]
    """
    return tile(text, (m.end() for m in re.finditer(r"\n", text)))
