r"""The last `\boxed{...}` of a text (the convention of the MATH data set, Hendrycks et al. 2021).

Braces are counted from the last `\boxed` (else the last `\fbox`); if they do not close, there is no answer
(an earlier box is not taken instead). `\boxed 5` reads up to the next `$` or line end.
"""

from __future__ import annotations

import re

_BRACE = re.compile(r"[{}]")


def last_boxed(text: str, finished: bool = True) -> str | None:
    r"""The content of the last box, stripped; None without a complete one.

    >>> last_boxed(r"so $\boxed{\frac{1}{2}}$.")
    '\\frac{1}{2}'
    """
    for command in ("\\boxed", "\\fbox"):
        at = text.rfind(command)
        if at >= 0:
            return _content(text, at + len(command), finished)
    return None


def has_box(text: str) -> bool:
    return "\\boxed" in text or "\\fbox" in text


def _content(text: str, at: int, finished: bool) -> str | None:
    spaced = text[at : at + 1].isspace()
    while at < len(text) and text[at].isspace():
        at += 1
    if text[at : at + 1] != "{":
        if not spaced:
            return None
        end = min((e for e in (text.find("$", at), text.find("\n", at)) if e >= 0), default=len(text))
        return text[at:end].strip() if finished or end < len(text) else None
    depth = 0
    for brace in _BRACE.finditer(text, at):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return text[at + 1 : brace.start()].strip()
    return None
