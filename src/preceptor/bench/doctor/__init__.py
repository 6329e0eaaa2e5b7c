"""Is this scorer to be trusted? `diagnose` asks, on right traces and wrong ones with a known first error.

    finding.py         `Finding`, `Diagnosis`: verdicts with figures, the report as text and as a record
    cases.py           right and wrong traces: `reference_cases`, `labelled_cases`, `corrupted`
    subject.py         the scorer under examination, asked in one place
    structure.py       answers, counts, tag in context, injected marks, truncation
    numbers.py         underflow, saturation
    stability.py       the same call twice, batch and padding, prefixes
    discrimination.py  right over wrong
    bias.py            position, step length, number of steps
    attack_texts.py    the attack set; `attacks.py` what it gains
    run.py             `CHECKS` and `diagnose`

Thresholds are constants at the top of each file, with the reason. To add a check: a function from `Subject` to
findings, and a line in `CHECKS`; checks that need to see token ids do so through `HasRender` and skip others.
"""

from preceptor.bench.doctor.cases import Case, corrupted, labelled_cases, reference_cases
from preceptor.bench.doctor.finding import Diagnosis, Finding, Outcome
from preceptor.bench.doctor.run import CHECKS, diagnose

__all__ = [
    "CHECKS",
    "Case",
    "Diagnosis",
    "Finding",
    "Outcome",
    "corrupted",
    "diagnose",
    "labelled_cases",
    "reference_cases",
]
