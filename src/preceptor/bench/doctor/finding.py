"""What a check found, and the report over all of them."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from preceptor.usage import Ledger

WIDTH = 112
TELLING = ("right over wrong step", "right over wrong trace", "labelled errors")
"""Checks without which nothing is known of a scorer's worth."""


class Outcome(str, Enum):
    """The verdict of one check."""

    PASS = "pass"
    WARN = "warn"
    """True and worth knowing, but no reason to distrust every score."""
    FAIL = "fail"
    """Scores of this scorer mislead, or cannot be matched to steps."""
    SKIP = "skip"
    """Not applicable, or too little data; `what` says which."""


@dataclass(frozen=True)
class Finding:
    """One check's verdict, with the figures it rests on."""

    check: str
    verdict: Outcome
    what: str
    """One sentence with figures."""
    evidence: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """JSON values: counts, estimates as records, examples."""
    advice: str = ""
    """What to do; empty where nothing needs doing."""

    def to_record(self) -> dict[str, Any]:
        return {
            "check": self.check,
            "verdict": self.verdict.value,
            "what": self.what,
            "evidence": dict(self.evidence),
            "advice": self.advice,
        }


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """All findings about one scorer."""

    scorer: str
    question: str
    cases: int
    seed: int
    findings: tuple[Finding, ...]
    asked: int
    """Traces scored."""
    seconds: float
    usage: Ledger

    def __repr__(self) -> str:
        return f"<Diagnosis of {self.scorer}: {self.counts()}>"

    def __getitem__(self, check: str) -> Finding:
        """The finding of one check, by its name."""
        return next(f for f in self.findings if f.check == check)

    def of(self, verdict: Outcome) -> tuple[str, ...]:
        """Names of the checks that came out so."""
        return tuple(f.check for f in self.findings if f.verdict is verdict)

    @property
    def failed(self) -> tuple[str, ...]:
        return self.of(Outcome.FAIL)

    def counts(self) -> str:
        return ", ".join(f"{len(self.of(v))} {v.value}" for v in Outcome if self.of(v))

    def verdict(self) -> str:
        """The last line of the report."""
        if self.failed:
            return f"NOT TO BE TRUSTED: {len(self.failed)} checks failed: {', '.join(self.failed)}"
        told = [f.verdict for f in self.findings if f.check in TELLING]
        if all(v is Outcome.SKIP for v in told):
            return "no check failed, but too little data to say whether it tells right from wrong"
        if warned := self.of(Outcome.WARN):
            return f"usable with care: {len(warned)} warnings: {', '.join(warned)}"
        return "no check failed"

    def table(self) -> str:
        """Text for a terminal: a line or two a check, advice under what did not pass."""
        name = max(len(f.check) for f in self.findings)
        head = f"{self.scorer} ({self.question}), {self.cases} cases, seed {self.seed}"
        lines = [head, f"{self.asked:,} traces scored in {self.seconds:.1f} s: {self.counts()}", ""]
        for f in self.findings:
            told = f.what if f.verdict in (Outcome.PASS, Outcome.SKIP) else f"{f.what} {f.advice}".strip()
            start = f"{f.verdict.value.upper():<4}  {f.check:<{name}}  "
            lines += textwrap.wrap(
                told, WIDTH, initial_indent=start, subsequent_indent=" " * len(start), break_on_hyphens=False
            )
        return "\n".join([*lines, "", self.verdict()])

    def to_record(self) -> dict[str, Any]:
        return {
            "scorer": self.scorer,
            "question": self.question,
            "cases": self.cases,
            "seed": self.seed,
            "asked": self.asked,
            "seconds": self.seconds,
            "usage": self.usage.to_record(),
            "failed": list(self.failed),
            "warned": list(self.of(Outcome.WARN)),
            "findings": [f.to_record() for f in self.findings],
        }
