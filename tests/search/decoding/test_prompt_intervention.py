"""Prompt intervention: without a threshold to exceed it is plain decoding; triggers are not the policy's words.

Run: python -m pytest tests/search/decoding/test_prompt_intervention.py
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from preceptor.errors import InputError
from preceptor.generation import Continuation, Sampling
from preceptor.search import Greedy, Status, StepBeam, solve
from preceptor.search.decoding.prompt_intervention import HOW, TRIGGERS, PromptIntervention
from preceptor.trace import Finish, Problem
from preceptor.usage import Usage
from preceptor.worlds import arithmetic
from tests.search.decoding.models import check_search
from tests.search.decoding.toys import Known
from tests.search.toy import Oracle, problems

OFF = {"threshold": math.inf}


class Talker:
    """Four plain steps; a trigger is completed as `words` says (text, mean log-probability), else by a number."""

    fingerprint = "talker"

    def __init__(self, entropies, words=None):
        self.entropies, self.words, self.sent = entropies, words or {}, []

    def generate(self, requests):
        self.sent.append(list(requests))
        return [self._one(r) for r in requests]

    def _one(self, request):
        lines = request.prefix.split("\n")
        t, begun = len(lines) - 1, lines[-1]
        text, logprob, finish = f"step {t}\n", -0.5, Finish.BOUNDARY
        if t == 5:
            text, finish = "Answer: 7", Finish.STOP
        for name, phrase in TRIGGERS.items():
            if begun.startswith(phrase):
                text, logprob = self.words.get(name, ("7\n", -1.0))
                if begun != phrase:
                    text = text[len(begun) - len(phrase) :]
        if len(text) > request.sampling.max_tokens:
            text, finish = text[: request.sampling.max_tokens], Finish.LENGTH
        n = len(text)
        h = self.entropies[t] if t < len(self.entropies) else 0.0
        return Continuation(
            text,
            finish,
            tuple(map(ord, text)),
            tuple(range(1, n + 1)),
            (logprob,) * n,
            Usage(generated=n, calls=1),
            extra={"entropies": [h] * n},
        )


def run(entropies, words=None, **settings):
    policy = Talker(entropies, words)
    problem = Problem("Walk.", gold="7", grader="exact")
    (s,) = solve(policy, [problem], PromptIntervention(**settings)).solutions
    return s, policy


def test_an_infinite_threshold_is_plain_decoding_draw_for_draw(shipped):
    ps = arithmetic(n=3)
    plain = solve(shipped, ps, StepBeam(1, 1), Oracle(constant=0.5), seed=4)
    own = solve(shipped, ps, PromptIntervention(**OFF), seed=4)
    assert [s.chosen.token_ids for s in own.solutions] == [s.chosen.token_ids for s in plain.solutions]
    assert own.ledger.policy.generated == plain.ledger.policy.generated
    greedy = Sampling(temperature=0.0)
    a = solve(shipped, ps, PromptIntervention(**OFF, sampling=greedy))
    b = solve(shipped, ps, Greedy())
    assert [s.chosen.text for s in a.solutions] == [s.chosen.text for s in b.solutions]


def test_it_intervenes_between_steps_where_the_entropy_is_above_the_threshold_and_nowhere_else():
    s, _ = run([5.0, 0.9, 1.1, 1.0, 0.2], threshold=1.0)
    asked = [n.parent for n in s.tree.nodes if n.role in TRIGGERS]
    where = {s.tree.path(s.tree[p]).text.count("\n") for p in asked}
    assert where == {2}, "neither at the start, whatever its entropy, nor at a tie"
    assert len(asked) == 2
    assert {n.role for n in s.tree.nodes if n.role in TRIGGERS} == set(HOW[""][:2])


def test_triggers_are_inserted_not_generated_and_count_in_no_log_probability():
    s, policy = run([0, 2.0], {"verify": ("9\n", -0.1)})
    (node,) = [n for n in s.tree.nodes if n.role == "verify"]
    assert node.text == TRIGGERS["verify"] + "9\n"
    assert node.inserted == len(TRIGGERS["verify"])
    assert node.usage.generated == len(node.logprobs) == 2
    assert node.text in s.chosen.text
    assert s.chosen.token_ids is None
    (sent,) = [r for batch in policy.sent for r in batch if r.prefix.endswith(TRIGGERS["verify"])]
    assert sent.prefix.startswith("step 0\n")


def test_the_branch_of_the_lowest_perplexity_goes_on_and_the_plain_one_is_among_them():
    s, _ = run([0, 2.0])
    assert s.chosen.text == "step 0\nstep 1\nstep 2\nstep 3\nstep 4\nAnswer: 7"
    assert all("pi" in n.data["why"] for n in s.tree.having(Status.PRUNED))
    assert len(s.tree.having(Status.PRUNED)) == 2
    s, _ = run([0, 2.0], {"continue": ("carry on\n", -0.2)})
    assert s.chosen.text.startswith("step 0\nNext, carry on\nstep 2\n")


def test_branches_are_compared_at_the_horizon_and_the_kept_one_is_completed():
    long = "a long check of everything = 8\n"
    s, policy = run([0, 2.0], {"verify": (long, -0.1)}, horizon=6)
    assert s.chosen.text.startswith("step 0\n" + TRIGGERS["verify"] + long + "step 2\n")
    node = next(n for n in s.tree.nodes if n.role == "verify")
    assert node.usage.generated == 6
    assert node.status is Status.LIVE
    tried = [r for batch in policy.sent for r in batch if r.prefix.endswith(tuple(TRIGGERS.values()))]
    assert {r.sampling.max_tokens for r in tried} == {6}
    (s, _) = run(
        [0, 2.0], {"continue": ("no" + "x" * 20 + "\n", -0.2)}, horizon=3, sampling=Sampling(max_tokens=10)
    )
    assert s.chosen is None, "a step longer than its limit is cut, with a trigger or without"


def test_two_verifications_of_the_same_result_force_the_conclusion():
    how = dict.fromkeys(HOW, ("verify",))
    words = {"verify": ("12+3 = 15\n", -0.1), "conclude": ("15\n", -9.0)}
    s, _ = run([0, 2.0, 2.0, 2.0, 2.0], words, how=how)
    lines = s.chosen.text.split("\n")
    check, end = TRIGGERS["verify"] + "12+3 = 15", TRIGGERS["conclude"] + "15"
    assert lines == ["step 0", check, check, end, check, "Answer: 7"]
    changing = {"verify": ("again\n", -0.1)}
    s, _ = run([0, 2.0, 2.0, 2.0, 2.0], changing, how=how)
    assert TRIGGERS["conclude"] not in s.chosen.text, "no result is not the same result"


def test_the_threshold_is_the_eightieth_percentile_of_a_runs_own_boundaries():
    result = solve(Known(), problems(10), PromptIntervention(**OFF))
    found = [n.data["entropy"] for s in result.solutions for n in s.tree.nodes if "entropy" in n.data]
    assert len(found) == 30, "the first step is behind no boundary"
    strategy = PromptIntervention.calibrated([s.tree for s in result.solutions], branches=2)
    assert strategy.threshold == pytest.approx(np.quantile(found, 0.8))
    assert strategy.branches == 2
    again = solve(Known(), problems(10), strategy)
    hit = sum(n.role in TRIGGERS for s in again.solutions for n in s.tree.nodes)
    assert 0 < hit <= 8
    with pytest.raises(InputError, match="without entropies"):
        PromptIntervention.calibrated([])


def test_it_keeps_to_batches_ledgers_and_budgets():
    check_search(Known, problems(4), PromptIntervention(threshold=0.1, horizon=5))
    check_search(lambda: Talker([0, 2.0, 2.0], {"verify": ("9\n", -0.1)}), problems(2), PromptIntervention())


def test_settings_and_policies_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="no entropies"):
        solve(Known(entropies=False), problems(1), PromptIntervention())
    bad = ({"threshold": -1.0}, {"threshold": math.nan}, {"horizon": 0}, {"how": {"": ("shout",)}})
    for wrong in bad:
        with pytest.raises(ValueError, match="expected"):
            PromptIntervention(**wrong)
