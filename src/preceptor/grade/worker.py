"""The process in which sympy runs: reads one job a line from stdin, answers one line on stdout.

Started by `workers.py` as a plain child process, never imported by the parent's code path. It limits its own
memory, and its own processor time before every job, so that it dies even if the parent was killed while
sympy hung. Replies: `{"ready": ..}` once, then per job `{"id", "started"}` and `{"id", "equal"}`, where
`equal` is null when memory or recursion gave out.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from preceptor.grade.expression import Node, parse

MEMORY_BYTES = 2 << 30


def main() -> None:
    """Serve jobs until stdin closes."""
    replies = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.disable(logging.CRITICAL)
    _limit_memory()
    math_verify("\\frac{1}{2}", "0.5")
    difference_is_zero("x", "x+0")

    def reply(**record: Any) -> None:
        replies.write(json.dumps(record) + "\n")
        replies.flush()

    reply(ready=True)
    for line in sys.stdin:
        job = json.loads(line)
        _limit_processor(job["limit_s"])
        reply(id=job["id"], started=True)
        try:
            equal: bool | None = OPERATIONS[job["operation"]](job["given"], job["gold"])
            why = ""
        except (MemoryError, RecursionError) as error:
            equal, why = None, type(error).__name__
        except Exception as error:  # noqa: BLE001 - sympy raises anything on odd input; it is then not equal
            equal, why = False, type(error).__name__
        reply(id=job["id"], equal=equal, why=why)


def math_verify(given: str, gold: str) -> bool:
    """Math-Verify's verdict on both answers in a box; it is not symmetric."""
    from math_verify import LatexExtractionConfig, verify
    from math_verify import parse as read

    config = [LatexExtractionConfig(boxed_match_priority=0)]
    said, wanted = (
        read(f"\\boxed{{{answer}}}", config, parsing_timeout=None, raise_on_error=True)
        for answer in (given, gold)
    )
    return bool(verify(wanted, said, timeout_seconds=None))


def difference_is_zero(given: str, gold: str) -> bool:
    """Whether gold - given simplifies to 0."""
    import sympy

    return bool(
        sympy.simplify(_symbolic(parse(gold, symbols=True)) - _symbolic(parse(given, symbols=True))) == 0
    )


def _symbolic(node: Node) -> Any:
    import sympy

    if node.op == "number":
        return sympy.Rational(node.value.numerator, node.value.denominator)
    if node.op == "name":
        return sympy.pi if node.text == "pi" else sympy.Symbol(node.text)
    args = [_symbolic(arg) for arg in node.args]
    return _OPERATORS[node.op](*args)


_OPERATORS: dict[str, Callable[..., Any]] = {
    "neg": lambda a: -a,
    "sqrt": lambda a: a ** _half(),
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "^": lambda a, b: a**b,
}

OPERATIONS: dict[str, Callable[[str, str], bool]] = {
    "difference_is_zero": difference_is_zero,
    "math_verify": math_verify,
}


def _half() -> Any:
    import sympy

    return sympy.Rational(1, 2)


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # not on Windows
        return
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _limit_processor(seconds: float) -> None:
    try:
        import resource
    except ImportError:  # not on Windows
        return
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    limit = int(time.process_time() + seconds) + 2
    resource.setrlimit(
        resource.RLIMIT_CPU, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard)
    )


if __name__ == "__main__":
    main()
