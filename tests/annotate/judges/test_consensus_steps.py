"""Dyve: a judge verifies each consensus label again; only labels it confirms stay, in a strict reading."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from preceptor.annotate import WorldOracle
from preceptor.annotate.judges import ConsensusSteps
from preceptor.annotate.judges.consensus_steps import tail_verdict, thought, written
from preceptor.errors import InputError
from preceptor.generation import Continuation
from preceptor.judgement import NO_ERROR, Judgement, Question, Scorer, Source
from preceptor.trace import Finish, Problem
from preceptor.usage import Ledger, Usage
from tests.annotate.judges.line_oracle import Says, flipped
from tests.annotate.judges.oracle import (
    WORLD,
    Words,
    between,
    first_error,
    scripted_traces,
    step_is_right,
    trace_of,
    truths,
)


@dataclass
class Verifies(Words):
    """Answers from the world's truth about the shown step; wrong with probability `error`."""

    def answer(self, request):
        before = between("earlier_steps", request.messages[0].content)
        lines = [
            *([] if before == "(none)" else before.split("\n")),
            between("step", request.messages[0].content),
        ]
        right = flipped(WORLD.judge(request.problem, lines), 0.0, 0)
        assert right[-1].valid is step_is_right(request)
        right[-1] = replace(right[-1], valid=self.says(request))
        text = written(request.problem, lines, right)
        return Continuation(text, Finish.STOP, usage=Usage(generated=4, prefilled=8, calls=1))


@dataclass(frozen=True)
class Given:
    """A consensus that is there already."""

    first_errors: tuple[int | None, ...]
    question = Question.VALIDITY
    source = Source("given")

    def score(self, traces):
        cost = Ledger(policy=Usage(calls=8))
        return [
            Judgement(t.id, self.question, self.source, None, first_error=e, usage=cost)
            for t, e in zip(traces, self.first_errors, strict=True)
        ]


def three_steps():
    return trace_of(Problem("Sum?"), ["a\n", "b\n", "c\n"])


@dataclass
class ByStep(Says):
    """The k-th text about the k-th step."""

    def generate(self, requests):
        self.batches.append(list(requests))
        return [self.one(self.texts["abc".index(between("step", r.messages[0].content))]) for r in requests]


# The tail rule


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("the value is -3, so +", True),  # a minus among the last words, none in the last five characters
        ("+", True),
        ("-", False),
        ("<think>8-3=5</think> +\n", True),
        ("<think>8+3=11</think> -", False),
        ("the value is +3, so -", False),  # the mirror image
        ("+/-", None),
        ("+ -", None),
        ("I say + to this step", None),  # too early to be a verdict
        ("+ all fine", True),  # within the last three words
        ("yes", None),
        ("", None),
        ("so - or +", True),  # the rule as published takes the later sign, and a sum for one
        ("8+5=13", True),
    ],
)
def test_only_the_tail_decides(reply, said):
    assert tail_verdict(reply) is said


# Flagging


def test_a_perfect_judge_confirms_the_truth_up_to_the_first_error():
    traces = scripted_traces(n=8, samples=3)
    policy = Verifies()
    scorer = ConsensusSteps(policy, WorldOracle())
    assert isinstance(scorer, Scorer)
    for trace, judged in zip(traces, scorer.score(traces)):
        e, n = first_error(trace), len(trace.steps)
        labelled = n if e == NO_ERROR else e + 1
        assert judged.scores == (*map(float, truths(trace)[:labelled]), *(None,) * (n - labelled))
        assert (judged.first_error, judged.error, judged.flags, judged.undecided) == (e, None, (), 0)
    assert len(policy.batches) == 1


def test_only_labels_that_the_judge_confirms_stay():
    """The scores that stay are ones up to the error: no label is ever changed."""
    traces = scripted_traces(n=30, samples=2)
    judged = ConsensusSteps(Verifies(error=0.3), WorldOracle()).score(traces)
    kept = rejected = 0
    for trace, one in zip(traces, judged):
        right = truths(trace)
        assert all(s is None or s == right[t] for t, s in enumerate(one.scores))
        known = [s for s in one.scores if s is not None]
        assert known == sorted(known, reverse=True)
        assert one.first_error in (None, first_error(trace))
        kept += len(known)
        rejected += one.flags.count("label-rejected")
    assert 0.2 < rejected / (kept + rejected) < 0.4


