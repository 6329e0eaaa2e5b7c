"""A labelling process for `test_kill.py`: labels the same traces into a store, slowly, and logs what it
generates.

python -m tests.annotate.worker STORE LOG SECONDS_PER_BATCH
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence

from preceptor.annotate import MathShepherd, label
from preceptor.generation import Continuation, Request
from preceptor.store import Store
from tests.annotate.scripted import Scripted, trace

TRACES = [trace(6, name=f"q{i}", draw=d) for i in range(24) for d in range(2)]
ROLLOUTS = 8
UNIT = 8
"""Traces labelled at a time: 8 traces of 5 prefixes make 320 requests, so two batches (256 and 64) a unit."""


class Logged(Scripted):
    """Appends the keys of each batch to a file before it answers, and takes its time."""

    def __init__(self, log: str, seconds: float):
        super().__init__(lambda t: 0.9 - 0.2 * t)
        self.log, self.seconds = log, seconds

    def generate(self, requests: Sequence[Request]) -> list[Continuation]:
        line = " ".join(r.key(self.fingerprint) for r in requests) + "\n"
        fd = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(fd, line.encode())
        os.close(fd)
        time.sleep(self.seconds)
        return super().generate(requests)


def run(path: str, log: str, seconds: float) -> None:
    with Store(path) as store:
        scorer = MathShepherd(Logged(log, seconds), rollouts=ROLLOUTS, store=store)
        label(scorer, TRACES, store, unit=UNIT)


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], float(sys.argv[3]))
