"""A sampled token is a function of its stream, its place and its distribution; filters mean what they say."""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import kstest

from preceptor.policy.engine_sampling import choose, uniforms


def settings(n: int, temperature: float = 1.0, top_p: float = 1.0, top_k: int = 0) -> tuple[np.ndarray, ...]:
    return np.full(n, temperature, np.float32), np.full(n, top_p), np.full(n, top_k)


def test_uniforms_are_uniform_along_streams_and_along_tokens():
    streams = np.arange(20_000, dtype=np.uint64)
    zeros = np.zeros(20_000, np.int64)
    assert kstest(uniforms(streams, zeros), "uniform").pvalue > 1e-3
    assert kstest(uniforms(np.zeros_like(streams), streams.astype(np.int64)), "uniform").pvalue > 1e-3
    here, there = uniforms(streams, zeros), uniforms(streams, zeros + 1)
    assert abs(np.corrcoef(here, there)[0, 1]) < 0.03
    assert abs(np.corrcoef(here[1:], here[:-1])[0, 1]) < 0.03


def test_neighboring_streams_share_no_numbers_at_shifted_places():
    first = uniforms(np.full(1000, 5, np.uint64), np.arange(1000))
    second = uniforms(np.full(1000, 6, np.uint64), np.arange(1000))
    assert not set(first) & set(second)


def test_the_largest_uniform_picks_a_token_that_can_happen():
    logits = torch.full((1, 50), -torch.inf)
    logits[0, 3], logits[0, 7] = 0.0, 1.0
    for u, expected in ((0.0, 3), (np.nextafter(1.0, 0), 7)):
        ids, _ = choose(logits, np.array([u]), *settings(1))
        assert ids[0] == expected


def test_filters_leave_the_same_tokens_as_a_loop_over_the_sorted_distribution():
    torch.manual_seed(0)
    logits = torch.randn(1, 30) * 2
    grid = (np.arange(4000) + 0.5) / 4000
    rows = logits.expand(4000, -1)
    for temperature, top_p, top_k in ((1.0, 0.7, 0), (1.0, 1.0, 4), (0.5, 0.9, 6), (2.0, 0.3, 1)):
        p = torch.softmax(logits[0].double() / temperature, -1).numpy()
        order = list(np.argsort(-p, kind="stable"))[: top_k or None]
        kept, mass = [], 0.0
        for i in order:
            if mass / p[order].sum() >= top_p:
                break
            kept.append(i)
            mass += p[i]
        ids, logprobs = choose(rows, grid, *settings(4000, temperature, top_p, top_k))
        share = np.bincount(ids, minlength=30) / 4000
        expected = np.where(np.isin(np.arange(30), kept), p, 0) / p[kept].sum()
        np.testing.assert_allclose(share, expected, atol=1e-3)
        plain = torch.log_softmax(logits[0], -1).numpy()
        np.testing.assert_allclose(logprobs, plain[ids], atol=1e-6)


def test_a_row_is_not_changed_by_what_its_neighbors_ask_for():
    torch.manual_seed(0)
    logits = torch.randn(5, 40)
    u = np.array([0.1, 0.5, 0.9, 0.3, 0.7])
    temperature = np.array([1.0, 0.7, 0.0, 1.0, 1.5], np.float32)
    top_p, top_k = np.array([1.0, 0.5, 1.0, 1.0, 0.9]), np.array([0, 0, 0, 3, 0])
    together, _ = choose(logits, u, temperature, top_p, top_k)
    for k in range(5):
        one = slice(k, k + 1)
        alone, _ = choose(logits[one], u[one], temperature[one], top_p[one], top_k[one])
        assert alone[0] == together[k]


def test_a_tiny_temperature_is_greedy_and_does_not_overflow():
    logits = torch.tensor([[1e4, 1.1e4, -1e4]])
    ids, logprobs = choose(logits, np.array([0.999]), *settings(1, temperature=1e-6))
    assert ids[0] == 1
    assert np.isfinite(logprobs[0])


def test_logits_that_are_not_finite_give_a_logprob_that_is_not():
    for bad in (float("nan"), float("inf")):
        logits = torch.zeros(1, 4)
        logits[0, 2] = bad
        for temperature in (0.0, 1.0):
            assert not np.isfinite(choose(logits, np.array([0.9]), *settings(1, temperature))[1][0])
