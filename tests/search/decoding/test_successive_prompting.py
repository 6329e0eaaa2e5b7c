"""Successive prompting: two prompts, a pair of question and answer per step, an end.

Run: python -m pytest tests/search/decoding/test_successive_prompting.py
"""

from __future__ import annotations

import re

import pytest

from preceptor.generation import Continuation
from preceptor.search import Status, solve
from preceptor.search.decoding.successive_prompting import STOP, SuccessivePrompting, examples, fill
from preceptor.trace import Finish, Problem, Verdict
from preceptor.usage import Usage
from tests.search.decoding.models import check_search
from tests.search.toy import Oracle

SUM = Problem("Add 3, 5, 9 and 2.", gold="19", grader="exact", id="sum")
SHOTS = {
    "decompose_examples": ("DECOMPOSE cats: how many cats?", "DECOMPOSE Add 1 and 2: what is 1+2?"),
    "answer_examples": ("ANSWER what is 1+1? 2", "ANSWER what is 3+4? 7", "ANSWER name a cat: Tom"),
}


class Adder:
    """Asks for one addition after the other and does what it is asked; a character is a token."""

    fingerprint = "adder"

    def __init__(self, stop=True, says=""):
        self.stop, self.says, self.sent = stop, says, []

    def generate(self, requests):
        self.sent += requests
        return [self._one(r) for r in requests]

    def _one(self, request):
        prompt = request.problem.prompt
        if "Ask the next simple question" in prompt:
            assert request.prefix == ""
            given = [int(n) for n in re.findall(r"\d+", re.search(r"Problem: (Add.*)", prompt)[1])]
            done = [int(n) for n in re.findall(r"Answer: (\d+)", prompt)]
            left = given[len(done) + 1 :]
            text = f"What is {done[-1] if done else given[0]}+{left[0] if left else 0}?\n"
            if not left and self.stop:
                text = STOP + ".\n"
            text = self.says or text
            finish = Finish.BOUNDARY
        else:
            asked = re.search(r"Question: (.*)", prompt)[1]
            assert request.prefix.endswith(f"{asked} Answer: ")
            text = str(sum(int(n) for n in re.findall(r"\d+", asked)))
            finish = Finish.STOP
        if len(text) > request.sampling.max_tokens:
            text, finish = text[: request.sampling.max_tokens], Finish.LENGTH
        return Continuation(text, finish, usage=Usage(generated=len(text), calls=1))


def test_questions_are_asked_and_answered_until_the_stop_sentence_and_the_last_answer_counts():
    result = solve(Adder(), [SUM], SuccessivePrompting(**SHOTS))
    (s,) = result.solutions
    assert s.grade.verdict is Verdict.CORRECT
    assert s.answer == "19"
    assert s.chosen.text == ("What is 3+5? Answer: 8\nWhat is 8+9? Answer: 17\nWhat is 17+2? Answer: 19")
    assert [step.strip() for step in s.chosen.step_texts] == s.chosen.text.split("\n"), "a pair is a step"
    assert len(s.candidates) == 1
    assert s.stop == "done"


def test_asking_and_answering_see_different_prompts_and_pools():
    policy = Adder()
    solve(policy, [SUM], SuccessivePrompting(**SHOTS))
    asking = [r.problem.prompt for r in policy.sent if "Ask the next" in r.problem.prompt]
    answering = [r.problem.prompt for r in policy.sent if "Ask the next" not in r.problem.prompt]
    assert (len(asking), len(answering)) == (4, 3)
    assert all("DECOMPOSE" in p and "ANSWER" not in p for p in asking)
    assert all("ANSWER" in p and "DECOMPOSE" not in p and "Answered so far" not in p for p in answering)
    assert "Answered so far:\nWhat is 3+5? Answer: 8\n" in asking[1]
    assert "Answered so far" not in asking[0]
    assert {r.problem.id for r in policy.sent} == {"sum"}


def test_another_policy_may_answer():
    asks, answers = Adder(), Adder()
    (s,) = solve(asks, [SUM], SuccessivePrompting(), helpers={"answerer": answers}).solutions
    assert s.answer == "19"
    assert len(asks.sent) == 4
    assert len(answers.sent) == 3
    assert s.ledger.policy.calls == 7


def test_a_policy_that_never_stops_is_stopped_by_the_cap():
    (s,) = solve(Adder(stop=False), [SUM], SuccessivePrompting(questions=5)).solutions
    assert s.answer == "19"
    assert len(s.chosen.steps) == 5
    assert s.ledger.policy.calls == 10


def test_without_a_question_there_is_no_solution_and_empty_questions_end():
    for says in (STOP, f"  {STOP.upper()}!\n", "\n"):
        (s,) = solve(Adder(says=says), [SUM], SuccessivePrompting()).solutions
        assert s.chosen is None
        assert s.finished == 0
        assert s.ledger.policy.calls == 1


def test_a_cut_answer_is_no_answer():
    from preceptor.generation import Sampling

    strategy = SuccessivePrompting(sampling=Sampling(temperature=0.0, max_tokens=1))
    (s,) = solve(Adder(says="?"), [SUM], strategy).solutions
    assert s.finished == 1
    limited = SuccessivePrompting(sampling=Sampling(temperature=0.0, max_tokens=13))
    big = Problem("Add 1 and 2.", gold="3", grader="exact", id="big")
    (s,) = solve(Adder(says="What is 9999999999999+1?"), [big], limited).solutions
    assert s.finished == 0
    assert [n.status for n in s.tree.nodes[1:]] == [Status.CUT]


def test_examples_are_the_most_similar_ones_the_best_last():
    pool = ("red cat", "blue dog runs", "red dog")
    assert examples(pool, "a red dog", 2) == "red cat\n\nred dog\n\n"
    assert examples(pool, "anything", 0) == examples((), "x", 3) == ""
    assert examples(pool, "blue dog runs fast", 1) == "blue dog runs\n\n"


def test_slots_in_what_a_policy_wrote_stay_text():
    assert (
        fill("{problem} | {question}", problem="{question}", question="{problem}") == "{question} | {problem}"
    )


def test_pairs_can_be_scored_and_questions_are_not():
    class Lengths(Oracle):
        def _one(self, trace):
            assert all("Answer: " in step for step in trace.step_texts)
            return super()._one(trace)

    (s,) = solve(Adder(), [SUM], SuccessivePrompting(), Lengths(constant=0.25)).solutions
    assert s.candidates[0].scores == (0.25, 0.25, 0.25)
    assert s.ledger.scorer.calls == 3


def test_it_keeps_to_batches_ledgers_and_budgets():
    more = Problem("Add 1 and 10.", gold="11", grader="exact", id="more")
    check_search(Adder, [SUM, more], SuccessivePrompting())
    for wrong in ({"questions": 0}, {"shown": -1}, {"stop_sentence": " "}):
        with pytest.raises(ValueError, match="expected"):
            SuccessivePrompting(**wrong)
