r"""Which earlier steps a step uses: read from its text, or known from the world.

A citer is a callable `trace -> one entry per step`: the 0-based indices of the steps it cites, `()` for "the
problem alone", or None for "it does not say". Indices are given as cited, so a step that cites itself or a
later one shows; `NOWHERE` stands for a number that no step has.

`WrittenCitations` reads `#4`, `(from 1, 3)`, `(by #1 #2)`, `(using 1 and 2)`, `Step 2`, `steps 1 to 3`, and
`(from the problem)` for no step. Numbers mean the labels that steps carry at their beginning (`#4.`,
`Step 2:`, `2)`); a step without label is meant by its place, counted from 1, unless another carries that
number. In Natural Program the problem's own sentences are numbered first: a `#` number below the smallest
step label is a premise of the problem, which every step sees anyhow.

`ArithmeticCitations` knows the truth in the world `arithmetic`: a line uses the lines that wrote its inputs.

Left out: citations by content ("the sum above"), and asking a model to name premises.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from preceptor.trace import Trace
from preceptor.worlds.arithmetic_oracle import State

Cited = tuple[int, ...] | None
Citer = Callable[[Trace], Sequence[Cited]]

NOWHERE = -1
"""Index that stands for a cited number no step carries."""

_HEAD = re.compile(
    r"\s*+(?:#(?P<hash>\d{1,6})[.:)]++\s*+)?(?P<group>\((?:by|from|using|given)\b[^()\n]*+\)\s*+)?"
    r"[*_#\s]*+(?:Step\s++(?P<step>\d{1,6})\s*+[:.)*—–-]++|(?P<plain>\d{1,6})[.):](?!\d))?",
    re.IGNORECASE,
)
_GROUP = re.compile(r"\((?:by|from|using|given)\b(?P<inside>[^()\n]*+)\)", re.IGNORECASE)
_STEPS = re.compile(
    r"\bsteps\s{1,3}#?\d{1,6}(?:\s{0,3}(?:,|&|;|and|to|-|–)\s{0,3}(?:and\s)?#?\d{1,6})*+|\bstep\s{1,3}#?\d{1,6}",
    re.IGNORECASE,
)
_HASHES = re.compile(r"#\d{1,6}(?:\s?(?:to|-|–)\s?#\d{1,6})?")
_RANGE = re.compile(r"#?(\d{1,6})\s{0,3}(?:to|-|–)\s{0,3}#?(\d{1,6})|#?(\d{1,6})")
_GIVEN = re.compile(r"\b(?:problem|question|given|premises?)\b", re.IGNORECASE)
_LIST_WORD = re.compile(
    r"\d{1,6}|[,;&–\s-]|\b(?:and|to|lines?|the|problem|question|given|premises?)\b", re.IGNORECASE
)
_LONGEST_RANGE = 1000


@dataclass(frozen=True)
class WrittenCitations:
    """Reads citations from the text of each step; a step that names none gets None."""

    name: str = "written"

    def __call__(self, trace: Trace) -> list[Cited]:
        texts = trace.step_texts
        heads = [_HEAD.match(text) for text in texts]
        hashes = _labels([None if h is None else h["hash"] for h in heads])
        named = [None if h is None else h["step"] or h["plain"] for h in heads]
        steps = _labels(named)
        for i, own in enumerate(named):
            if own is None:
                steps.setdefault(i + 1, i)
        return [
            _read(text, 0 if head is None else head.end(), head, hashes, steps)
            for text, head in zip(texts, heads, strict=True)
        ]


def _labels(numbers: Sequence[str | None]) -> dict[int, int]:
    """Label -> index of the first step that carries it."""
    found: dict[int, int] = {}
    for i, number in enumerate(numbers):
        if number is not None:
            found.setdefault(int(number), i)
    return found


def _read(
    text: str, body: int, head: re.Match[str] | None, hashes: Mapping[int, int], steps: Mapping[int, int]
) -> Cited:
    """Indices cited by one step; its own label, in the head, is not a citation."""
    rest = ("" if head is None else head["group"] or "") + text[body:]
    groups = list(_GROUP.finditer(rest))
    by_hash = _numbers_in(_HASHES, _STEPS.sub(" ", rest))
    by_step = _numbers_in(_STEPS, rest)
    for group in groups:
        bare = _HASHES.sub(" ", _STEPS.sub(" ", group["inside"]))
        if not _LIST_WORD.sub("", bare):  # "(from 3 apples)" cites nothing
            (by_hash if hashes else by_step).extend(_numbers(bare))
    first = min(hashes, default=0)
    cited = [hashes.get(n, NOWHERE) for n in by_hash if n >= first] if hashes else []
    cited += [steps.get(n, NOWHERE) for n in (by_step if hashes else by_step + by_hash)]
    given = any(_GIVEN.search(group[0]) for group in groups) or bool(by_hash)
    return tuple(sorted(set(cited))) if cited or given else None


def _numbers_in(pattern: re.Pattern[str], text: str) -> list[int]:
    return [n for found in pattern.finditer(text) for n in _numbers(found[0])]


def _numbers(text: str) -> list[int]:
    """`"1, 3 to 5"` -> 1, 3, 4, 5. A range that runs backwards or too far names its two ends only."""
    out: list[int] = []
    for a, b, single in _RANGE.findall(text):
        if single:
            out.append(int(single))
        else:
            low, high = int(a), int(b)
            out += range(low, high + 1) if low <= high <= low + _LONGEST_RANGE else (low, high)
    return out


@dataclass(frozen=True)
class ArithmeticCitations:
    """The lines of an `arithmetic` attempt whose results each line uses, from the oracle's own state.

    A line that does a node's work, rightly or with the wrong result or operation, uses the lines that wrote
    the node's inputs; the answer line uses the line that wrote the last node. Any other line uses, for each
    of its numbers that is not in the problem, the last line before it with that result. Problems of other
    worlds get None.
    """

    name: str = "arithmetic"

    def __call__(self, trace: Trace) -> list[Cited]:
        if trace.problem.world != "arithmetic":
            return [None] * len(trace.steps)
        state = State.of(trace.problem)
        writer: dict[int, int] = {}
        results: dict[Fraction, int] = {}
        cited: list[Cited] = []
        for t, line in enumerate(trace.step_texts):
            before = set(state.written)
            kind = state.take(line).kind
            new = set(state.written) - before
            if kind in ("ok", "wrong result", "wrong operation"):
                refs = state.nodes[next(iter(new))][1:] if new else (f"n{len(state.nodes) - 1}",)
                used = {writer[int(ref[1:])] for ref in refs if ref[0] == "n"}
            else:
                numbers = [Fraction(n) for n in re.findall(r"-?\d{1,12}", line.split("=")[0], re.ASCII)]
                known = {Fraction(g) for g in state.givens}
                used = {results[n] for n in numbers if n not in known and n in results}
            cited.append(tuple(sorted(used)))
            writer |= dict.fromkeys(new, t)
            if "=" in line and (
                last := re.fullmatch(r"\s*(-?\d{1,12})\s*", line.rpartition("=")[2], re.ASCII)
            ):
                results[Fraction(last[1])] = t
        return cited
