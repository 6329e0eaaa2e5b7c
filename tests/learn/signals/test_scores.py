"""Scores of any scorer, Monte Carlo values with their counts, and one number a whole trace."""

from __future__ import annotations

import pytest

from preceptor.annotate import WorldOracle
from preceptor.credit import METHODS, compute, rollout_of
from preceptor.errors import InputError
from preceptor.generation import Sampling
from preceptor.judgement import Judgement, Question, Source
from preceptor.learn.signals import Joined, MonteCarloValues, StepScores, Texts, Whole
from preceptor.policy import ScriptedPolicy
from preceptor.trace import Finish
from preceptor.usage import Ledger, Usage
from tests.learn.data.toys import PROBLEM, RIGHT, WRONG, trace
from tests.learn.signals.toys import failed


class Fixed:
    """Says what it is told of every trace, for 3 tokens of a policy and 5 of a scorer."""

    source = Source.of("fixed")
    question = Question.QUALITY

    def __init__(self, *rows):
        self.rows = rows

    def score(self, traces):
        usage = Ledger(Usage(generated=3), Usage(scored=5))
        return [
            Judgement(t.id, self.question, self.source, r, usage=usage) for t, r in zip(traces, self.rows)
        ]


def test_an_oracles_scores_are_given_as_they_are_under_its_question():
    scores = StepScores(WorldOracle(Question.VALUE))
    found = scores.signals([trace(RIGHT), trace(WRONG), failed()])
    assert found.scores == ((1.0, 1.0, 1.0), (1.0, 0.0, 0.0), None)
    assert found.question is scores.question is Question.VALUE
    assert scores.failed == {"no-oracle": 1}


def test_both_sides_of_a_ledger_are_paid():
    scores = StepScores(Fixed((0.1, 0.2, 0.3), None))
    found = scores.signals([trace(RIGHT), trace(WRONG)])
    assert found.scores == ((0.1, 0.2, 0.3), None)
    assert (scores.spent.generated, scores.spent.scored) == (6, 10)
    scores.signals([trace(RIGHT)])
    assert scores.spent.scored == 5  # of the last call


def test_monte_carlo_values_are_success_rates_behind_the_prompt_and_every_step():
    policy = ScriptedPolicy(error=0.3)
    values = MonteCarloValues(policy, rollouts=400, sampling=Sampling(max_tokens=200))
    found = values.signals([trace(RIGHT), trace(WRONG)])
    assert found.start[0] == pytest.approx(policy.value(PROBLEM, ""), abs=0.08)
    assert found.scores[0][0] == pytest.approx(policy.value(PROBLEM, RIGHT[0]), abs=0.08)
    assert found.scores[1][1:] == (0.0, 0.0)
    assert found.scores[0][2] == 1.0  # its own outcome
    successes, trials = values.counts[0][0]
    assert (successes / trials, trials) == (found.scores[0][0], 400)
    assert values.counts[0][2] is None
    assert values.spent.calls > 0


def test_a_text_that_was_cut_off_is_continued_from_its_end_too():
    cut = trace(RIGHT[:2], finish=Finish.LENGTH)
    found = MonteCarloValues(ScriptedPolicy(error=0.0), rollouts=4).signals([cut])
    assert found.scores == ((1.0, 1.0),)


def test_what_rollouts_cannot_judge_is_none_and_counted():
    values = MonteCarloValues(ScriptedPolicy(), rollouts=2)
    found = values.signals([failed(), trace(RIGHT)])
    assert found.scores[0] is None
    assert found.start[0] is None
    assert values.counts[0] is None
    assert values.failed == {"failed-trace": 1}


def test_one_number_of_a_whole_trace_is_its_last_judged_step_or_the_mean():
    rows = (None, 0.5, 1.0), (0.2, 0.6, None), None
    traces = [trace(RIGHT), trace(WRONG), trace(RIGHT, draw=1)]
    assert Whole(Fixed(*rows)).signals(traces).scalars == {"reward": (1.0, 0.6, None)}
    mean = Whole(Fixed(*rows), "thinking", "mean")
    assert mean.signals(traces).scalars["thinking"] == pytest.approx((0.75, 0.4, None))
    assert mean.gives == {"scores", "scalars.thinking"}
    with pytest.raises(InputError, match="best"):
        Whole(Fixed(), by="best")


def test_parts_are_joined_and_no_field_comes_from_two():
    scores = StepScores(Fixed((0.1, 0.2, 0.3)))
    both = Joined((Texts({"format": lambda t: 1.0}), scores))
    found = both.signals([trace(RIGHT)])
    assert found.scores == ((0.1, 0.2, 0.3),)
    assert found.scalars == {"format": (1.0,)}
    assert found.question is Question.QUALITY
    assert both.spent.scored == 5
    with pytest.raises(InputError, match="scores"):
        Joined((scores, Whole(Fixed())))


def test_methods_run_on_monte_carlo_values():
    traces = [trace(RIGHT), trace(WRONG)]
    signals = MonteCarloValues(ScriptedPolicy(error=0.3), rollouts=8).signals(traces)
    for name in ("pav", "progress"):
        assert any(
            a.any() for a in compute([rollout_of(t) for t in traces], signals, METHODS[name]).advantages
        )
