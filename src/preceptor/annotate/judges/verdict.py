r"""Prompts and verdicts as text: filling templates, fencing in what others wrote, reading what a judge says.

Pure functions; no model. What a judge writes is read strictly: a verdict that cannot be read is None, which
callers count and never take for "wrong" (or for "right", as some do).

Fencing. Untrusted text stands in the prompt between tags of ours. Text that holds such a tag could close its
fence and speak as the prompt, so the bracket of every such tag is exchanged (`<` becomes `[`) and the caller
is told, to flag it. That keeps the prompt's structure; it does not keep a judge from believing what it reads.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from preceptor.errors import InputError
from preceptor.grade.boxed import last_boxed
from preceptor.judgement import NO_ERROR

GOOD = ("correct", "valid", "right")
BAD = ("incorrect", "invalid", "wrong")
"""Words that mean the same whatever the question was."""
MARKER = "Verdict:"
_MARKED = re.compile(r"\bverdict[*_`]{0,3}[ \t]?:", re.IGNORECASE)

_NO_FAULT = r"no\s+(?:errors?|mistakes?|flaws?|faults?|problems?|issues?)"
_NEGATION = (
    r"(?:not|never|cannot|can't|isn't|aren't|wasn't|doesn't|hardly)\s+(?:(?:a|an|the|be|fully|entirely)\s+)*"
)
_HEDGE = re.compile(r"\b(?:whether|if|unclear|unsure|undecided|maybe|perhaps|either)\b", re.IGNORECASE)
_INTEGER = re.compile(r"(?<![0-9A-Za-z])-\s*[0-9]+|[0-9]+", re.ASCII)
_LONGEST_INDEX = 9
"""Digits; a longer number is no index of anything."""
_SHORT_REPLY = 6
"""A reply without a marker is a verdict only if it has no more words than this."""


class Fenced(NamedTuple):
    """Text that is safe to stand between tags."""

    text: str
    touched: bool
    """Whether a tag of ours was found in it and made harmless."""


def fill(template: str, **slots: str) -> str:
    """`template` with every `{name}` of a slot replaced by its text.

    In one pass, so braces and slot names inside the texts are left alone, and so are other braces of the
    template.
    """
    names = "|".join(map(re.escape, slots))
    return re.sub(rf"\{{({names})\}}", lambda found: slots[found[1]], template)


def check_template(template: str, *slots: str) -> None:
    """InputError when the template lacks one of the slots."""
    missing = [name for name in slots if f"{{{name}}}" not in template]
    if missing:
        raise InputError(f"template: got one without {missing}, expected the slots {list(slots)} in braces")


def fence(text: str, tags: Sequence[str]) -> Fenced:
    """`text` without a working tag that begins with one of the names in `tags`, opening or closing."""
    names = "|".join(map(re.escape, tags))
    safe, n = re.subn(rf"<(?=[\s/]*(?:{names}))", "[", text, flags=re.IGNORECASE)
    return Fenced(safe, n > 0)


def paragraphs(steps: Sequence[str], base: int = 0, tag: str = "paragraph") -> Fenced:
    """The steps, each between `<paragraph_k>` and `</paragraph_k>`, k from `base`."""
    fenced = [fence(step.strip(), (tag,)) for step in steps]
    blocks = [f"<{tag}_{k}>\n{f.text}\n</{tag}_{k}>" for k, f in enumerate(fenced, base)]
    return Fenced("\n\n".join(blocks), any(f.touched for f in fenced))


def boxed_index(text: str) -> int | None:
    r"""The one whole number in the last `\boxed{...}`, as written; None without a box or with another count.

    >>> boxed_index(r"first \boxed{2}, or rather \boxed{\text{paragraph\_{3}}}")
    3
    >>> boxed_index(r"\boxed{-1}"), boxed_index(r"\boxed{1 or 2}"), boxed_index(r"\boxed{3")
    (-1, None, None)
    """
    content = last_boxed(text)
    if content is None:
        return None
    found = _INTEGER.findall(content.replace("\u2212", "-"))
    if len(found) != 1 or len(found[0]) > _LONGEST_INDEX:
        return None
    return int(found[0].replace(" ", ""))


def step_index(written: int, steps: int, base: int = 0) -> int | None:
    """0-based step of a written index that counts from `base`; -1 is `NO_ERROR`; None when out of range."""
    if written == NO_ERROR:
        return NO_ERROR
    return written - base if base <= written < base + steps else None


def verdict_word(text: str, yes: Sequence[str] = ("yes",), no: Sequence[str] = ("no",)) -> bool | None:
    """Whether a reply says yes; None when it says neither, both, or leaves it open.

    Read are, in this order, the line after the last `Verdict:`, the last box, or a reply of a few words. The
    first verdict there decides: a word of `yes` or `GOOD`, of `no` or `BAD`, whole words only ("incorrect" is
    not "correct"), turned around after a "not"; "no error" is a yes. "yes or no" is neither.
    """
    place = _verdict_place(text)
    if place is None:
        return None
    for_yes = {w.casefold() for w in (*yes, *GOOD)} - {w.casefold() for w in no}
    words = sorted({*for_yes, *(w.casefold() for w in (*no, *BAD))}, key=len, reverse=True)
    one = r"(?<![\w-])(?P<{0}not>" + _NEGATION + r")?(?:(?P<{0}none>" + _NO_FAULT + r")|(?P<{0}word>"
    one += "|".join(map(re.escape, words)) + r"))(?![\w-])"
    found = re.search(one.replace("{0}", "a"), place, re.IGNORECASE)
    if found is None or _HEDGE.search(place[: found.start()]):
        return None
    if re.match(
        r"\W*(?:/|\bor\b)\W*(?:" + "|".join(map(re.escape, words)) + r")\b", place[found.end() :], re.I
    ):
        return None
    said = bool(found["anone"]) or (found["aword"] or "").casefold() in for_yes
    return said != bool(found["anot"])


def after_marker(text: str) -> int | None:
    """Where the last `Verdict:` of a text ends, emphasis around the word allowed; None without one."""
    return max((found.end() for found in _MARKED.finditer(text)), default=None)


def _verdict_place(text: str) -> str | None:
    at = after_marker(text)
    if at is not None:
        return text[at:].strip(" \t\r\n*_`").partition("\n")[0]
    boxed = last_boxed(text)
    if boxed is not None:
        return boxed
    return text if len(text.split()) <= _SHORT_REPLY else None
