"""Stopping by a probe: never, at once, when it should, and with a real probe on hidden states.

Run: python -m pytest tests/search/decoding/test_probe_stop.py
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from preceptor.annotate import WorldOracle
from preceptor.generation import Continuation
from preceptor.policy import sample
from preceptor.reward.probes import Probe
from preceptor.search import Status, StepBeam, solve
from preceptor.search.decoding.probe_stop import FORCED, ProbeStop
from preceptor.trace import Finish
from preceptor.usage import Usage
from preceptor.worlds import arithmetic
from tests.search.decoding.models import check_search
from tests.search.toy import Oracle, TreePolicy, answers, problems, walked


@dataclass
class Knows(TreePolicy):
    """Asked for the answer, it gives that of the leaf that its own text leads to by "a" from here on."""

    talks: int = 0
    """Characters it adds behind a forced answer."""

    def _one(self, request):
        if not request.prefix.endswith("Answer: "):
            return super()._one(request)
        leaf = (walked(request.prefix) + "aaa")[:3]
        text = answers(request.problem)[leaf] + "!" * self.talks
        finish = Finish.STOP
        if len(text) > request.sampling.max_tokens:
            text, finish = text[: request.sampling.max_tokens], Finish.LENGTH
        return Continuation(text, finish, usage=Usage(generated=len(text), calls=1))


class Half(Oracle):
    """Confident from the second step on."""

    def _one(self, trace):
        from dataclasses import replace

        got = super()._one(trace)
        return replace(got, scores=tuple(0.9 if t >= 1 else 0.2 for t in range(len(trace.steps))))


def test_a_threshold_of_one_never_stops_and_gives_the_full_text():
    ps = problems(10)
    full = solve(Knows(), ps, StepBeam(1, 1), Oracle(constant=1.0), seed=3)
    own = solve(Knows(), ps, ProbeStop(1.0), Oracle(constant=1.0), seed=3)
    assert [s.chosen.text for s in own.solutions] == [s.chosen.text for s in full.solutions]
    assert own.ledger.policy.generated == full.ledger.policy.generated
    assert not any(n.role == FORCED for s in own.solutions for n in s.tree.nodes)


def test_it_stops_behind_the_first_step_the_probe_is_sure_of():
    for s in solve(Knows(), problems(6), ProbeStop(0.5), Half()).solutions:
        assert s.chosen.text.count("go ") == 2
        assert s.chosen.text.endswith("\nAnswer: " + s.answer)
        (forced,) = [n for n in s.tree.nodes if n.role == FORCED]
        assert forced.inserted == len("Answer: ")
        assert forced.usage.generated == 1
        assert len(s.candidates) == 1
    for s in solve(Knows(), problems(6), ProbeStop(0.95), Half()).solutions:
        assert s.chosen.text.count("go ") == 3
    for s in solve(Knows(), problems(6), ProbeStop(0.1), Half()).solutions:
        assert s.chosen.text.count("go ") == 1
    for s in solve(Knows(), problems(6), ProbeStop(0.1, first_step=3), Half()).solutions:
        assert s.chosen.text.count("go ") == 3
        assert s.ledger.scorer.calls == 1


def test_a_forced_answer_is_short_and_greedy():
    policy = Knows()
    solve(policy, problems(1), ProbeStop(0.1), Half())
    (asked,) = [r for batch in policy.sent for r in batch if r.prefix.endswith("Answer: ")]
    assert asked.sampling.temperature == 0
    assert asked.sampling.max_tokens == 15


def test_an_answer_that_does_not_end_is_dropped_and_the_text_goes_on():
    for s in solve(Knows(talks=20), problems(5), ProbeStop(0.5), Half()).solutions:
        tries = [n for n in s.tree.nodes if n.role == FORCED]
        assert {n.status for n in tries} == {Status.PRUNED}
        assert len(tries) == 2, "behind the second and the third step"
        assert s.chosen.text.count("go ") == 3
        assert s.chosen.text.endswith("Answer: " + s.answer)
        full = solve(Knows(), [s.problem], StepBeam(1, 1), Oracle(constant=1.0)).solutions[0]
        assert s.chosen.text == full.chosen.text


def test_a_step_the_probe_could_not_judge_stops_nothing():
    for s in solve(Knows(), problems(3), ProbeStop(0.5), Oracle(fail="go")).solutions:
        assert s.chosen.text.count("go ") == 3


def test_it_keeps_to_batches_ledgers_and_budgets():
    check_search(Knows, problems(5), ProbeStop(0.5), Half)
    check_search(lambda: Knows(talks=20), problems(3), ProbeStop(0.5), Oracle)
    for wrong in ({"answer_tokens": 0}, {"first_step": 0}, {"instruction": ""}):
        with pytest.raises(ValueError, match="expected"):
            ProbeStop(**wrong)


def test_a_probe_on_hidden_states_decides_from_what_stands_before(shipped):
    train = arithmetic("dev", 60)
    traces = sample(shipped, train, 1, seed=3)
    probe = Probe.fit(shipped, list(zip(traces, WorldOracle().score(traces), strict=True)), held_out=0.0)
    ps = arithmetic("test", 6)
    free = solve(shipped, ps, ProbeStop(1.0), probe)
    own = solve(shipped, ps, ProbeStop(0.6), probe)
    stopped = 0
    for a, b in zip(free.solutions, own.solutions):
        path = [n for n in b.tree.nodes[1:] if n.role != FORCED]
        for node in path:
            assert a.chosen.text.startswith(b.tree.path(node).text)
        judged = [n for n in path if n.scores is not None]
        whole = probe.score([a.chosen])[0].scores
        for node in judged:
            t = len(b.tree.path(node).ends) - 1
            assert node.scores[t] == pytest.approx(whole[t], abs=1e-4)
        forced = [n for n in b.tree.nodes if n.role == FORCED and n.status is Status.DONE]
        if forced:
            stopped += 1
            assert b.tree[forced[0].parent].scores[-1] > 0.6
            assert all(n.scores[-1] <= 0.6 for n in judged[:-1])
            assert b.ledger.policy.generated <= a.ledger.policy.generated + 15
    assert stopped > 1
