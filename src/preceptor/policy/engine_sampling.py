"""One sampled token per row: counter-based random numbers and inverse-CDF choice.

The uniform for token `t` of a draw is a hash of (stream, t), and a token is the point at which the
cumulative distribution, in vocabulary order, passes it. So a draw depends on its stream and its
distribution and on nothing else: not on the batch, the slot, or what the neighbors sample.

Shapes: N rows, V vocabulary.
"""

from __future__ import annotations

import numpy as np
import torch

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def uniforms(streams_N: np.ndarray, counters_N: np.ndarray) -> np.ndarray:
    """Float64 in [0, 1), one per (stream, counter): the splitmix64 sequence, entered at `counter`.

    Steele, Lea and Flood, Fast splittable pseudorandom number generators (2014).
    """
    with np.errstate(over="ignore"):
        z = _mix(streams_N.astype(np.uint64))
        z = _mix(z + (counters_N.astype(np.uint64) + np.uint64(1)) * _GOLDEN)
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def choose(
    logits_NV: torch.Tensor,
    uniform_N: np.ndarray,
    temperature_N: np.ndarray,
    top_p_N: np.ndarray,
    top_k_N: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Sampled ids and their log-probabilities at temperature 1, before top-p and top-k.

    A row whose logits are not finite gets the log-probability NaN; its id means nothing.
    """
    logits_NV = logits_NV.float()
    logprobs_NV = torch.log_softmax(logits_NV, dim=-1)
    if not temperature_N.any():
        ids_N = logits_NV.argmax(-1)
    else:
        ids_N = _draw(logits_NV, logprobs_NV, uniform_N, temperature_N, top_p_N, top_k_N)
    picked_N = logprobs_NV.gather(1, ids_N[:, None])[:, 0]
    both = torch.stack([ids_N.double(), picked_N.double()]).cpu().numpy()
    return both[0].astype(np.int64), both[1]


def _draw(
    logits_NV: torch.Tensor,
    logprobs_NV: torch.Tensor,
    uniform_N: np.ndarray,
    temperature_N: np.ndarray,
    top_p_N: np.ndarray,
    top_k_N: np.ndarray,
) -> torch.Tensor:
    device = logits_NV.device
    if (temperature_N == 1.0).all():
        probs_NV = logprobs_NV.exp()
    else:
        positive = np.where(temperature_N > 0, temperature_N, 1.0).astype(np.float32)
        # logprobs, not logits: they are <= 0 with a maximum near 0, so a small temperature cannot overflow
        probs_NV = torch.softmax(logprobs_NV / torch.as_tensor(positive, device=device)[:, None], dim=-1)
    if (top_k_N > 0).any() or (top_p_N < 1).any():
        probs_NV = _filtered(probs_NV, top_p_N, top_k_N)
    cdf_NV = probs_NV.cumsum(-1, dtype=torch.float64)
    total_N1 = cdf_NV[:, -1:]
    point_N1 = torch.as_tensor(uniform_N, device=device)[:, None] * total_N1
    point_N1 = torch.minimum(point_N1, torch.nextafter(total_N1, torch.zeros_like(total_N1)))
    ids_N = torch.searchsorted(cdf_NV, point_N1, right=True)[:, 0].clamp_(max=logits_NV.shape[1] - 1)
    greedy_N = temperature_N == 0
    if greedy_N.any():
        ids_N = torch.where(torch.as_tensor(greedy_N, device=device), logits_NV.argmax(-1), ids_N)
    return ids_N


def _filtered(probs_NV: torch.Tensor, top_p_N: np.ndarray, top_k_N: np.ndarray) -> torch.Tensor:
    """Zero outside the `top_k` likeliest and outside the smallest set that holds `top_p` of the rest."""
    vocabulary = probs_NV.shape[1]
    device = probs_NV.device
    k_N1 = torch.as_tensor(np.where(top_k_N > 0, top_k_N, vocabulary), device=device)[:, None]
    p_N1 = torch.as_tensor(np.where(top_p_N < 1, top_p_N, np.inf), device=device)[:, None]
    sorted_NV, order_NV = probs_NV.sort(stable=True, dim=-1, descending=True)
    inside_NV = torch.arange(vocabulary, device=device) < k_N1
    sorted_NV = sorted_NV * inside_NV
    mass_NV = sorted_NV.cumsum(-1, dtype=torch.float64)
    before_NV = (mass_NV - sorted_NV) / mass_NV[:, -1:]
    keep_NV = torch.zeros_like(inside_NV).scatter(1, order_NV, inside_NV & (before_NV < p_N1))
    return probs_NV * keep_NV
