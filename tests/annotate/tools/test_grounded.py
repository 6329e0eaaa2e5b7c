"""GroundedPRM: rewards by hand, tools that overrule outcomes, silence that does not, and exact cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from preceptor.annotate import MathShepherd, WorldOracle
from preceptor.annotate.tools.grounded import OVERRULED, UNCHECKED, Grounded, rewards
from preceptor.annotate.tools.step_tools import Calculator, Check, Claim
from preceptor.errors import InputError
from preceptor.generation import Continuation, Request
from preceptor.judgement import NO_ERROR, Question, Scorer
from preceptor.policy import ScriptedPolicy, sample
from preceptor.store import Store
from preceptor.trace import Finish, Grade, Problem, Trace, Verdict, steps_from_ends
from preceptor.usage import Usage
from preceptor.worlds import arithmetic
from tests.annotate.scripted import Scripted

PROBLEM = Problem("What is 3 plus 4, times 6?", "42", grader="numeric")


@dataclass
class Written:
    """Continues with what `text` says for the prefix and the draw."""

    text: Callable[[str, int], str]
    fingerprint: str = "written"
    batches: list[list[Request]] = field(default_factory=list)

    def generate(self, requests: Sequence[Request]) -> list[Continuation]:
        self.batches.append(list(requests))
        usage = Usage(generated=2, calls=1)
        return [Continuation(self.text(r.prefix, r.draw), Finish.STOP, usage=usage) for r in requests]


def lines(*steps: str, **more) -> Trace:
    ends = [sum(len(s) + 1 for s in steps[: i + 1]) for i in range(len(steps))]
    return Trace(PROBLEM, "".join(s + "\n" for s in steps), steps_from_ends(ends), **more)


def test_rewards_by_hand():
    # R_0 = (0.9 * -1 + 0.81 * 0 + 0.729 * 1) / 3 + 1, R_1 = (0.9 * 0 + 0.81) / 2 + 1, R_2 = 0.9 + 1, R_3 = 1
    assert rewards((1, -1, 0, 1), 1) == pytest.approx([0.943, 1.405, 1.9, 1.0])
    assert rewards((1, -1, 0, 1), -1, decay=1.0, beta=0.5) == pytest.approx([-0.5, 0.0, 0.5, -0.5])
    assert rewards((-1,), 1) == [1.0], "no later step: the outcome term only, and not its own sign"
    assert rewards((), 1) == []


def test_an_example_by_hand():
    def text(prefix: str, draw: int) -> str:
        return "Answer: 42\n" if prefix.count("\n") == 2 else "7*6=42\nAnswer: 42\n"

    (judged,) = Grounded(Written(text), rollouts=1).score([lines("3+4=7", "7*6=43", "Answer: 43")])
    # the trace itself: (-0.9 + 0) / 2 - 1 = -1.45, -1, -1; from step 1: (0.9 + 0) / 2 + 1 = 1.45;
    # from step 2: (-0.9 + 0) / 2 + 1 = 0.55 and 1. So Q is 0.55 / 3, 0 and -1, and only step 2 has v = -1.
    assert judged.scores == (1.0, 0.0, 0.0)
    assert judged.counts == ((2, 3), (1, 2), (0, 1))
    assert judged.first_error == 1
    assert judged.rationale == (
        "calculator: '3+4=7' holds; Q +0.18 over 3 simulations",
        "calculator: '7*6=43' does not hold; Q +0.00 over 2 simulations",
        "calculator: no sum to check; Q -1.00 over 1 simulations",
    )
    assert judged.usage.policy.calls == 2


def test_a_step_that_a_tool_finds_wrong_is_wrong_even_where_every_rollout_ends_right():
    trace = lines("3+4=7", "7*6=43", "so it is 42", "Answer: 42")
    always = Scripted(lambda t: 1.0)
    assert MathShepherd(always).score([trace])[0].scores == (1.0,) * 4, "plain Monte Carlo sees nothing"
    (judged,) = Grounded(always).score([trace])
    assert judged.scores == (1.0, 0.0, 1.0, 1.0)
    assert judged.first_error == 1
    assert OVERRULED in judged.flags


def test_a_large_beta_leaves_the_outcomes_and_a_beta_of_zero_leaves_the_tools():
    good, bad = lines("3+4=7", "7*6=42", "Answer: 42"), lines("3+4=7", "7*6=42", "Answer: 41")
    writes_right = Scripted(lambda t: 1.0)
    writes_wrong = Scripted(lambda t: 0.0)
    outcomes = {"beta": 1e9, "rollouts": 3}
    assert Grounded(writes_right, **outcomes).score([good])[0].scores == (1.0,) * 3
    assert Grounded(writes_wrong, **outcomes).score([bad])[0].scores == (0.0,) * 3
    for value in (0.15, 0.85):
        policy = Scripted(lambda t, value=value: value)
        (judged,) = Grounded(policy, beta=1e9, rollouts=16).score([good])
        rates = [right / seen for right, seen in judged.counts]
        assert judged.scores == tuple(float(rate >= 0.5) for rate in rates)
    (judged,) = Grounded(writes_wrong, beta=0.0).score([bad])
    assert judged.scores == (1.0, 1.0, 1.0), "nothing was found wrong"


def test_a_step_without_a_verdict_goes_by_the_simulations_and_is_flagged():
    (good,) = Grounded(Scripted(lambda t: 1.0)).score([lines("think", "Answer: 42")])
    (bad,) = Grounded(Scripted(lambda t: 0.0)).score([lines("think", "Answer: 41")])
    assert (good.scores, good.first_error) == ((1.0, 1.0), NO_ERROR)
    assert (bad.scores, bad.first_error) == ((0.0, 0.0), 0)
    assert UNCHECKED in good.flags
    assert UNCHECKED not in Grounded(Scripted(lambda t: 1.0)).score([lines("3+4=7", "6*7=42")])[0].flags


def test_undecided_simulations_count_for_nothing_and_are_counted():
    ungraded = lines("3+4=7", "7*6=43", "Answer: 42", grade=Grade(Verdict.UNDECIDED, "timeout"))
    (judged,) = Grounded(Scripted(lambda t: "cut"), rollouts=2).score([ungraded])
    assert judged.scores == (None, 0.0, None), "the tool knows without any simulation"
    assert judged.undecided == 4
    assert judged.first_error is None
    (lost,) = Grounded(Scripted(lambda t: None), rollouts=2).score(
        [replace(ungraded, text="a\nb\n", steps=steps_from_ends([2, 4]))]
    )
    assert (lost.scores, lost.error.kind) == (None, "rollouts-failed")
    (own,) = Grounded(Scripted(lambda t: None), rollouts=2).score([lines("3+4=7", "Answer: 42")])
    assert own.scores == (1.0, 1.0)
    assert "failed-rollouts" in own.flags


@pytest.mark.parametrize("steps, rollouts", [(1, 4), (3, 1), (4, 6)])
def test_the_cost_is_at_most_k_times_t_minus_1_in_k_rounds_for_all_traces(steps: int, rollouts: int):
    policy = Scripted(lambda t: 0.5)
    trace = lines(*["think"] * (steps - 1), "Answer: 42")
    other = lines(*["ponder"] * (steps - 1), "Answer: 41")
    judged = Grounded(policy, rollouts=rollouts).score([trace, other])
    assert sum(j.usage.policy.calls for j in judged) == len(policy.asked) <= 2 * rollouts * (steps - 1)
    assert len(policy.asked) >= 2 * min(rollouts, 4) * (steps - 1)
    assert len(policy.batches) <= rollouts
    assert trace.text not in [r.prefix for r in policy.asked], "the last step is graded, not rolled out"


def test_a_node_is_rolled_out_width_times_before_the_search_goes_on_below_it():
    policy = Written(lambda prefix, draw: f"idea {draw}\nAnswer: 42\n")
    trace = lines("3+4=7", "Answer: 41")
    Grounded(policy, rollouts=5, width=2).score([trace])
    prefixes = [r.prefix for batch in policy.batches for r in batch]
    assert prefixes[:2] == [trace.prefix(1)] * 2
    assert all(p.startswith(trace.prefix(1) + "idea") for p in prefixes[2:])
    assert len({(r.prefix, r.draw) for batch in policy.batches for r in batch}) == 5, "no draw is asked twice"


@dataclass
class Counting:
    asked: list[Claim] = field(default_factory=list)
    name = "counting"

    def check(self, claims: Sequence[Claim]) -> list[Check]:
        self.asked += claims
        return [replace(c, usage=Usage(calls=1)) for c in Calculator().check(claims)]

    def to_record(self):
        return {"name": self.name}


def test_equal_claims_are_checked_once_and_paid_once():
    tool = Counting()
    trace = lines("3+4=7", "7*6=42", "Answer: 42")
    judged = Grounded(Scripted(lambda t: 1.0), rollouts=4, tools=(tool,)).score(
        [trace, replace(trace, draw=1)]
    )
    assert len(tool.asked) == len(set(tool.asked))
    assert sum(j.usage.scorer.calls for j in judged) == len(tool.asked)


def test_the_first_rollouts_are_those_of_every_other_annotator(tmp_path):
    policy, trace = Scripted(lambda t: 0.5), lines("3+4=7", "7*6=42", "Answer: 42")
    with Store(tmp_path / "s.db") as store:
        MathShepherd(policy, rollouts=4, store=store).score([trace])
        asked = len(policy.asked)
        Grounded(policy, rollouts=4, store=store).score([trace])
        assert len(policy.asked) == asked


def test_in_the_world_it_finds_the_first_error_where_plain_monte_carlo_is_deceived_by_repairs():
    policy = ScriptedPolicy(error=0.15, repair=0.3)
    traces = sample(policy, arithmetic(n=30, seed=3), samples=2)
    truth = WorldOracle().score(traces)

    def agreement(judged) -> float:
        """With the oracle's validity, up to the first error."""
        pairs = [
            (a, b)
            for j, o in zip(judged, truth)
            for a, b in zip(j.scores[: o.first_error + 1 or None], o.scores[: o.first_error + 1 or None])
        ]
        return sum(a == b for a, b in pairs) / len(pairs)

    assert agreement(Grounded(policy).score(traces)) > 0.97
    assert agreement(MathShepherd(policy).score(traces)) < 0.92


def test_it_is_a_scorer_of_validity_with_every_setting_in_its_source():
    policy = Scripted(lambda t: 1.0)
    assert isinstance(Grounded(policy), Scorer)
    assert Grounded(policy).question is Question.VALIDITY
    variants = [
        {},
        {"beta": 2.0},
        {"decay": 0.5},
        {"exploration": 1.0},
        {"width": 2},
        {"tools": (Counting(),)},
    ]
    assert len({Grounded(policy, **v).source for v in variants}) == len(variants)
    for wrong in ({"tools": ()}, {"decay": -1.0}, {"beta": float("inf")}, {"width": 0}):
        with pytest.raises(InputError, match="expected"):
            Grounded(policy, **wrong)
