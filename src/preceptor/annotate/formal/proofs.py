"""FoVer (formal proof): labels of a proof's steps from whole runs of a proof assistant.

Run 1 admits every step (`sorry`): if it fails the proof does not parse, drop it. Run 2 proves every step
(`sledgehammer`): if it succeeds all steps are right. Else one run a step: that one proved, the others admitted.
Cost: 1, 2 or T + 2 runs. A crash is tried again up to 10 times, then the trace is dropped. The prover is any
`Prover`; Isabelle itself was not run here, and the translation of a trace to its language is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from preceptor.errors import InputError, ItemError

RETRIES = 10


class Method(str, Enum):
    """How one step of a run is closed, by Isabelle's words."""

    SORRY = "sorry"
    """Admitted without proof."""
    SLEDGEHAMMER = "sledgehammer"
    """Must be proved automatically."""


class Run(str, Enum):
    """How a run of the prover ended."""

    PASSED = "passed"
    FAILED = "failed"
    CRASHED = "crashed"
    """The prover itself broke, or ran out of time before it could say."""


class Prover(Protocol):
    """One proof assistant. A run is one check of the whole proof; it never raises on any text."""

    def run(self, proof: Sequence[str], methods: Sequence[Method]) -> Run: ...


@dataclass(frozen=True)
class ProofLabels:
    """Labels of a proof, or why there are none."""

    labels: tuple[float, ...] | None
    runs: int
    """Runs started, repeated ones included."""
    error: ItemError | None = None


def proof_labels(prover: Prover, proof: Sequence[str], *, retries: int = RETRIES) -> ProofLabels:
    """One label (1 right, 0 wrong) per step of `proof`, by the protocol above."""
    if not proof or retries < 0:
        raise InputError(
            f"proof: got {len(proof)} steps and retries={retries}, expected a step or more and retries >= 0"
        )
    steps, runs = range(len(proof)), 0

    def ask(proved: Sequence[int]) -> bool:
        nonlocal runs
        methods = [Method.SLEDGEHAMMER if t in proved else Method.SORRY for t in steps]
        for _ in range(retries + 1):
            runs += 1
            outcome = prover.run(proof, methods)
            if outcome is not Run.CRASHED:
                return outcome is Run.PASSED
        raise _Crashed

    try:
        if not ask([]):
            return ProofLabels(None, runs, ItemError("syntax", "the proof fails with every step admitted"))
        labels = (1.0,) * len(proof) if ask(steps) else tuple(float(ask([t])) for t in steps)
    except _Crashed:
        return ProofLabels(None, runs, ItemError("crash", f"the prover crashed {retries + 1} times in a row"))
    return ProofLabels(labels, runs)


class _Crashed(Exception):
    """One run crashed too often."""
