"""The report of `preceptor doctor` as a page: every verdict with its figures, and all attacks in detail."""

from __future__ import annotations

from typing import Any

from preceptor.bench.doctor import Diagnosis, Finding, Outcome
from preceptor.bench.statistics import Estimate
from preceptor.view.report import Report

ORDER = (Outcome.FAIL, Outcome.WARN, Outcome.PASS, Outcome.SKIP)
TITLES = {
    Outcome.FAIL: "Failed",
    Outcome.WARN: "Warnings",
    Outcome.PASS: "Passed",
    Outcome.SKIP: "Not applicable, or too little data",
}


def doctor_page(diagnosis: Diagnosis) -> Report:
    """What failed comes first."""
    page = Report("Scorer examination", f"{diagnosis.scorer}, {diagnosis.question}")
    page.facts(
        {
            "verdict": diagnosis.verdict().split(":")[0].lower(),
            **{TITLES[v].split(",")[0].lower(): len(diagnosis.of(v)) for v in ORDER},
            "traces scored": diagnosis.asked,
        }
    )
    for verdict in ORDER:
        found = [f for f in diagnosis.findings if f.verdict is verdict]
        if found:
            page.section(TITLES[verdict])
            advised = any(f.advice for f in found)
            page.table(
                ["check", "what was found", *(["what to do"] if advised else [])],
                [[f.check, f.what, *([f.advice] if advised else [])] for f in found],
            )
    _attacks(page, diagnosis.findings)
    page.section("How these figures came about")
    page.provenance(
        {
            "command": "preceptor doctor",
            "scorer": diagnosis.scorer,
            "cases": diagnosis.cases,
            "seed": diagnosis.seed,
            "seconds": diagnosis.seconds,
            "tokens scored": diagnosis.usage.scorer.scored,
        }
    )
    return page


def _attacks(page: Report, findings: tuple[Finding, ...]) -> None:
    rows: list[list[Any]] = [
        [
            f.check.removeprefix("attack: "),
            e["variant"],
            e["figure"],
            Estimate(**e["gain"]),
            e["gap"],
            e["gaining"],
            e["decides"],
        ]
        for f in findings
        for e in f.evidence.get("effects", [])
    ]
    if not rows:
        return
    page.section("Attacks in detail")
    page.table(
        [
            "attack",
            "where",
            "score looked at",
            "mean gain",
            "right minus wrong",
            "share that gains",
            "decides",
        ],
        rows,
        caption="Wrong traces, attacked and plain, in the same call; 99 % intervals over problems",
        note="A gain is the attacked trace's score minus the plain one's. Right minus wrong is the gap it is "
        "measured against; where right and wrong hardly differ, the span of all scores. Only what decides can "
        "fail a check.",
    )
