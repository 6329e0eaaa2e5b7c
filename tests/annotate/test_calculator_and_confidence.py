"""Specifies the two scorers that need no rollouts: calculator notes with the outcome, and step confidence.

Run: python -m pytest tests/annotate/test_calculator_and_confidence.py
"""

from __future__ import annotations

import math

import pytest

from preceptor.annotate import CalculatorNotes, StepConfidence, label
from preceptor.judgement import NO_ERROR, Question
from preceptor.segment import segment
from preceptor.trace import Finish, Grade, Problem, Trace, Verdict, steps_from_ends
from preceptor.worlds.readers import read_gsm8k_solutions

PROBLEM = Problem("How many?", "18", grader="gsm8k", segmenter="line")


def trace(text, verdict=None, **fields):
    grade = None if verdict is None else Grade(verdict, "stated", "18")
    return Trace(PROBLEM, text, segment(PROBLEM, text), grade=grade, **fields)


@pytest.mark.parametrize(
    "text, verdict, scores, first_error",
    [
        ("9 * 2 = <<9*2=18>>18\nA: 18", Verdict.CORRECT, (1.0, 1.0), NO_ERROR),
        # A wrong sum in a solution that ends well is wrong all the same.
        ("9 * 2 = <<9*2=19>>19\nso <<9+9=18>>18\nA: 18", Verdict.CORRECT, (0.0, 1.0, 1.0), 0),
        # A wrong answer says nothing of the steps before it, but for those with a wrong sum.
        ("<<9+2=11>>11\n<<11*2=22>>22\nA: 22", Verdict.INCORRECT, (None, None, 0.0), None),
        ("<<9+2=12>>12\n<<12*2=24>>24\nA: 24", Verdict.INCORRECT, (0.0, None, 0.0), 0),
        ("no sums at all", Verdict.INCORRECT, (0.0,), 0),
        # A note that cannot be read is no evidence against its step.
        ("<<x*2=18>>18\nA: 18", Verdict.CORRECT, (1.0, 1.0), NO_ERROR),
    ],
)
def test_notes_and_outcome_become_labels(text, verdict, scores, first_error):
    (judgement,) = CalculatorNotes().score([trace(text, verdict)])
    assert judgement.question is Question.VALIDITY
    assert judgement.scores == scores
    assert judgement.first_error == first_error


def test_an_undecided_or_failed_trace_is_an_error_not_a_label():
    undecided = trace("A: 18", Verdict.UNDECIDED)
    failed = Trace(PROBLEM, "", (), Finish.ERROR, Grade(Verdict.UNDECIDED, "failed"))
    for judgement in CalculatorNotes().score([undecided, failed]):
        assert judgement.scores is None
        assert judgement.error is not None


def test_every_real_solution_is_labelled_and_wrong_sums_are_rare_in_right_ones(shared_data):
    traces = read_gsm8k_solutions(shared_data / "gsm8k" / "example_model_solutions.jsonl")
    labels = label(CalculatorNotes(), traces)
    assert labels.labelled == len(traces) == 5276
    right = [j for t, j in labels if t.grade is not None and t.grade.correct]
    assert sum(j.first_error == NO_ERROR for j in right) / len(right) > 0.98
    wrong = [j for t, j in labels if t.grade is not None and not t.grade.correct]
    assert all(j.scores is not None and j.scores[-1] == 0.0 for j in wrong)


def test_confidence_is_the_least_likely_token_of_each_step():
    ends = (2, 3, 5, 6, 6)
    probabilities = (0.9, 0.5, 0.8, 0.7, 0.2)
    own = Trace(
        PROBLEM, "ab\ncd\n", steps_from_ends([3, 6]), token_ends=ends,
        token_ids=tuple(range(5)), logprobs=tuple(map(math.log, probabilities)),
    )  # fmt: skip
    (judgement,) = StepConfidence().score([own])
    assert judgement.question is Question.QUALITY
    assert judgement.scores == pytest.approx((0.5, 0.2)), "the end-of-text token belongs to the last step"


def test_a_token_that_spans_two_steps_belongs_to_the_later_and_a_bare_step_has_no_score():
    own = Trace(
        PROBLEM,
        "ab\ncd\n",
        steps_from_ends([3, 6]),
        token_ends=(6,),
        token_ids=(0,),
        logprobs=(math.log(0.25),),
    )
    (judgement,) = StepConfidence().score([own])
    assert judgement.scores == (None, pytest.approx(0.25))


def test_a_trace_without_log_probabilities_is_an_error():
    (judgement,) = StepConfidence().score([trace("A: 18")])
    assert judgement.scores is None
    assert judgement.error.kind == "no-logprobs"
