"""RLFR: the velocity model learns what expert text looks like, and its scores are one a token."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from preceptor.credit import METHODS, Batch, Stream, compute, rollout_of
from preceptor.errors import InputError
from preceptor.learn.signals import FlowDeviations
from preceptor.learn.signals.flow import Velocity, errors
from preceptor.policy import prompt_ids
from preceptor.trace import stream_seed
from tests.learn.signals.toys import failed, problem, trace

EXPERT = ["12*7=84\n84-30=54\n", "45-9=36\n36+16=52\n", "12*7=84\n84-9=75\n"]


def expert(policy, n=8):
    return [
        trace(EXPERT[k % 3], "Answer: 54\n", of=problem(f"How many hens {k}?"), tokenizer=policy.tokenizer)
        for k in range(n)
    ]


def odd(policy):
    return trace("@@##zq!!vx~~Q\n", "%%kjw;;\n", tokenizer=policy.tokenizer)


def test_a_tokens_score_is_the_velocity_error_times_t_over_one_less_t(policy):
    t = expert(policy, 1)[0]
    flow = FlowDeviations(policy, blocks=2)
    got = flow.signals([t]).tokens[0]
    prompt = prompt_ids(policy.tokenizer, t.problem)
    with torch.no_grad():
        states = policy.model(
            torch.tensor([[*prompt, *t.token_ids]]), output_hidden_states=True
        ).hidden_states
    own = torch.stack([states[k][0, len(prompt) :] for k in flow.layers], 1)
    n = len(own) - 1
    noise = torch.randn(
        own[:n].shape,
        generator=torch.Generator().manual_seed(
            stream_seed("flow-noise", 0, t.problem.id, list(t.token_ids))
        ),
    )
    expected = []
    for k in range(len(flow.layers)):
        x = 0.8 * own[:n, k] + 0.2 * noise[:, k]
        wanted = own[:n, k] - noise[:, k]
        with torch.no_grad():
            found = flow.model(x, 0.8, own[1:, k], k)
        expected.append(4.0 * (found - wanted).square().mean(-1))
    assert got[:-1] == pytest.approx(torch.stack(expected).mean(0).tolist(), rel=1e-4)
    assert math.isnan(got[-1])
    assert len(got) == len(t.token_ids)


def test_the_layers_are_a_quarter_a_half_and_three_quarters_of_the_depth(policy):
    assert FlowDeviations(policy).layers == (1, 2)  # of two
    assert Velocity(8, 3).layer.num_embeddings == 3
    with pytest.raises(InputError, match="depths"):
        FlowDeviations(policy, depths=(0.0,))


def test_after_fitting_odd_text_deviates_more_than_expert_text(policy):
    flow = FlowDeviations(policy, blocks=2, lr=3e-3)
    losses = flow.fit(expert(policy), steps=150)
    assert losses[-1] < 0.7 * losses[0]

    def mean(t):
        row = flow.signals([t]).tokens[0][:-1]
        return sum(row) / len(row)

    assert mean(odd(policy)) > 1.2 * mean(expert(policy, 9)[-1])


def test_scores_do_not_depend_on_the_batch_or_the_call(policy):
    flow = FlowDeviations(policy, blocks=1)
    alone = flow.signals(expert(policy, 1)).tokens[0]
    among = flow.signals([odd(policy), *expert(policy, 3)]).tokens[1]
    assert alone[:-1] == among[:-1]


def test_an_update_learns_from_right_rollouts_alone_and_its_cost_is_carried(policy):
    flow = FlowDeviations(policy, blocks=1, lr=1e-3)
    before = {k: v.clone() for k, v in flow.model.state_dict().items()}
    traces = expert(policy, 4)
    assert flow.update(traces, [0.0, None, 0.0, 0.0]) == {"learned_from": 0.0}
    assert all(torch.equal(before[k], v) for k, v in flow.model.state_dict().items())
    figures = [flow.update(traces, [1.0, None, 0.0, 1.0]) for _ in range(30)]
    assert figures[0]["learned_from"] == 2.0
    assert figures[-1]["loss"] < figures[0]["loss"]
    flow.signals(traces[:1])
    alone = FlowDeviations(policy, blocks=1)
    alone.signals(traces[:1])
    assert flow.spent.scored > alone.spent.scored
    flow.signals(traces[:1])
    assert flow.spent.scored == alone.spent.scored


def test_a_state_goes_on_where_it_was(policy):
    first, second = (FlowDeviations(policy, blocks=1, lr=1e-3) for _ in range(2))
    first.fit(expert(policy, 4), steps=3)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    traces = expert(policy, 2)
    assert first.update(traces, [1.0, 1.0]) == second.update(traces, [1.0, 1.0])
    assert first.signals(traces).tokens[0][:-1] == second.signals(traces).tokens[0][:-1]


def test_what_cannot_be_read_is_none_and_counted(policy):
    flow = FlowDeviations(policy, blocks=1)
    long = trace(*["12*7=84\n"] * 90, tokenizer=policy.tokenizer)
    found = flow.signals([failed(), long, trace("no ids\n"), expert(policy, 1)[0]])
    assert [row is None for row in found.tokens] == [True, True, True, False]
    assert flow.failed == {"timeout": 1, "too-long": 1, "no-tokens": 1}
    with pytest.raises(InputError, match="expert"):
        flow.fit([failed()])


def test_the_error_is_nothing_for_a_model_that_knows_the_noise():
    class Perfect(Velocity):
        def forward(self, x, t, condition, layer):
            return (x - (1 - t) * noise) / t - noise

    noise, states = torch.randn(5, 4), torch.randn(5, 4)
    assert errors(Perfect(4, 1), states, states, noise, 0, 0.8) == pytest.approx([0.0] * 5, abs=1e-9)


def test_shaping_stays_within_what_the_entry_allows(policy):
    traces = [*expert(policy, 2), odd(policy)]
    rollouts = [rollout_of(t) for t in traces]
    signals = FlowDeviations(policy, blocks=1).signals(traces)
    source = METHODS["rlfr"].streams[1]
    assert isinstance(source, Stream)
    rewards = source.ops[0](
        source.source.of(Batch.of(rollouts, signals)), Batch.of(rollouts, signals).at("token")
    )
    for row in rewards:
        known = row[~(row != row)]
        assert (known < 0).sum() <= 15
        assert -0.15 <= known.sum() <= 0
    compute(rollouts, signals, METHODS["rlfr"])
