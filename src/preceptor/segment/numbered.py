r"""Steps announced by a heading `Step 3:` at the start of a line (Math-Shepherd, GenPRM, UnPRM).

The heading may be indented or marked up (`**Step 3:**`, `### Step 3.`) and must end in `:`, `.`, `)`, a
dash, `**` or the line's end. So neither `see Step 2: ...` inside a line nor a line that begins with
`Step 2 shows that` cuts. What stands before the first heading is a step of its own. Left out: bare `1.`
lists, which more often number items within a step.
"""

from __future__ import annotations

import re

from preceptor.segment.tile import tile
from preceptor.trace import Step

_HEADING = re.compile(
    r"^[ \t]*+(?:\#{1,6}[ \t]*+|[-*][ \t]++)?(?:\*\*|__)?(?:Step|STEP)[ \t]*+[0-9]++"
    r"[ \t]*+(?:[:.)–—-]|\*\*|__|\r?$)",
    re.MULTILINE,
)


def numbered(text: str) -> tuple[Step, ...]:
    r"""Steps of `text`, cut before every heading `Step N`.

    >>> [(s.start, s.end) for s in numbered("Step 1: add.\nAs in Step 1: 5.\nStep 2: stop.")]
    [(0, 30), (30, 43)]
    """
    return tile(text, (m.start() for m in _HEADING.finditer(text)))
