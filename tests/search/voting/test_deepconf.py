"""Specifies confidence: windows by hand, what is kept, and where a trace is cut while it is written."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.generation import Continuation, Request, Sampling
from preceptor.policy import load_policy
from preceptor.search import Majority, Node, Solution, Status, solve
from preceptor.search.voting.confidence import SAMPLED, TOP20, confidence, windows
from preceptor.search.voting.deepconf import DeepConf
from preceptor.search.voting.deepconf_online import DeepConfOnline
from preceptor.trace import Finish, Problem
from preceptor.usage import Usage
from tests.search.toy import TreePolicy, problems

LINES = 6
LINE = 5
TEXT = "".join(f"l{i:02d}\n" + " " * (LINE - 4) for i in range(LINES))


def doubtful(draw: int) -> int | None:
    """The line at which a trace grows unsure: draw 0 and 1 never do, the others at line draw % LINES."""
    return None if draw < 2 else draw % LINES


class Doubts:
    """Thirty characters and an answer; one token a character, of log-probability -0.1, and -2 in the doubtful line.

    Confident traces answer "7", doubtful ones "1"."""

    fingerprint = "doubts"

    def __init__(self) -> None:
        self.asked: list[Request] = []

    def generate(self, requests: Sequence[Request]) -> list[Continuation]:
        self.asked += requests
        return [self._one(r) for r in requests]

    def _one(self, request: Request) -> Continuation:
        at = doubtful(request.draw)
        whole = TEXT + f"Answer: {'7' if at is None else '1'}"
        logps = [
            -2.0 if at is not None and i // LINE == at and i < len(TEXT) else -0.1 for i in range(len(whole))
        ]
        start = len(request.prefix)
        text, finish = whole[start:], Finish.STOP
        if len(text) > request.sampling.max_tokens:
            text, finish = text[: request.sampling.max_tokens], Finish.LENGTH
        return Continuation(
            text,
            finish,
            tuple(map(ord, text)),
            tuple(range(1, len(text) + 1)),
            tuple(logps[start : start + len(text)]),
            Usage(generated=len(text), calls=1),
        )


def asked() -> Problem:
    return Problem("?", "7", id="doubts", grader="exact")


def kept(s: Solution) -> list[Node]:
    return [s.tree[c.node] for c in s.candidates if s.tree[c.node].data["kept"]]


def test_statistics_of_a_trace_by_hand() -> None:
    values = [-1.0, -3.0, -1.0, 0.0, -2.0]
    assert windows(values, 2).tolist() == [-2.0, -2.0, -0.5, -1.0]
    assert confidence(values, "mean", 2) == pytest.approx(-1.4)
    assert confidence(values, "tail", 2) == -1.0
    assert confidence(values, "min", 2) == -2.0
    assert confidence(values, "bottom", 2) == -2.0
    assert confidence(values, "min", 9) == confidence(values, "bottom", 9) == pytest.approx(-1.4)
    many = [-float(i) for i in range(40)]
    assert confidence(many, "bottom", 1) == pytest.approx(-37.5)  # the lowest 4 of 40


@given(st.lists(st.floats(-5, 0), min_size=1, max_size=40), st.integers(1, 12), st.integers(0, 40))
def test_windows_that_are_new_are_the_last_of_all_windows(values: list[float], size: int, since: int) -> None:
    every = windows(values, size)
    assert len(every) == max(0, len(values) - size + 1)
    new = windows(values, size, since)
    ends = [i + size for i in range(len(every))]
    assert np.allclose(new, [w for w, end in zip(every, ends, strict=True) if end > since])


def test_constant_confidence_makes_it_the_majority_and_so_do_absent_log_probabilities() -> None:
    class Silent(TreePolicy):
        def _one(self, request):  # type: ignore[no-untyped-def]
            got = super()._one(request)
            object.__setattr__(got, "logprobs", None)
            return got

    ps = problems(20)
    majority = [s.answer for s in solve(TreePolicy(), ps, Majority(9)).solutions]
    for strategy in (
        DeepConf(9, keep=0.1),
        DeepConf(9, keep=1.0, statistic="bottom"),
        DeepConfOnline(9, 4, window=3),
    ):
        for policy in (TreePolicy(), Silent()):
            result = solve(policy, ps, strategy)
            assert [s.answer for s in result.solutions] == majority
            for s in result.solutions:
                kinds = {s.tree[c.node].data["tokens"] for c in s.candidates}
                assert kinds == ({SAMPLED} if type(policy) is TreePolicy else {None})


def test_offline_keeps_the_most_confident_share_and_weighs_them() -> None:
    s = solve(Doubts(), [asked()], DeepConf(10, keep=0.2, statistic="min", window=5)).solutions[0]
    assert s.answer == "7"
    assert [n.draw for n in kept(s)] == [0, 1]
    assert solve(Doubts(), [asked()], Majority(10)).solutions[0].answer == "1"
    # the tail does not see doubts in the middle: all tie, all are kept, and the majority decides
    tail = solve(Doubts(), [asked()], DeepConf(10, keep=0.2, statistic="tail", window=4)).solutions[0]
    assert (len(kept(tail)), tail.answer) == (10, "1")
    mean = solve(Doubts(), [asked()], DeepConf(10, keep=0.9, statistic="mean", window=5)).solutions[0]
    assert mean.answer == "1"


def test_online_cuts_a_trace_at_the_first_look_after_a_full_window_falls_below() -> None:
    # of 3 warm-up traces one is doubtful: the median of -0.1, -0.1, -2 spares confident traces only
    strategy = DeepConfOnline(9, 3, 0.5, window=5, unit=4, sampling=Sampling(temperature=0.8, max_tokens=99))
    s = solve(Doubts(), [asked()], strategy).solutions[0]
    assert s.answer == "7"
    assert [n.draw for n in kept(s)] == [0, 1]
    assert {n.status for n in s.tree.nodes[1:4]} == {Status.DONE}
    rejected = s.tree.having(Status.REJECTED)
    assert len(rejected) == 6
    for node in rejected:
        first = LINE * (doubtful(node.draw) or 0)
        window_end = max(first + 1, 5)  # one doubtful token in a full window is enough
        seen = len(s.tree.path(node).text)
        assert seen == math.ceil(window_end / 4) * 4
        assert node.data["why"] == "a window below the threshold"
    whole = solve(Doubts(), [asked()], DeepConf(9)).solutions[0].ledger.policy.generated
    assert s.ledger.policy.generated < 0.7 * whole


def test_a_spared_trace_is_the_same_text_as_one_written_at_once() -> None:
    strategy = DeepConfOnline(9, 3, 1.0, window=5, unit=4, sampling=Sampling(temperature=0.8, max_tokens=99))
    s = solve(Doubts(), [asked()], strategy).solutions[0]
    plain = solve(Doubts(), [asked()], Majority(9)).solutions[0]
    assert s.finished == 9
    assert sorted(c.trace.text for c in s.candidates) == sorted(c.trace.text for c in plain.candidates)
    assert s.ledger.policy.generated == plain.ledger.policy.generated


def test_the_limit_of_a_solution_holds_over_its_units() -> None:
    strategy = DeepConfOnline(5, 3, 1.0, window=5, unit=4, sampling=Sampling(temperature=0.8, max_tokens=30))
    s = solve(Doubts(), [asked()], strategy).solutions[0]
    assert s.finished == 0
    leaves = [n for n in s.tree.nodes[1:] if not s.tree.children(n)]
    assert [len(s.tree.path(n).text) for n in leaves] == [30] * 5
    assert {n.status for n in leaves} == {Status.CUT}


def test_a_trace_shorter_than_a_window_is_never_cut() -> None:
    strategy = DeepConfOnline(
        9, 3, 0.5, window=500, unit=4, sampling=Sampling(temperature=0.8, max_tokens=99)
    )
    s = solve(Doubts(), [asked()], strategy).solutions[0]
    assert s.finished == 9
    assert not s.tree.having(Status.REJECTED)


def test_local_models_give_the_confidence_of_the_top_20(tiny_policy_dir: Path) -> None:
    import torch

    policy = load_policy(str(tiny_policy_dir))
    ps = [Problem(f"{i} plus {i}?", "4", id=f"p{i}", grader="numeric") for i in range(2)]
    sampling = Sampling(temperature=1.0, max_tokens=12)
    result = solve(policy, ps, DeepConf(3, statistic="mean", sampling=sampling))
    plain = solve(policy, ps, Majority(3, sampling=sampling))
    for s, p in zip(result.solutions, plain.solutions, strict=True):
        assert [n.token_ids for n in s.tree.nodes] == [n.token_ids for n in p.tree.nodes]
        assert s.ledger.policy.generated == p.ledger.policy.generated
        json.dumps(s.tree.to_record())
    node = result.solutions[0].tree[1]
    from preceptor.policy.render import prompt_ids

    before = prompt_ids(policy.tokenizer, ps[0])
    ids = torch.tensor([[*before, *(node.token_ids or ())]])
    logps = policy.model(ids).logits[0, len(before) - 1 : -1].float().log_softmax(-1)
    top = -logps.topk(min(20, logps.shape[1])).values.mean(-1)
    assert node.data["policy"]["confidences"] == pytest.approx(top.tolist(), abs=1e-4)
    done = [s.tree[c.node] for s in result.solutions for c in s.candidates]
    assert all(n.data["tokens"] == TOP20 and n.data["confidence"] > 0 for n in done)


def test_unusable_settings_are_refused() -> None:
    for bad in (
        lambda: DeepConf(keep=0),
        lambda: DeepConf(statistic="median"),
        lambda: DeepConfOnline(window=0),
        lambda: DeepConfOnline(4, 8),
    ):
        with pytest.raises(ValueError, match="expected"):
            bad()
