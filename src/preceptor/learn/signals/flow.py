"""A velocity model of hidden states: flow matching at one point of the path (repo Jinghaoleven/RLFR, `flow_simple.py`).

    x_t = t h + (1 - t) noise       target h - noise       error = mean squared difference       t = 0.8

Residual blocks of two linear layers, each shifted, scaled and gated by what it is conditioned on (AdaLN): the
neighbouring token's state, the time and the layer. As published: 6 blocks. Width = that of the states, states
standardised by the mean and deviation of the first data fitted: not found, ours.

Shapes: N tokens, H the width of a state.
"""

from __future__ import annotations

import torch
from torch import nn

FREQUENCIES = 16


class Block(nn.Module):
    """(N, W) -> (N, W). The gate starts at zero, so an untrained model is a linear map of its input."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.inner = nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))
        self.modulation = nn.Linear(width, 3 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        shift, scale, gate = self.modulation(condition).chunk(3, -1)
        out: torch.Tensor = x + gate * self.inner(self.norm(x) * (1 + scale) + shift)
        return out


class Velocity(nn.Module):
    """v(x_t, t, condition, layer); standardises its inputs once `fit_scale` has seen data."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, hidden: int, layers: int, blocks: int = 6, seed: int = 0):
        super().__init__()
        self.register_buffer("mean", torch.zeros(layers, hidden))
        self.register_buffer("scale", torch.ones(layers, hidden))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.enter = nn.Linear(hidden, hidden)
            self.beside = nn.Linear(hidden, hidden)
            self.time = nn.Sequential(
                nn.Linear(2 * FREQUENCIES, hidden), nn.SiLU(), nn.Linear(hidden, hidden)
            )
            self.layer = nn.Embedding(layers, hidden)
            self.blocks = nn.ModuleList(Block(hidden) for _ in range(blocks))
            self.leave = nn.Linear(hidden, hidden)

    def fit_scale(self, states: torch.Tensor) -> None:
        """`states` (N, layers, H)."""
        self.mean.copy_(states.mean(0))
        self.scale.copy_(states.std(0, correction=0).clamp_min(1e-6))

    def standard(self, states: torch.Tensor, layer: int) -> torch.Tensor:
        return (states - self.mean[layer]) / self.scale[layer]

    def forward(self, x: torch.Tensor, t: float, condition: torch.Tensor, layer: int) -> torch.Tensor:
        angles = t * 2.0 ** torch.arange(FREQUENCIES, device=x.device, dtype=x.dtype)
        time = self.time(torch.cat([angles.sin(), angles.cos()]))
        given = nn.functional.silu(self.beside(condition) + time + self.layer.weight[layer])
        x = self.enter(x)
        for block in self.blocks:
            x = block(x, given)
        out: torch.Tensor = self.leave(x)
        return out


def errors(
    model: Velocity, states: torch.Tensor, beside: torch.Tensor, noise: torch.Tensor, layer: int, t: float
) -> torch.Tensor:
    """(N,) mean squared error of the velocity at time t, of raw states and their raw neighbours, all (N, H)."""
    h, condition = model.standard(states, layer), model.standard(beside, layer)
    wanted = h - noise
    found = model(t * h + (1 - t) * noise, t, condition, layer)
    error: torch.Tensor = (found - wanted).square().mean(-1)
    return error
