"""Specifies the shipped judges: real, imperfect models that the judging methods can ask and read.

Run: python -m pytest tests/annotate/judges/test_shipped_judges.py
"""

from __future__ import annotations

import re

import pytest

from preceptor.annotate.judges import (
    Asking,
    Critique,
    StepJudge,
    consensus_steps,
    critique,
    natural_program,
    opv,
    rubric_text,
    sneaky_text,
    spare,
    spark,
    step_judge,
)
from preceptor.bench.first_error import first_error_counts
from preceptor.generation import Sampling
from preceptor.judgement import first_below
from preceptor.policy import ScriptedGame24, ScriptedPolicy, load_policy, sample
from preceptor.worlds import WORLDS, first_invalid
from tests.annotate.judges.oracle import trace_of

PLAIN = Asking(chat=False, sampling=Sampling(temperature=0.0, max_tokens=400))
TEMPLATES = (
    step_judge.VOTED,
    step_judge.WEIGHED,
    critique.TEMPLATE,
    spare.TEMPLATE,
    spark.VERIFY,
    spark.CRITICISE,
    spark.REVISE,
    natural_program.SIMULTANEOUS,
    natural_program.NAIVE,
    rubric_text.WRITE,
    rubric_text.JUDGE,
    opv.VERIFY,
    opv.SUMMARISE,
    consensus_steps.TEMPLATE,
    sneaky_text.CRITIC,
    sneaky_text.SNEAK,
)
PLAYERS = {"arithmetic": ScriptedPolicy(0.2), "game24": ScriptedGame24(1.0)}


@pytest.fixture(scope="module", params=sorted(PLAYERS))
def judge(request):
    return request.param, load_policy(f"world:{request.param}-judge", device="cpu")


@pytest.fixture(scope="module")
def traces(judge):
    """Right solutions, and the same with a sum that is off by one."""
    world, _ = judge
    right = sample(PLAYERS[world], WORLDS[world].problems("test", 30), samples=1)
    wrong = []
    for k, trace in enumerate(right):
        steps = list(trace.step_texts)
        t = k % (len(steps) - 1)
        steps[t] = re.sub(r"\d+(?=\)?\s*$)", lambda m: str(int(m[0]) + 1), steps[t])
        wrong.append(trace_of(trace.problem, steps))
    return [*right, *wrong]


def test_the_lines_of_every_prompt_are_known_by_heart(judge):
    """A changed prompt is one the judge has never seen: then train it again, by scripts/train_judge.py."""
    _, policy = judge
    for template in TEMPLATES:
        for line in re.split(r"[\n\d]|Verdict:|, right|, wrong|wrong [a-z]+", template):
            if len(line) > 20 and "{" not in line:
                ids = policy.tokenizer.encode(line, add_special_tokens=False)
                assert len(ids) <= 3, (line, policy.tokenizer.convert_ids_to_tokens(ids))


def _first_errors(judged):
    return [j.first_error if j.first_error is not None else first_below(j.scores or (), 0.5) for j in judged]


@pytest.mark.parametrize("ask", ["step-judge", "critique", "spark"])
def test_it_finds_first_errors_well_above_chance(judge, traces, ask):
    world, policy = judge
    scorer = {
        "step-judge": StepJudge(policy, weigh=False, asking=PLAIN),
        "critique": Critique(policy, votes=1, asking=PLAIN),
        "spark": spark.Spark(policy, verifications=1, asking=PLAIN),
    }[ask]
    judged = scorer.score(traces)
    actual = [first_invalid(WORLDS[world].judge(t.problem, t.step_texts)) for t in traces]
    read = sum(j.error is None and not j.undecided for j in judged)
    assert read / len(traces) > 0.9
    f1 = first_error_counts(_first_errors(judged), actual).f1
    assert f1 > 0.4  # guessing an index or "none" blindly: about 0.2
