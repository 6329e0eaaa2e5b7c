"""From cut positions to steps that tile the text.

Every segmenter proposes offsets at which a step may start; this is the only place where steps are made, so
losslessness is shown once. Only "\\n" ends a line: `str.splitlines` also cuts at \\x0b, \\x0c, \\x1c-\\x1e,
\\x85, \\u2028 and \\u2029, which occur inside model output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from preceptor.trace import Step, steps_from_ends


def tile(text: str, cuts: Iterable[int], blank: Callable[[str], bool] = str.isspace) -> tuple[Step, ...]:
    """Steps that start at 0 and at the `cuts` (ascending character offsets) and cover `text` exactly.

    A piece that is `blank` joins the step before it, or the first step when nothing stands before it. So no
    step is blank unless the whole text is; an empty text has no steps. Time is linear in the text.
    """
    if not text:
        return ()
    ends: list[int] = []
    start, seen = 0, False
    for cut in (*cuts, len(text)):
        if cut <= start:
            continue
        if not blank(text[start:cut]):
            if seen:
                ends.append(start)
            seen = True
        start = cut
    return steps_from_ends([*ends, len(text)])
