"""`diagnose`: every check, in order, on one scorer.

A check in which the scorer raises becomes a failed finding; the others still run. Only what is wrong with the
set-up (a server that cannot be reached, a missing extra) is raised. Cost: about 800 traces scored for 64 cases
(490 of them attacks on 32), two more per further case, and two traces longer than the context.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from preceptor.bench.doctor.attacks import attacks
from preceptor.bench.doctor.bias import bias
from preceptor.bench.doctor.cases import Case
from preceptor.bench.doctor.discrimination import discriminates
from preceptor.bench.doctor.finding import Diagnosis, Finding, Outcome
from preceptor.bench.doctor.numbers import saturation, underflow
from preceptor.bench.doctor.stability import batch, determinism, prefix
from preceptor.bench.doctor.structure import answers, counts, injection, tag, truncation
from preceptor.bench.doctor.subject import Subject
from preceptor.errors import InputError, MissingExtra, ServerUnreachable
from preceptor.judgement import Scorer
from preceptor.progress import Progress, silent

CHECKS: dict[str, Callable[[Subject], list[Finding]]] = {
    "answers": answers,
    "counts": counts,
    "tag": tag,
    "injected marks": injection,
    "truncation": truncation,
    "prefixes": prefix,
    "determinism": determinism,
    "batch and padding": batch,
    "underflow": underflow,
    "saturation": saturation,
    "right over wrong": discriminates,
    "bias": bias,
    "attacks": attacks,
}


def diagnose(
    scorer: Scorer, cases: Sequence[Case], *, seed: int = 0, progress: Progress = silent
) -> Diagnosis:
    """Examine a scorer on these cases (`reference_cases`, `labelled_cases`)."""
    if not cases:
        raise InputError("diagnose: got no cases, expected some. See reference_cases and labelled_cases.")
    begin = time.perf_counter()
    subject = Subject(scorer, cases, seed)
    findings: list[Finding] = []
    for done, (name, check) in enumerate(CHECKS.items()):
        progress(done, len(CHECKS), name)
        findings += _guarded(name, check, subject)
        if name == "answers" and findings[-1].verdict is Outcome.FAIL:
            break
    progress(len(CHECKS), len(CHECKS), f"{subject.asked} traces")
    return Diagnosis(
        scorer=str(scorer.source),
        question=scorer.question.value,
        cases=len(cases),
        seed=seed,
        findings=tuple(findings),
        asked=subject.asked,
        seconds=time.perf_counter() - begin,
        usage=subject.usage,
    )


def _guarded(name: str, check: Callable[[Subject], list[Finding]], subject: Subject) -> list[Finding]:
    try:
        return check(subject)
    except (ServerUnreachable, MissingExtra):
        raise
    except Exception as error:  # noqa: BLE001 - whatever the scorer raises is the finding
        what = f"the scorer raised {type(error).__name__}: {str(error)[:200]}"
        advice = "A bad item must come back as a judgement with an error, never as an exception."
        return [Finding(name, Outcome.FAIL, what, {"error": type(error).__name__}, advice)]
