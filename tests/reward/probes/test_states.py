"""What is read from a frozen model: the states of a plain forward pass, whatever the batch."""

from __future__ import annotations

import pytest
import torch

from preceptor.errors import InputError, ItemError
from preceptor.policy.load import load_policy
from preceptor.policy.render import prompt_ids, text_ids
from preceptor.policy.sample import sample
from preceptor.reward.probes.states import (
    NEAR,
    feature_count,
    hidden_states,
    layers_of,
    token_features,
    tokens_of,
)
from preceptor.trace import Problem, Step, Trace, steps_from_ends
from preceptor.worlds import WORLDS


@pytest.fixture(scope="module")
def policy():
    return load_policy("world:arithmetic")


@pytest.fixture(scope="module")
def traces(policy):
    return sample(policy, WORLDS["arithmetic"].problems("test", 3), 2, seed=2)


def prefix_ids(policy, trace: Trace, t: int) -> list[int]:
    return [*prompt_ids(policy.tokenizer, trace.problem), *text_ids(policy.tokenizer, trace.prefix(t))]


@pytest.mark.parametrize("layer", [0, 2, -1])
@pytest.mark.parametrize("batch_tokens", [1, 100_000])
def test_states_are_those_of_every_prefix_read_alone(policy, traces, layer, batch_tokens):
    found, usage = hidden_states(
        policy, [tokens_of(policy, t) for t in traces], [layer], batch_tokens=batch_tokens
    )
    for trace, states in zip(traces, found, strict=True):
        assert states.shape == (len(trace.steps) + 1, 1, 96)
        for t in range(len(trace.steps) + 1):
            with torch.no_grad():
                ids = torch.tensor([prefix_ids(policy, trace, t)])
                alone = policy.model(ids, output_hidden_states=True).hidden_states[layer][0, -1]
            assert torch.allclose(states[t, 0], alone, atol=1e-4)
    assert all(u.scored + u.reused > 0 for u in usage)


def test_stored_tokens_and_a_new_encoding_give_the_same_features(policy, traces):
    anonymous = [Trace(t.problem, t.text, t.steps) for t in traces]
    stored = token_features(policy, [tokens_of(policy, t) for t in traces])
    again = token_features(policy, [tokens_of(policy, t) for t in anonymous], batch_tokens=1)
    for a, b in zip(stored, again, strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_features_are_attention_to_self_and_the_two_before_then_the_four_best_probabilities(policy, traces):
    trace = traces[0]
    item = tokens_of(policy, trace)
    found = token_features(policy, [item])[0]
    assert found.shape == (len(item.ids) - item.first, feature_count(policy))
    before = policy.model.config._attn_implementation
    policy.model.set_attn_implementation("eager")
    with torch.no_grad():
        plain = policy.model(torch.tensor([item.ids]), output_attentions=True)
    policy.model.set_attn_implementation(before)
    n, layer, head = 3, 1, 2
    at = item.first + n
    row = plain.attentions[layer][0, head, at]
    column = (layer * 4 + head) * NEAR
    assert found[n, column : column + NEAR].tolist() == pytest.approx(
        [row[at].item(), row[at - 1].item(), row[at - 2].item()], abs=1e-6
    )
    best = plain.logits[0, at - 1].softmax(-1).topk(4).values
    assert torch.allclose(found[n, -4:], best, atol=1e-6)


def test_the_model_is_left_as_it_was(policy, traces):
    before = policy.model.config._attn_implementation
    policy.model.train()
    token_features(policy, [tokens_of(policy, traces[0])])
    assert policy.model.training
    assert policy.model.config._attn_implementation == before
    policy.model.eval()


def test_a_step_without_a_token_keeps_the_state_before_it(policy):
    trace = Trace(Problem("q"), "1+1=2\n", steps_from_ends([0, 6, 6]))
    states = hidden_states(policy, [tokens_of(policy, trace)], [-1])[0][0]
    assert torch.equal(states[0], states[1])
    assert torch.equal(states[2], states[3])
    assert not torch.equal(states[1], states[2])


def test_an_observation_is_read_behind_its_step(policy):
    plain = Trace(Problem("q"), "1+1=\n2\n", steps_from_ends([5, 7]))
    seen = Trace(Problem("q"), "1+1=\n2\n", (Step(0, 5, observation="two\n"), Step(5, 7)))
    a, b = (hidden_states(policy, [tokens_of(policy, t)], [2])[0][0] for t in (plain, seen))
    assert torch.allclose(a[1], b[1], atol=1e-5)
    assert not torch.allclose(a[2], b[2], atol=1e-2)


def test_what_cannot_be_read_says_why(policy):
    long = Trace(Problem("q"), "1\n" * 2000, steps_from_ends([4000]))
    for trace, kind in ((Trace(Problem("q"), "", ()), "no-steps"), (long, "too-long")):
        error = tokens_of(policy, trace)
        assert isinstance(error, ItemError)
        assert error.kind == kind
    with pytest.raises(InputError, match="layer"):
        hidden_states(policy, [], [layers_of(policy) + 1])
