"""Specifies the scripted policy: its success rate from any prefix is the closed form it states.

Run: python -m pytest tests/policy/test_scripted.py
"""

from __future__ import annotations

from math import sqrt

import pytest

from preceptor.generation import Policy, Request, Sampling
from preceptor.policy.scripted import ScriptedPolicy
from preceptor.trace import Finish
from preceptor.worlds.arithmetic import Arithmetic

PROBLEMS = Arithmetic().problems("test", 6)


def rate(policy, problem, prefix, draws):
    requests = [Request(problem, prefix, draw=d) for d in range(draws)]
    return (
        sum((prefix + c.text).rstrip().endswith(f"Answer: {problem.gold}") for c in policy.generate(requests))
        / draws
    )


@pytest.mark.parametrize("error, repair", [(0.0, 0.0), (0.15, 0.0), (0.3, 0.25), (1.0, 0.4)])
def test_sampled_success_agrees_with_the_closed_form(error, repair):
    policy = ScriptedPolicy(error, repair)
    assert isinstance(policy, Policy)
    for problem in PROBLEMS[:3]:
        wrong = problem.reference[0].replace("\n", "1\n")
        for prefix in ["", problem.reference[0], "".join(problem.reference[:-1]), wrong]:
            exact = policy.value(problem, prefix)
            seen = rate(policy, problem, prefix, 600)
            assert abs(seen - exact) <= 4 * sqrt(max(exact * (1 - exact), 1e-9) / 600) + 1e-9


def test_draws_differ_from_each_other_and_never_depend_on_the_batch():
    policy = ScriptedPolicy(0.5)
    requests = [Request(PROBLEMS[0], draw=d) for d in range(40)]
    together = policy.generate(requests)
    assert together == [policy.generate([r])[0] for r in requests]
    assert len({c.text for c in together}) > 5


def test_a_stop_string_gives_one_line_and_the_end_is_told_apart():
    policy, problem, text = ScriptedPolicy(0.0), PROBLEMS[0], ""
    for line in problem.reference:
        (c,) = policy.generate([Request(problem, text, sampling=Sampling(stop=("\n",)))])
        assert (c.text, c.finish) == (line, Finish.BOUNDARY)
        text += c.text
    (end,) = policy.generate([Request(problem, text, sampling=Sampling(stop=("\n",)))])
    assert (end.text, end.finish) == ("", Finish.STOP)


def test_the_token_limit_is_not_an_end_of_text():
    (c,) = ScriptedPolicy(0.0).generate([Request(PROBLEMS[0], sampling=Sampling(max_tokens=5))])
    assert c.finish is Finish.LENGTH
    assert len(c.text) == c.usage.generated == 5
