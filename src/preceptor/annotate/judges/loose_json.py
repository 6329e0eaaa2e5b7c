r"""Objects out of JSON as models write it: in prose and code fences, cut, or with small mistakes.

    object = "{" { key ":" { value } [","] } "}"        key = string of letters, digits, "_", "-" | word
    value  = string | number | word | "[" { value [","] } "]"

Strings may have single quotes, raw line ends, and unescaped quotes that no `,`, `:`, `}` or `]` follows.
Commas may be missing or too many. An object within an object takes the place of the outer one. An object
that does not end, or that holds a quote which ends nowhere or a key that is none, is dropped. What stands
inside strings is never read as structure. Pure; nothing is evaluated.
"""

from __future__ import annotations

import re

LONGEST = 4000
"""Characters of one string; a longer one spoils its object only."""
_STRING = rf"""(?P<quote>["'])(?P<string>(?:\\.|[^\\]){{0,{LONGEST}}}?)(?P=quote)(?=\s*(?:[,:}}\]]|$))"""
_TOKEN = re.compile(rf"{_STRING}|(?P<word>[\w.+-]+)|(?P<mark>[{{}}])|(?P<other>\S)", re.DOTALL)
_KEY = re.compile(r"[\w -]{1,40}")
_COLON = re.compile(r"\s*:")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_MOST_BAD = 50
"""Unreadable quotes after which a text is given up; each costs a look at `LONGEST` characters."""


def objects(text: str) -> list[dict[str, list[str]]]:
    """The innermost objects in order; every value is the list of its scalars, as text.

    >>> objects('Sure: [{"step": 1, "ref": [1, 2], "why": "6*8=48",}, {step: 2, "label": \\'WRONG\\'}, {"step": 3')
    [{'step': ['1'], 'ref': ['1', '2'], 'why': ['6*8=48']}, {'step': ['2'], 'label': ['WRONG']}]
    """
    found: list[dict[str, list[str]]] = []
    values: dict[str, list[str]] | None = None
    key, bad, at = "", 0, max(text.find("{"), 0)
    while token := _TOKEN.search(text, at):
        at = token.end()
        if token["mark"] == "{":
            values, key = {}, ""
        elif token["mark"] == "}":
            found += [] if values is None else [values]
            values, at = None, text.find("{", at)
            if at < 0:
                break
        elif token["other"]:
            if token["other"] in "\"'":
                values, bad = None, bad + 1
                if bad > _MOST_BAD:
                    break
        elif values is not None:
            value = _unescaped(token["string"]) if token["quote"] else token["word"]
            if not _COLON.match(text, at):
                values.setdefault(key, []).append(value)
            elif _KEY.fullmatch(value):
                key = value
                values.setdefault(key, [])
            else:
                values = None
    return found


def _unescaped(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        if match[1]:
            code = int(match[1], 16)
            return "\ufffd" if 0xD800 <= code < 0xE000 else chr(code)  # half a pair cannot be stored
        return _ESCAPES.get(match[2], match[2])

    return _ESCAPE.sub(one, text) if "\\" in text else text
