"""Specifies FoVer's labels: local, exact, and not shaped like a first error.

Run: python -m pytest tests/annotate/formal
"""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from preceptor.annotate.formal import FoVer, LogicError, entails, equivalent, parse
from preceptor.annotate.formal.fover import INCONSISTENT, UNKNOWN_TO_SOLVER
from preceptor.errors import InputError, MissingExtra
from preceptor.judgement import NO_ERROR, Question, Scorer
from preceptor.trace import Problem
from tests.annotate.formal.proofs import WORLD, proofs, small, trace_of


def judged(problem: Problem, *lines: str):
    return FoVer().score([trace_of(problem, list(lines))])[0]


def test_labels_equal_the_independent_truth_on_generated_and_corrupted_steps():
    """The truth comes from truth tables, without z3."""
    traces = proofs(110)
    right = wrong = shaped = 0
    for trace, judgement in zip(traces, FoVer().score(traces)):
        truths = WORLD.judge(trace.problem, trace.step_texts)
        assert judgement.error is None, judgement.error
        assert judgement.scores == tuple(float(t.valid) for t in truths), trace.text
        right += sum(t.valid for t in truths)
        wrong += sum(not t.valid for t in truths)
        shaped += any(a < b for a, b in zip(judgement.scores, judgement.scores[1:]))
    assert right > 100
    assert wrong > 100
    assert shaped > 20, "labels that rise again after an error: no first-error rule gives them"


def test_labels_are_local_so_a_right_step_may_follow_a_wrong_one():
    problem = small(["{A}", "{B} -> {C}"], "{C}", "PROVED")
    lines = ("fact1 -> int1: {B}", "int1 & fact2 -> int2: {C}", "int2 -> int3: {D}", "int2 -> hypothesis")
    judgement = judged(problem, *lines)
    assert judgement.scores == (0.0, 1.0, 0.0, 1.0)
    assert judgement.first_error == 0
    assert judgement.question is Question.VALIDITY


def test_only_cited_premises_count():
    problem = small(["{A}", "{B}"])
    judgement = judged(
        problem, "fact1 -> int1: {A}", "fact1 -> int2: {B}", "fact1 & fact2 -> int3: ({A} & {B})"
    )
    assert judgement.scores == (1.0, 0.0, 1.0), "{B} is a known fact and was not cited"


def test_quantifiers_beyond_what_truth_tables_read():
    assert entails([parse("(x): {R}x{y}")], parse("{R}{a}{y}")), "no quantifier catches a constant"
    assert not entails([parse("(x): {R}xx")], parse("(x): (y): {R}xy"))
    assert entails([parse("{A}{a}")], parse("(Ex): {A}x"))
    assert not entails([parse("(Ex): {A}x")], parse("{A}{a}"))
    assert entails([parse("(Ex): (y): {R}xy")], parse("(y): (Ex): {R}xy"))
    assert not entails([parse("(y): (Ex): {R}xy")], parse("(Ex): (y): {R}xy"))
    assert entails([parse("(x): {A}x")], parse("(Ex): {A}x")), "the domain is not empty"
    assert not entails([parse("(x): ({A}x & (Ex): {B}x)")], parse("(x): {B}x")), "an inner x is another x"
    assert equivalent(parse("{A} <-> {B}"), parse("({A} → {B}) ∧ (~{B} ∨ {A})"))
    assert not entails([parse("{A}{a}")], parse("{A}")), "a predicate of one argument is not a proposition"


def test_arrows_bind_weakest_and_a_quantifier_reaches_to_the_end():
    assert parse("(x): {A}x & {B}x -> {C}x") == parse("(x): (({A}x & {B}x) -> {C}x)")
    assert parse("¬{A} -> {B} v {C}") == parse("(¬({A})) -> ({B} v {C})")


@pytest.mark.parametrize(
    "text",
    ["", "{A", "{a}", "{A}x", "{A} {B}", "{A} &", "({A}", "{A})", "{A} & {B} v {C}", "{A} -> {B} -> {C}", "{Ab}",
     "__import__('os')", "(x) {A}x", "¬" * 5000 + "{A}", "(" * 3000 + "{A}", "{A} & " * 900 + "{A}"],
)  # fmt: skip
def test_what_is_no_formula_is_refused(text):
    with pytest.raises(LogicError):
        parse(text)


@pytest.mark.parametrize(
    "lines, kind",
    [
        (["First, note that A holds."], "unparseable"),
        (["fact1 -> int1: {A} & {B} v {C}"], "unparseable"),
        (["{A} -> int1: {A}"], "unparseable"),
        (["The final answer is PROVED", "fact1 -> int1: {A}"], "unparseable"),
        (["[assump1] -> int1: {A}"], "contradiction-proof"),
        (["fact1 & hypothesis -> int1: {A}"], "contradiction-proof"),
        (["fact1 -> int1: #F#"], "contradiction-proof"),
        (["fact7 -> int1: {A}"], "unknown-premise"),
        (["int2 -> int1: {A}", "fact1 -> int2: {A}"], "unknown-premise"),
        (["fact1 -> int1: {A}", "fact1 -> int1: {B}"], "name-taken"),
        ([], "no-steps"),
    ],
)
def test_a_proof_that_cannot_be_read_is_an_error_and_not_wrong(lines, kind):
    broken, fine = FoVer().score(
        [trace_of(small(["{A}"]), lines), trace_of(small(["{A}"]), ["fact1 -> int1: {A}"])]
    )
    assert broken.scores is None
    assert broken.error is not None
    assert broken.error.kind == kind
    assert fine.scores == (1.0,), "the others are not affected"


