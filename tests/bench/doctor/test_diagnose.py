"""Specifies the doctor: every disease is found as itself and as nothing else; a healthy scorer has none.

Run: python -m pytest tests/bench/doctor
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from preceptor.annotate import StepConfidence, WorldOracle
from preceptor.bench.doctor import CHECKS, Outcome, diagnose, labelled_cases, reference_cases
from preceptor.errors import InputError, ItemError, ServerUnreachable
from preceptor.judgement import Judgement, Question
from preceptor.worlds import arithmetic
from tests.bench.doctor.patients import (
    ORACLE,
    Patient,
    noise,
    per_step,
    pleased_by,
    pleased_by_repetition,
    sampling,
    searches_for,
)

CASES = reference_cases(arithmetic(n=16))


def by_all(drift):
    return Patient(lambda t, scores, traces: [s * (1 - drift(t, traces)) for s in scores])


DISEASES = {
    "drops the scores of empty steps": (
        "counts",
        Patient(lambda t, s, _: [v for v, x in zip(s, t.step_texts, strict=True) if x.strip()]),
    ),
    "reads a score at every copy of its tag": ("injected marks", searches_for("<extra_0>")),
    "reads the first 3,000 characters": (
        "truncation",
        Patient(lambda t, s, _: [v for v, x in zip(s, t.steps, strict=True) if x.end < 3000]),
    ),
    "reads the last 3,000 characters": (
        "truncation",
        Patient(lambda t, s, _: [v if len(t.text) - x.start < 3000 else None for v, x in zip(s, t.steps, strict=True)]),
    ),
    "another draw at every call": ("determinism", sampling()),
    "depends on the size of the batch": ("batch and padding", by_all(lambda t, ts: 0.1 * (len(ts) > 1))),
    "depends on the order of the batch": ("batch and padding", by_all(lambda t, ts: 0.1 * (t is ts[0]))),
    "depends on the longest neighbor": (
        "batch and padding",
        by_all(lambda t, ts: 0.1 * (max(len(x.text) for x in ts) > 4 * len(t.text))),
    ),
    "rounds small scores to 0": ("underflow", per_step(lambda x, s: s if s > 0.1 else 0.0)),
    "likes early steps": (
        "bias: position",
        Patient(lambda t, s, _: [v * (1 - 0.08 * i) for i, v in enumerate(s)]),
    ),
    "likes short traces": (
        "bias: number of steps",
        Patient(lambda t, s, _: [v * (1 - 0.08 * min(len(s), 9)) for v in s]),
    ),
    "likes praise": ("attack: politeness", pleased_by("thank you")),
    "likes boxes": ("attack: answer stuffing", pleased_by("boxed")),
    "likes hedging": ("attack: hedging", pleased_by("careful")),
    "likes tags": ("attack: injection", pleased_by("<|step|>")),
    "likes silence": ("attack: empty step", per_step(lambda x, s: s if x.strip() else 0.97)),
    "likes paragraphs": ("attack: one huge step", per_step(lambda x, s: 0.97 if x.count("\n") > 2 else s)),
    "likes repetition": ("attack: repeated step", Patient(pleased_by_repetition)),
}  # fmt: skip


@pytest.mark.parametrize("disease", DISEASES)
def test_a_disease_is_found_as_itself_and_as_nothing_else(disease):
    check, patient = DISEASES[disease]
    found = diagnose(patient, CASES)
    expected = {check, "prefixes"} if disease == "likes short traces" else {check}
    assert set(found.failed) | (set(found.of(Outcome.WARN)) & expected) == expected
    assert found[check].verdict is Outcome.FAIL
    assert found[check].advice


def test_the_oracle_passes_every_check_that_applies():
    found = diagnose(WorldOracle(), CASES)
    assert {f.check: f.what for f in found.findings if f.verdict in (Outcome.FAIL, Outcome.WARN)} == {}
    assert set(found.of(Outcome.SKIP)) == {"tag", "underflow", "saturation"}
    assert "no check failed" in found.table()


def test_an_honest_soft_scorer_has_no_failure_and_a_value_oracle_none_either():
    assert diagnose(Patient(lambda t, s, _: list(s)), CASES).failed == ()
    found = diagnose(WorldOracle(Question.VALUE), CASES)
    assert found.failed == ()
    assert found["attack: one huge step"].verdict is Outcome.SKIP, "its world cannot read the merged line"


def test_random_numbers_cannot_tell_right_from_wrong_and_fewer_steps_please_them():
    found = diagnose(
        Patient(lambda t, s, _: [noise(t.text, i) for i in range(len(s))]), reference_cases(arithmetic(n=64))
    )
    assert {"right over wrong step", "right over wrong trace"} <= set(found.failed)
    assert "attack: one huge step" not in found.of(Outcome.PASS)
    assert "cannot tell right from wrong" in found["right over wrong step"].what
    share = found["right over wrong step"].evidence["share"]
    assert share["low"] < 0.5 < share["high"]


def test_blindness_to_one_kind_of_error_is_named():
    def blind(trace, scores, _):
        kinds = ORACLE.score([trace])[0].rationale or ()
        return [0.9 + s / 100 if k == "wrong result" else s for s, k in zip(scores, kinds, strict=True)]

    found = diagnose(Patient(blind), reference_cases(arithmetic(n=64)))["right over wrong step"]
    assert found.verdict is Outcome.WARN
    assert found.what.endswith("Perhaps blind to: wrong result.")
    assert found.evidence["kinds"]["wrong operation"]["value"] == 1.0


def test_one_score_for_everything_is_no_agreement():
    """Ties count half: a constant is at chance, not at "never outscored"."""
    found = diagnose(per_step(lambda x, s: 0.7), CASES)
    assert {"saturation", "right over wrong step", "right over wrong trace"} == set(found.failed)
    assert found["right over wrong step"].evidence["share"]["value"] == 0.5
    assert found["attack: politeness"].verdict is Outcome.SKIP


def test_swapped_label_columns_are_told_from_blindness():
    found = diagnose(per_step(lambda x, s: 1 - s), CASES)
    assert "prefers the wrong ones" in found["right over wrong step"].what
    assert "swapped" in found["right over wrong step"].advice


def test_a_scorer_that_reads_ahead_fails_only_if_it_claims_to_be_causal():
    def ahead(trace, scores, _):
        return [s - 0.03 * noise(trace.text) for s in scores]

    patient = Patient(ahead)
    assert diagnose(patient, CASES)["prefixes"].verdict is Outcome.WARN
    patient.causal = True
    assert diagnose(patient, CASES).failed == ("prefixes",)


def test_a_scorer_that_raises_is_ill_and_a_server_that_is_away_is_not():
    def fragile(trace, scores, _):
        trace.text.encode("ascii")
        return scores

    found = diagnose(Patient(fragile), CASES)
    assert found["counts"].verdict is Outcome.FAIL
    assert "unicode: raised UnicodeEncodeError" in found["counts"].what
    assert found["right over wrong step"].verdict is Outcome.PASS, "the other checks still run"

    def away(trace, scores, _):
        raise ServerUnreachable("nobody home")

    with pytest.raises(ServerUnreachable):
        diagnose(Patient(away), CASES)


def test_judgements_in_another_order_fail_whatever_they_say():
    class Shuffled(Patient):
        def score(self, traces):
            return super().score(traces)[::-1]

    found = diagnose(Shuffled(lambda t, s, _: list(s)), CASES)
    assert found["answers"].verdict is Outcome.FAIL
    assert "order" in found["answers"].what


def test_a_scorer_that_answers_nothing_is_not_examined_further():
    """Confidence needs the log-probabilities of sampled traces; a written solution has none."""
    found = diagnose(StepConfidence(), CASES)
    assert found.failed == ("answers",)
    assert len(found.findings) == 1


def test_an_outcome_model_is_examined_by_its_last_score():
    found = diagnose(Patient(lambda t, s, _: [None] * (len(s) - 1) + [min(s)] if s else []), CASES)
    assert found.failed == ()
    assert found["right over wrong step"].verdict is Outcome.SKIP
    assert found["right over wrong trace"].verdict is Outcome.PASS


def test_errors_of_items_are_counted_and_never_taken_for_scores():
    class Half(Patient):
        def score(self, traces):
            return [
                j
                if int(t.problem.id[-1], 16) % 2
                else Judgement(t.id, j.question, j.source, None, error=ItemError("too-long", "no"))
                for t, j in zip(traces, super().score(traces), strict=True)
            ]

    found = diagnose(Half(lambda t, s, _: list(s)), CASES)
    assert found.failed == ()
    assert found["answers"].verdict is Outcome.WARN
    assert 0 < found["answers"].evidence["errors"]["too-long"] < 2 * len(CASES)
    assert 8 <= found["right over wrong step"].evidence["pairs"] < len(CASES)


def test_labelled_errors_are_used_where_people_marked_them():
    """The same traces, labelled one step too early: only the labels can show that the scorer disagrees."""
    traces = [c.wrong for c in reference_cases(arithmetic(n=80)) if c.first_error > 1]
    truth = ORACLE.score(traces)
    early = [replace(j, first_error=j.first_error - 1) for j in truth]
    honest, contrary = (
        diagnose(ORACLE, labelled_cases(zip(traces, labels, strict=True))) for labels in (truth, early)
    )
    assert honest["labelled errors"].evidence["auroc"]["value"] == 1.0
    assert contrary["labelled errors"].evidence["auroc"]["value"] == 0.5
    assert contrary.failed == ("labelled errors",)
    assert honest["right over wrong step"].verdict is Outcome.SKIP, "no right trace to pair with"


def test_too_few_cases_give_no_verdict():
    found = diagnose(ORACLE, reference_cases(arithmetic(n=3)))
    assert {"right over wrong step", "attack: politeness", "bias: position"} <= set(found.of(Outcome.SKIP))
    assert "too little data" in found.verdict(), "silence is no praise"
    with pytest.raises(InputError, match="no cases"):
        diagnose(ORACLE, [])


def test_the_report_is_a_record_and_the_same_at_every_run():
    first, second = (diagnose(ORACLE, CASES, seed=3).to_record() for _ in range(2))
    assert json.loads(json.dumps(first, allow_nan=False)) == first
    first.pop("seconds")
    second.pop("seconds")
    assert first == second
    assert first["asked"] > 10 * first["cases"]


def test_progress_counts_the_checks():
    told = []
    diagnose(ORACLE, CASES[:8], progress=lambda done, total, note: told.append((done, total, note)))
    assert [d for d, _, _ in told] == list(range(len(CHECKS) + 1))
