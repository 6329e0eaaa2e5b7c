"""Making hostile text safe to show: every invisible character becomes a visible escape.

Model output may hold control characters, lone surrogates, text-direction overrides and zero-width
characters; none of them reaches the page as itself. HTML escaping is the template engine's job.
"""

from __future__ import annotations

import unicodedata

from markupsafe import Markup, escape

_HIDDEN = {"Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"}
_KEPT = "\n\t"


def visible(text: str) -> str:
    """The text with every hidden character written as `\\uHHHH`; `\\r\\n` counts as `\\n`.

    >>> visible("a\\x07b")
    'a\\\\u0007b'
    """
    return "".join(_shown(c) if _hidden(c) else c for c in text.replace("\r\n", "\n"))


def marked(text: str) -> Markup:
    """`visible`, HTML-escaped, with every escape in a `<span class="esc">` so that it cannot be mistaken
    for the same characters typed out."""
    parts: list[str] = []
    for c in text.replace("\r\n", "\n"):
        parts.append(f'<span class="esc">{_shown(c)}</span>' if _hidden(c) else str(escape(c)))
    return Markup("".join(parts))


def _hidden(c: str) -> bool:
    return c not in _KEPT and not (" " <= c <= "~") and unicodedata.category(c) in _HIDDEN


def _shown(c: str) -> str:
    code = ord(c)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
