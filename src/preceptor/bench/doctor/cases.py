"""Right traces, and wrong ones whose first error is known.

A wrong trace is made from a right one by changing one digit of one result, so it has the same length and
the same look. Where the problem has a world with an oracle, a line may also do a wrong operation or take a
wrong number of the problem (rightly computed); the change is carried through the later lines where that can
be done exactly, and the oracle confirms the place of the first error. Elsewhere it rests on the changed
number being wrong, which is nearly always so. Traces with labels bring their own errors.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from preceptor.errors import InputError
from preceptor.judgement import NO_ERROR, Judgement
from preceptor.trace import Problem, Trace, steps_from_ends, stream_seed
from preceptor.worlds import WORLDS

RESULT = "wrong result"
_RESULT = re.compile(r"=[^\d=]*(\d+)[^\d=]*$")
_NUMBER = re.compile(r"(\d+)\D*$")
_SUM = re.compile(r"(-?\d+)([-+*/])(-?\d+)=(-?\d+)(\s*)", re.ASCII)
_ANSWER = re.compile(r"(Answer: )(-?\d+)(\s*)", re.ASCII)


@dataclass(frozen=True)
class Case:
    """A right trace, a wrong one of the same problem, or both."""

    right: Trace | None
    wrong: Trace | None
    first_error: int | None
    """0-based index of the first wrong step of `wrong`."""
    made: bool = True
    """`wrong` was made from `right`: they share the steps before the error."""
    kind: str = ""
    """Kind of the error, where it was made."""

    @property
    def problem(self) -> Problem:
        trace = self.right or self.wrong
        assert trace is not None
        return trace.problem


def with_steps(problem: Problem, texts: Sequence[str], like: Trace | None = None) -> Trace:
    """The trace with these step texts, joined as they are; `like` lends kinds and observations to the first
    steps."""
    ends, at = [], 0
    for text in texts:
        at += len(text)
        ends.append(at)
    steps = steps_from_ends(ends)
    if like is not None:
        lent = [replace(s, kind=o.kind, observation=o.observation) for s, o in zip(steps, like.steps)]
        steps = (*lent, *steps[len(lent) :])
    return Trace(problem, "".join(texts), steps)


def reference_cases(problems: Iterable[Problem], seed: int = 0) -> list[Case]:
    """One case for each problem with a reference solution; InputError when none has one."""
    found = list(problems)
    cases = [_made(with_steps(p, _ended(p.reference)), seed) for p in found if p.reference]
    if not cases:
        raise InputError(
            f"problems: got {len(found)} without a reference solution, expected some with one. Use problems "
            "with reference steps (world:arithmetic, GSM8K, MATH), or labelled traces."
        )
    return cases


def labelled_cases(pairs: Iterable[tuple[Trace, Judgement]], seed: int = 0) -> list[Case]:
    """Cases from traces whose judgement states the first error (`NO_ERROR`: all right).

    Every right trace also gets a wrong partner made from it. Traces without a stated first error, and
    traces without steps, are left out; InputError when nothing remains.
    """
    cases: list[Case] = []
    for trace, truth in pairs:
        if truth.first_error is None or not trace.steps:
            continue
        if truth.first_error == NO_ERROR:
            cases.append(_made(trace, seed))
        elif truth.first_error < len(trace.steps):
            cases.append(Case(None, trace, truth.first_error, made=False))
    if not cases:
        raise InputError(
            "traces: got none that says where its first error is, expected labelled traces. Label them first "
            "(preceptor label), or use problems with reference solutions."
        )
    return cases


def corrupted(trace: Trace, seed: int = 0) -> tuple[Trace, int, str] | None:
    """A copy with one wrong step, the index of that step and the kind of error; None where no step has a
    number to change."""
    rng = random.Random(stream_seed("corrupt", seed, trace.id))
    texts = trace.step_texts
    places = [t for t, text in enumerate(texts) if _number(text)]
    places.sort(key=lambda t: (_RESULT.search(texts[t]) is None, rng.random()))
    world = WORLDS.get(trace.problem.world)
    for t in places:
        for kind, changed, old, new in _changes(trace.problem, texts[t], rng):
            plain = [*texts[:t], changed, *texts[t + 1 :]]
            if world is None:
                return with_steps(trace.problem, plain, trace), t, kind
            carried = _carried(plain, t, old, new)
            for candidate in (carried, plain) if kind == RESULT else (carried,):
                valid = [] if candidate is None else world.judge(trace.problem, candidate)
                bad = [i for i, truth in enumerate(valid) if not truth.valid]
                if candidate is not None and (bad == [t] or (candidate is plain and bad[:1] == [t])):
                    return with_steps(trace.problem, candidate, trace), t, kind
    return None


def _changes(problem: Problem, text: str, rng: random.Random) -> list[tuple[str, str, str, str]]:
    """Wrong versions of one step: (kind, text, right result, wrong result), in random order."""
    found = _number(text)
    assert found is not None
    old, new = found[1], _other(found[1], rng)
    made = [(RESULT, text[: found.start(1)] + new + text[found.end(1) :], old, new)]
    line = _SUM.fullmatch(text) if problem.world in WORLDS else None
    if line is not None:
        a, op, b, result, end = line.groups()
        given = [n for n in re.findall(r"\d+", problem.prompt) if n not in (a, b)]
        others: list[tuple[str, str, str, str]] = [("wrong operation", a, o, b) for o in "+-*" if o != op]
        others += [("wrong operand", a, op, n) for n in given]
        rng.shuffle(others)
        for kind in ("wrong operation", "wrong operand"):
            for _, x, o, y in (other for other in others if other[0] == kind):
                value = _apply(o, int(x), int(y))
                if value is not None and value > 0 and str(value) != result:
                    made.append((kind, f"{x}{o}{y}={value}{end}", result, str(value)))
                    break
    rng.shuffle(made)
    return made


def _made(right: Trace, seed: int) -> Case:
    pair = corrupted(right, seed)
    return Case(right, None, None) if pair is None else Case(right, pair[0], pair[1], kind=pair[2])


def _ended(steps: Sequence[str]) -> list[str]:
    """Every step but the last ends in a line break."""
    return [s if s.endswith("\n") or i == len(steps) - 1 else s + "\n" for i, s in enumerate(steps)]


def _number(text: str) -> re.Match[str] | None:
    return _RESULT.search(text) or _NUMBER.search(text)


def _other(number: str, rng: random.Random) -> str:
    """The number with one digit changed and no new leading zero."""
    at = rng.randrange(len(number))
    allowed = [d for d in "0123456789" if d != number[at] and not (d == "0" and at == 0 and len(number) > 1)]
    return number[:at] + rng.choice(allowed) + number[at + 1 :]


def _carried(texts: Sequence[str], t: int, old: str, new: str) -> list[str] | None:
    """Later lines computed again with the wrong result; None where a line is not a sum or not exact."""
    now = {old: new}
    out = list(texts[: t + 1])
    for text in texts[t + 1 :]:
        if found := _SUM.fullmatch(text):
            a, b = now.get(found[1], found[1]), now.get(found[3], found[3])
            result = _apply(found[2], int(a), int(b))
            if result is None:
                return None
            now[found[4]] = str(result)
            out.append(f"{a}{found[2]}{b}={result}{found[5]}")
        elif found := _ANSWER.fullmatch(text):
            out.append(f"{found[1]}{now.get(found[2], found[2])}{found[3]}")
        else:
            return None
    return out


def _apply(op: str, a: int, b: int) -> int | None:
    if op == "/":
        return a // b if b and a % b == 0 else None
    return {"+": a + b, "-": a - b, "*": a * b}[op]