def test_a_problem_without_a_theory_or_with_another_gold_is_an_error():
    assert judged(Problem("what is 2+2?", "4"), "fact1 -> int1: {A}").error.kind == "no-theory"
    assert judged(small(["{A}"], gold="yes"), "Answer: PROVED").error.kind == "bad-gold"


def test_the_theory_is_read_from_the_prompt_too_after_the_last_hypothesis():
    examples = "$hypothesis$: {Z}\n\n$context$:\nfact1: {Z}\n\n"
    own = "$hypothesis$: {B}\n\n$context$:\nfact1: {A} -> {B}\nfact2: {A}"
    problem = Problem(examples + own, "PROVED")
    judgement = judged(problem, "fact1 & fact2 -> hypothesis", "The final answer is PROVED")
    assert judgement.scores == (1.0, 1.0)
    assert judgement.first_error == NO_ERROR


@pytest.mark.parametrize("gold, label", [("PROVED", 1.0), ("DISPROVED", 0.0), ("UNKNOWN", 0.0), (None, None)])
def test_the_final_line_is_right_when_it_equals_the_gold_verdict(gold, label):
    problem = replace(small(["{H}"]), gold=gold)
    assert judged(problem, "fact1 -> hypothesis", "The final answer is PROVED").scores == (1.0, label)


@pytest.mark.parametrize(
    "line, verdict, last, consistent",
    [
        ("fact1 -> hypothesis", "PROVED", "hypothesis", True),
        # Another way to write the hypothesis.
        ("fact1 -> int1: ¬(¬{B} v ¬{A})", "PROVED", "hypothesis", True),
        ("fact1 -> ¬hypothesis", "PROVED", "negation", False),
        ("fact1 -> ¬hypothesis", "DISPROVED", "negation", True),
        ("fact1 -> int1: {A}", "PROVED", "neither", False),
        ("fact1 -> int1: {A}", "UNKNOWN", "neither", True),
        ("fact1 -> hypothesis", "UNKNOWN", "hypothesis", False),
    ],
)
def test_verdict_and_last_conclusion_must_go_together(line, verdict, last, consistent):
    problem = small(["({A} & {B})"], "({A} & {B})", "PROVED")
    judgement = judged(problem, line, f"The final answer is {verdict}")
    assert judgement.extra["proof"] == {"verdict": verdict, "last_conclusion": last, "consistent": consistent}
    assert (INCONSISTENT in judgement.flags) is not consistent


def test_a_merged_step_is_right_when_all_its_statements_are():
    problem = small(["{A}"])
    good, bad = "fact1 -> int1: {A}", "fact1 -> int2: {B}"
    assert judged(problem, f"{good}; int1 -> int3: {{A}}").scores == (1.0,)
    assert judged(problem, f"{good}; {bad}").scores == (0.0,)


def test_a_trace_that_takes_too_long_is_an_error():
    assert judged(small(["{A}"]), "fact1 -> int1: {A}").error is None
    (slow,) = FoVer(seconds=1e-9).score([trace_of(small(["{A}"]), ["fact1 -> int1: {A}"])])
    assert slow.scores is None
    assert slow.error.kind == "timeout"
    with pytest.raises(InputError, match="seconds"):
        FoVer(seconds=0)


def test_what_z3_cannot_decide_is_not_judged(monkeypatch):
    """Undecided is not wrong, and the steps around it keep their labels."""
    asked = []

    def unsure(premises, conclusion, seconds):
        asked.append(seconds)
        return None if len(asked) == 2 else entails(premises, conclusion, seconds)

    monkeypatch.setattr("preceptor.annotate.formal.fover.entails", unsure)
    judgement = judged(small(["{A}"]), "fact1 -> int1: {A}", "fact1 -> int2: {A}", "fact1 -> int3: {B}")
    assert judgement.scores == (1.0, None, 0.0)
    assert judgement.first_error is None
    assert judgement.flags == (UNKNOWN_TO_SOLVER,)
    assert all(0 < s <= 180 for s in asked)
    assert asked == sorted(asked, reverse=True), "the limit is the trace's, not the step's"


def test_without_the_extra_the_message_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "z3", None)
    with pytest.raises(
        MissingExtra, match=r"by z3 needs the extra 'formal': pip install 'preceptor\[formal\]'"
    ):
        FoVer().score([])


def test_it_is_a_scorer_whose_settings_are_in_its_source():
    assert isinstance(FoVer(), Scorer)
    assert FoVer().source != FoVer(seconds=1).source
