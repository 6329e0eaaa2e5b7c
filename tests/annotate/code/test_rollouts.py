"""Rollouts label code as they label anything: any-of-K completions that pass the tests.

Run: python -m pytest tests/annotate/code/test_rollouts.py
"""

from __future__ import annotations

from collections.abc import Sequence

from preceptor.annotate import MathShepherd
from preceptor.generation import Continuation, Request
from preceptor.trace import Finish
from preceptor.usage import Usage
from preceptor.worlds.programs import Programs
from tests.annotate.code.programs import linux, trace

pytestmark = linux


class Finishes:
    """Writes the rest of the reference behind a prefix; every second draw breaks off."""

    fingerprint = "finishes"

    def generate(self, requests: Sequence[Request]) -> list[Continuation]:
        return [self._one(r) for r in requests]

    def _one(self, request: Request) -> Continuation:
        rest = "".join(request.problem.reference[request.prefix.count("\n") :])
        text = rest if request.draw % 2 else "    return None\n"
        return Continuation(text, Finish.STOP, usage=Usage(generated=len(text), calls=1))


def test_the_hard_label_of_a_line_agrees_with_the_world_where_the_completer_knows_the_reference():
    world = Programs()
    problem = next(p for p in world.problems(n=20) if "score(n, m)" in p.prompt)
    lines = list(problem.reference)
    lines[2] = "    q = p\n"
    right, wrong = trace("".join(problem.reference), problem), trace("".join(lines), problem)
    judged = MathShepherd(Finishes(), rollouts=2).score([right, wrong])
    assert judged[0].scores == (1.0,) * 6
    assert judged[0].counts == ((1, 2),) * 5 + (None,)
    for t, j in zip((right, wrong), judged):
        assert j.scores == tuple(float(s.valid) for s in world.judge(problem, t.step_texts))