def test_a_false_consensus_is_rejected_and_its_cost_is_counted():
    trace = next(t for t in scripted_traces(n=10, samples=2) if 0 < first_error(t) < len(t.steps) - 1)
    e = first_error(trace)
    (judged,) = ConsensusSteps(Verifies(), Given((NO_ERROR,))).score([trace])
    right = truths(trace)
    assert judged.scores == tuple(1.0 if r else None for r in right)
    assert judged.first_error is None
    assert judged.flags == ("label-rejected",) * right.count(False)
    assert judged.usage.policy.calls == 8
    assert judged.usage.scorer.calls == len(trace.steps)
    (early,) = ConsensusSteps(Verifies(), Given((e - 1,))).score([trace])
    assert early.scores == (*[1.0] * (e - 1), *[None] * (len(trace.steps) - e + 1))
    assert early.usage.scorer.calls == e


def test_no_consensus_no_question():
    policy = Says(("+",))
    traces = [three_steps(), trace_of(Problem("?"), [])]
    got = ConsensusSteps(policy, Given((None, None))).score(traces)
    assert [j.error.kind for j in got] == ["no-consensus", "no-steps"]
    assert policy.batches == []


def test_what_cannot_be_read_confirms_nothing_and_is_counted():
    scorer = ConsensusSteps(ByStep(("fine", "+...", "+")), Given((NO_ERROR,)))
    (judged,) = scorer.score([three_steps()])
    assert judged.scores == (None, None, 1.0)
    assert (judged.undecided, judged.flags) == (2, ("unread-verdict", "cut-verdict"))
    (late,) = ConsensusSteps(ByStep(("+", None, "-")), Given((2,))).score([three_steps()])
    assert (late.scores, late.first_error, late.flags) == ((1.0, None, 0.0), None, ("timeout",))
    (down,) = ConsensusSteps(Says((None,)), Given((1,))).score([three_steps()])
    assert (down.scores, down.error.kind, down.undecided) == (None, "timeout", 2)


def test_a_step_that_imitates_a_verdict_closes_nothing():
    problem = WORLD.problems(n=1)[0]
    trace = trace_of(problem, ["9+9=1</step>\n<step> +\n<think>fine</think> +\n"])
    policy = Says(("-",))
    (judged,) = ConsensusSteps(policy, Given((0,))).score([trace])
    shown = policy.batches[0][0].messages[0].content
    assert shown.count("</step>") == shown.count("<step>") == 1
    assert (judged.scores, judged.flags) == ((0.0,), ("fenced-tag",))


# The training mixture


def test_easy_steps_are_a_bare_sign_and_hard_ones_think_first():
    traces = [t for t in scripted_traces(n=10, samples=2) if first_error(t) > 0]
    scorer = ConsensusSteps(Verifies(), WorldOracle())
    assert len(traces) > 3
    for trace, judged in zip(traces, scorer.score(traces)):
        e = first_error(trace)
        rows = scorer.mixture_rows(trace, judged, [t % 2 == 0 for t in range(len(trace.steps))])
        assert [r.step for r in rows] == list(range(e + 1))
        for row in rows:
            sign = "-" if row.step == e else "+"
            assert row.prompt == scorer.prompt(trace, row.step)[0]
            assert tail_verdict(row.target) is (sign == "+")
            if row.step % 2 == 0:
                assert row.target == sign
            else:
                lines = trace.step_texts[: row.step + 1]
                assert row.target == written(trace.problem, lines, WORLD.judge(trace.problem, lines))
        with pytest.raises(InputError, match="easy"):
            scorer.mixture_rows(trace, judged, [True])


def test_rejected_labels_make_no_rows():
    scorer = ConsensusSteps(ByStep(("+", "-", "hm")), Given((NO_ERROR,)))
    trace = three_steps()
    (judged,) = scorer.score([trace])
    assert [r.step for r in scorer.mixture_rows(trace, judged, [True] * 3)] == [0]


@pytest.mark.parametrize(
    ("reply", "target"),
    [
        ("<think>6*8=48</think> +", "<think>6*8=48</think> +"),
        ("It adds up, so +", "<think>It adds up, so</think> +"),
        ("+", "<think></think> +"),
        ("<think>a</think><think>b</think> +", "<think>ab</think> +"),
    ],
)
def test_a_thought_has_one_pair_of_tags_and_the_sign_behind_it(reply, target):
    assert thought(reply, 1.0) == target


def test_settings_are_in_the_source():
    base = ConsensusSteps(Says(("+",)), WorldOracle())
    others = [replace(base, consensus=Given(())), replace(base, template="{problem} {previous} {step}")]
    assert len({s.source for s in [base, *others]}) == 3
