"""How far verdicts hang on numbering, order and a shown answer, for judges whose bias is known."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from preceptor.annotate.judges import Critique, Share, StepJudge, boxed_index, compared, sensitivity
from preceptor.errors import InputError
from preceptor.generation import Choice, Continuation, Request
from preceptor.judgement import NO_ERROR, Judgement, Question, Source
from preceptor.trace import Finish, Problem
from tests.annotate.judges.oracle import (
    Critic,
    Weigher,
    Words,
    first_error,
    scripted_traces,
    shown_paragraphs,
    trace_of,
)

TRACES = scripted_traces(n=8, samples=2)


def by_name(judge, traces=TRACES):
    return {s.what: s for s in sensitivity(judge, traces)}


def test_a_judge_that_sees_only_the_steps_changes_nothing():
    found = by_name(Critique(Critic(), votes=1))
    assert list(found) == ["resampled", "other first number", "answer shown or hidden"]
    for what in ("resampled", "other first number"):
        assert found[what].changed == Share(0, len(TRACES))
        assert (found[what].shift, found[what].unknown) == (0.0, 0)
    found = by_name(StepJudge(Weigher(error=0.2)))
    assert list(found) == ["resampled", "options swapped"]
    assert all(s.changed.hits == s.steps_changed.hits == 0 and s.shift == 0 for s in found.values())


@dataclass
class CountsFromZero(Critic):
    """Knows where the error is and always counts from 0, whatever the tags say."""

    def answer(self, request: Request) -> Continuation:
        first = shown_paragraphs(request)[0][0]
        named = boxed_index(super().answer(request).text)
        return Continuation(rf"\boxed{{{named if named == -1 else named - first}}}", Finish.STOP)


def test_a_critic_that_ignores_the_numbers_shows_in_the_numbering_and_moves_errors_forward():
    """From 1 its index k names step k - 1; 0 names none, so those traces become unknown, not changed."""
    found = by_name(Critique(CountsFromZero(), votes=1))["other first number"]
    errors = [first_error(t) for t in TRACES]
    assert found.unknown == errors.count(0) > 0
    assert found.changed == Share(sum(e > 0 for e in errors), len(TRACES) - errors.count(0))
    assert found.earlier == found.changed.hits > 0
    assert found.shift < 0


@dataclass
class TrustsAnswers(Words):
    """Accepts every solution whose answer it sees, and none other."""

    def answer(self, request: Request) -> Continuation:
        index = 0 if "[hidden]" in request.messages[0].content else -1
        return Continuation(rf"\boxed{{{index}}}", Finish.STOP)


def test_a_critic_that_trusts_a_shown_answer_is_found_out():
    found = by_name(Critique(TrustsAnswers(), votes=1))["answer shown or hidden"]
    assert found.changed == Share(len(TRACES), len(TRACES))
    assert found.earlier == len(TRACES)
    assert found.shift == -1.0
    assert found.steps_changed.value == 1.0


def test_a_solution_without_an_answer_says_nothing_about_showing_it():
    silent = trace_of(Problem("Sum?", grader="gsm8k"), ["I do not know\n"])
    found = by_name(Critique(TrustsAnswers(), votes=1), [*TRACES, silent])
    assert found["answer shown or hidden"].changed == Share(len(TRACES), len(TRACES))
    assert found["answer shown or hidden"].unknown == 1
    assert found["other first number"].changed.of == len(TRACES) + 1


@dataclass
class PrefersTheFirst(Weigher):
    """Puts 0.3 on the truth and the rest on whichever option is named first."""

    def choose(self, requests: Sequence[Request], options: Sequence[str]) -> list[Choice]:
        made = []
        for r in requests:
            first = 0.7 if r.messages[0].content.endswith("Yes or No.") else 0.0
            yes = first + (0.3 if self.truth(r) else 0.0)
            made.append(Choice((yes, 1 - yes)))
        return made


def test_a_preference_for_the_first_option_is_measured_in_full():
    found = by_name(StepJudge(PrefersTheFirst()))["options swapped"]
    assert found.shift == pytest.approx(-0.7)
    assert found.steps_changed.value == 1.0
    assert found.changed == Share(len(TRACES), len(TRACES))


def test_chance_alone_shows_as_resampling_and_is_the_yardstick():
    """A critic that guesses among n + 1 answers agrees with its second guess in 1 of n + 1 cases."""

    @dataclass
    class Guesses(Words):
        def answer(self, request: Request) -> Continuation:
            last = shown_paragraphs(request)[-1][0]
            first = shown_paragraphs(request)[0][0]
            named = random.Random(request.stream).choice([-1, *range(first, last + 1)])
            return Continuation(rf"\boxed{{{named}}}", Finish.STOP)

    traces = scripted_traces(n=60, samples=1)
    expected = sum(1 - 1 / (len(t.steps) + 1) for t in traces) / len(traces)
    for name, found in by_name(Critique(Guesses(), votes=1), traces).items():
        low, high = found.changed.interval(0.999)
        assert low < expected < high, name


def test_verdicts_missing_on_one_side_are_unknown_and_not_changed():
    def judged(name, scores, first):
        return Judgement(name, Question.VALIDITY, Source("s"), scores, first_error=first)

    before = [judged("a", (0.9, 0.2), 1), judged("b", (0.9, 0.8), NO_ERROR), judged("c", None, None)]
    after = [judged("a", (0.4, None), 0), judged("b", (0.9, 0.4), 1), judged("c", (1.0,), NO_ERROR)]
    got = compared("x", before, after)
    assert (got.changed, got.unknown, got.earlier) == (Share(2, 2), 1, 2)
    assert got.steps_changed == Share(2, 3)
    assert got.shift == pytest.approx((-0.5 + 0.0 - 0.4) / 3)
    assert got.to_record()["changed"]["hits"] == 2
    assert compared("x", [], []).shift is None
    with pytest.raises(InputError, match="different traces"):
        compared("x", before, after[::-1])


def test_a_numbering_that_cannot_be_turned_is_refused():
    with pytest.raises(InputError, match="from 5"):
        sensitivity(replace(Critique(Critic(), votes=1), base=5), TRACES)
