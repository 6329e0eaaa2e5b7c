r"""One sentence, one step, by punctuation; a blank line ends a sentence too.

`.`, `!` or `?` ends a sentence when white space follows and the next word does not begin in lower case, and
the dot does not belong to a known abbreviation, a single initial or a list number (`2. Then`). Decimals
(`3.14`) have no white space after the dot. `。！？` end a sentence anywhere. Left out: sentence models; a
formula with ". " inside may be cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from preceptor.segment.tile import tile
from preceptor.trace import Step

_END = re.compile(
    r"(?<![.!?])[.!?]++[\"'”’)\]*_]*+(?P<gap>[ \t\r]*+(?:\n[ \t\r]*+)*+)"
    r"|[。！？]++[”’」』）]*+[ \t\r\n]*+"
    r"|\n(?:[ \t\r]*+\n)++"
)
_WORD_BEFORE = re.compile(r"([A-Za-z0-9.]+)\Z")
_ABBREVIATION = re.compile(
    r"mr|mrs|ms|dr|prof|st|vs|cf|figs?|eqs?|nos?|approx|etc|e\.g|i\.e|resp|thm|lem|def|sec|ch|pp",
    re.IGNORECASE,
)
_LONGEST_WORD = 12


def sentence(text: str) -> tuple[Step, ...]:
    r"""Steps of `text`, cut after every sentence and the white space behind it.

    >>> [(s.start, s.end) for s in sentence("Pi is 3.14. Dr. Wu agrees! So do I.")]
    [(0, 12), (12, 27), (27, 35)]
    """
    return tile(text, _cuts(text))


def _cuts(text: str) -> Iterator[int]:
    for found in _END.finditer(text):
        gap = found["gap"]
        paragraph_ends = gap is None or gap.count("\n") > 1
        next_word_is_lower = text[found.end() : found.end() + 1].islower()
        if paragraph_ends or (gap and not next_word_is_lower and not _abbreviated(text, found)):
            yield found.end()


def _abbreviated(text: str, found: re.Match[str]) -> bool:
    """Whether the dot at `found` belongs to the word before it."""
    at = found.start()
    if text[at : at + 2].strip() != ".":
        return False
    word = _WORD_BEFORE.search(text, max(0, at - _LONGEST_WORD), at)
    if word is None:
        return False
    before = word[1]
    if before.isdigit():
        line_so_far = text[max(0, word.start() - _LONGEST_WORD) : word.start()].rpartition("\n")[2]
        return len(before) <= 2 and not line_so_far.strip(" \t#*-")
    # "I" ends sentences ("So do I."), other single letters are initials or list letters.
    initial = len(before) == 1 and before.isupper() and before != "I"
    return initial or _ABBREVIATION.fullmatch(before) is not None
