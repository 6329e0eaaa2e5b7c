r"""Math-Verify (sympy behind a LaTeX parser), in a worker process and under a wall clock.

Both answers are put into a box and read as LaTeX only: its plain-expression reader is left out, because it
picks the last number out of text that does not parse, and because it evaluates strings as Python. Not
symmetric on purpose: an interval may answer an inequality, not the reverse. Answers with unbalanced braces
would break out of the box and are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from preceptor.grade import workers
from preceptor.grade.boxed import last_boxed
from preceptor.grade.grader import Grader, Outcome, yes_no
from preceptor.grade.math_is_equiv import canonical, read_gold
from preceptor.grade.workers import Reply
from preceptor.trace import Verdict


def verify(given: str, gold: str) -> Reply:
    """Math-Verify's verdict; undecided on timeout or a dead worker."""
    if not given.strip() or last_boxed(f"\\boxed{{{given}}}") != given.strip():
        return Reply(False, "not a LaTeX group")
    return workers.ask("math_verify", given, gold)


def compare(given: str, gold: str, meta: Mapping[str, Any]) -> Outcome:
    reply = verify(given, gold)
    return (Verdict.UNDECIDED, reply.why) if reply.equal is None else yes_no(reply.equal, given, gold)


MATH_VERIFY = Grader(last_boxed, compare, canonical, read_gold)
