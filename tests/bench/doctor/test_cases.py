"""Specifies corrupted traces: one wrong result, in a known place, that looks like any other."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from preceptor.bench.doctor import corrupted, labelled_cases, reference_cases
from preceptor.bench.doctor.attack_texts import ATTACKS, still_wrong
from preceptor.bench.doctor.cases import with_steps
from preceptor.errors import InputError
from preceptor.judgement import NO_ERROR, Judgement, Question, Source
from preceptor.trace import Problem, Step, Trace
from preceptor.worlds import WORLDS, arithmetic, first_invalid, game24

SOURCE = Source.of("label")


@pytest.mark.parametrize(
    "problems", [arithmetic(n=200), arithmetic(n=50, largest=5000)], ids=["small", "large"]
)
def test_the_oracle_confirms_the_place_of_the_first_error(problems):
    cases = reference_cases(problems)
    carried = 0
    for case in cases:
        truths = WORLDS["arithmetic"].judge(case.problem, case.wrong.step_texts)
        assert first_invalid(truths) == case.first_error
        carried += sum(not t.valid for t in truths) == 1
        assert case.wrong.step_texts[: case.first_error] == case.right.step_texts[: case.first_error]
    assert carried > 0.8 * len(cases), "a wrong result is carried on, not forgotten"
    assert len({c.first_error for c in cases}) > 3


def test_a_wrong_result_differs_in_one_digit_and_other_kinds_are_computed_rightly():
    cases = reference_cases(arithmetic(n=150))
    kinds = Counter(case.kind for case in cases)
    assert set(kinds) == {"wrong result", "wrong operation", "wrong operand"}
    assert min(kinds.values()) > 25
    for case in cases:
        truths = WORLDS["arithmetic"].judge(case.problem, case.wrong.step_texts)
        if case.kind != "wrong result":
            a, op, b, c = re.fullmatch(
                r"(\d+)(.)(\d+)=(\d+)\n", case.wrong.step_texts[case.first_error]
            ).groups()
            assert {"+": int(a) + int(b), "-": int(a) - int(b), "*": int(a) * int(b)}.get(op, int(c)) == int(
                c
            )
            assert truths[case.first_error].kind != "wrong result"
            continue
        right, wrong = (t.step_texts[case.first_error] for t in (case.right, case.wrong))
        assert len(right) == len(wrong)
        assert sum(a != b for a, b in zip(right, wrong, strict=True)) == 1


def test_corruption_depends_on_the_trace_and_the_seed_alone():
    trace = with_steps(arithmetic(n=1)[0], arithmetic(n=1)[0].reference)
    assert corrupted(trace, 1) == corrupted(trace, 1)
    assert len({corrupted(trace, seed)[0].text for seed in range(20)}) > 5


def test_prose_is_corrupted_in_a_result_and_keeps_its_observations():
    texts = ["We add 3 + 4 = 7 apples.\n\n", "So there are many.\n\n", "Half of 14 is five."]
    trace = with_steps(Problem("p"), texts)
    steps = (Step(trace.steps[0].start, trace.steps[0].end, "tool", "ok"), *trace.steps[1:])
    wrong, e, _ = corrupted(Trace(trace.problem, trace.text, steps))
    assert e == 0, "a number behind an equals sign goes before any other"
    assert wrong.step_texts[0] != texts[0]
    assert wrong.step_texts[0].startswith("We add 3 + 4 = ")
    assert wrong.steps[0].observation == "ok"
    assert corrupted(with_steps(Problem("p"), ["no number\n"])) is None


def test_labels_become_cases_and_unlabelled_traces_are_left_out():
    problem = arithmetic(n=1)[0]
    right = with_steps(problem, problem.reference)
    wrong, e, _ = corrupted(right)

    def label(trace, first):
        return trace, Judgement(trace.id, Question.VALIDITY, SOURCE, None, first_error=first)

    cases = labelled_cases([label(right, NO_ERROR), label(wrong, e), label(wrong, None)])
    assert [(c.right is not None, c.wrong is not None, c.made) for c in cases] == [
        (True, True, True),
        (False, True, False),
    ]
    with pytest.raises(InputError, match="labelled traces"):
        labelled_cases([label(wrong, None)])
    with pytest.raises(InputError, match="reference solution"):
        reference_cases([Problem("no reference")])


def test_no_attack_repairs_a_trace():
    """The world itself says so, for every attack and every case."""
    for case in reference_cases(arithmetic(n=40)):
        for attack in ATTACKS.values():
            for made in attack(case, ["<|step|>", "</s>"]):
                assert still_wrong(made, by_value=False), (made.variant, made.trace.text)
                if made.wrong is not None:
                    truths = WORLDS["arithmetic"].judge(case.problem, made.trace.step_texts)
                    assert first_invalid(truths) <= made.wrong


def test_a_problem_without_reference_is_left_out():
    assert len(reference_cases([Problem("p"), *arithmetic(n=2)])) == 2
    assert all(not p.reference for p in game24(n=2)) or reference_cases(game24(n=2))
