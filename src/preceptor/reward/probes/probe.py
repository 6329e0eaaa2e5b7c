"""A small classifier on frozen hidden states ("Probing hidden states for CoT success").

The state of one layer at the last token of each step, standardised, goes into a logistic regression or a
small MLP that says whether the step is good (the question is the labels'). Classes are balanced by weights,
so 0.5 separates them whatever the base rate: a score is no calibrated probability. Train and held-out parts
are split by problem.

The MLP's shape 256-128-64 is the published one; its optimiser settings here, and all of the logistic
regression's (L-BFGS with an L2 penalty), are our choice. One probe serves all positions; a probe per position
is left out, as is early stopping.

Cost: one forward pass of the model a trace, training in seconds.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from preceptor.errors import InputError
from preceptor.judgement import Judgement, Question, Source
from preceptor.reward.likelihood.reading import judged
from preceptor.reward.probes import saving
from preceptor.reward.probes.labelled import Example, figures, labelled
from preceptor.reward.probes.states import (
    OpenPolicy,
    Tokens,
    hidden_states,
    layer_index,
    tokens_of,
)
from preceptor.trace import Trace
from preceptor.usage import Usage


@dataclass(frozen=True)
class ProbeSettings:
    layer: int = -1
    """0 is the embedding, k the output of block k, -1 the last one."""
    kind: Literal["linear", "mlp"] = "linear"
    hidden: tuple[int, ...] = (256, 128, 64)
    """Widths of the MLP's hidden layers."""
    penalty: float = 0.01
    """L2 penalty on the weights: of the mean loss (linear), or AdamW's decay (mlp)."""
    epochs: int = 20
    lr: float = 1e-3
    batch: int = 64
    held_out: float = 0.2
    """Share of the problems kept for the figures."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in ("linear", "mlp"):
            raise InputError(f"kind: got {self.kind!r}, expected 'linear' or 'mlp'")
        if not 0 <= self.held_out < 1 or self.epochs < 1 or self.batch < 1:
            raise InputError(f"probe: got {self}, expected 0 <= held_out < 1, epochs >= 1, batch >= 1")


class Probe:
    """Scorer in (0, 1) of the question its labels answered."""

    def __init__(
        self, policy: OpenPolicy, net: ProbeNet, settings: ProbeSettings, question: Question, report: Any
    ):
        self.policy, self.net, self.settings = policy, net.eval(), settings
        self.question = question
        self.report: dict[str, Any] = report
        """Figures of the held-out problems."""
        self._weights = saving.weights_hash(net)
        self._policy = policy.fingerprint

    @classmethod
    def fit(
        cls,
        policy: OpenPolicy,
        pairs: Iterable[tuple[Trace, Judgement]],
        *,
        settings: ProbeSettings | None = None,
        **options: Any,
    ) -> Probe:
        """Train on traces with their judgements (a `Labels` is such an iterable); `options` are settings.

        A step counts as good from score 0.5; None is no label. InputError when both classes are not there.
        """
        settings = settings or ProbeSettings(**options)
        data = labelled(policy, pairs, held_out=settings.held_out, seed=settings.seed)
        train, test = data.train, data.test
        states, _ = hidden_states(policy, [x.tokens for x in [*train, *test]], [settings.layer])
        x, y = _rows(train, states[: len(train)])
        net = ProbeNet(x.shape[1], settings, mean=x.mean(0), scale=x.std(0, correction=0))
        (_fit_linear if settings.kind == "linear" else _fit_mlp)(net, x, y, settings)
        scored = [net.probabilities(s[1:, 0]) for s in states[len(train) :]]
        return cls(policy, net, settings, data.question, figures(data, scored))

    @property
    def source(self) -> Source:
        layer = layer_index(self.policy, self.settings.layer)
        return Source.of("probe", policy=self._policy, layer=layer, weights=self._weights)

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        """One score per step. Errors: `"no-steps"`, `"too-long"`, `"empty-prompt"`."""
        if self.policy.fingerprint != self._policy:
            raise InputError("probe: the policy's weights have changed since it was trained. Train it again.")
        begin = time.perf_counter()
        items = [tokens_of(self.policy, trace) for trace in traces]
        readable = [x for x in items if isinstance(x, Tokens)]
        found = iter(zip(*hidden_states(self.policy, readable, [self.settings.layer]), strict=True))
        share = (time.perf_counter() - begin) / max(1, len(traces))
        out = []
        for trace, item in zip(traces, items, strict=True):
            if isinstance(item, Tokens):
                states, usage = next(found)
                scores = self.net.probabilities(states[1:, 0])
                out.append(judged(self, trace, scores, replace(usage, seconds=share)))
            else:
                out.append(judged(self, trace, None, Usage(seconds=share), error=item))
        return out

    def save(self, directory: str | Path) -> Path:
        record = {
            "settings": asdict(self.settings),
            "question": self.question.value,
            "policy": self._policy,
            "report": self.report,
        }
        return saving.save(directory, "probe", self.net.state_dict(), record)

    @classmethod
    def load(cls, directory: str | Path, policy: OpenPolicy) -> Probe:
        """ModelError for a broken directory, InputError where the policy is not the probe's."""
        tensors, record = saving.load(directory, "probe", policy)
        known = {**record["settings"], "hidden": tuple(record["settings"]["hidden"])}
        settings = ProbeSettings(**known)
        mean, scale = tensors["mean"], tensors["scale"]
        net = ProbeNet(len(mean), settings, mean=mean, scale=scale)
        net.load_state_dict(tensors)
        return cls(policy, net, settings, Question(record["question"]), record["report"])

    def __repr__(self) -> str:
        value = self.report.get("auroc")
        shown = "unknown" if value is None else f"{value:.3f}"
        s = self.settings
        return f"<Probe {s.kind} on layer {s.layer}, {self.question.value}, held-out AUROC {shown}>"


class ProbeNet(nn.Module):
    """(N, H) states -> (N,) logits; standardises with the training part's mean and scale."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, width: int, settings: ProbeSettings, *, mean: torch.Tensor, scale: torch.Tensor):
        super().__init__()
        self.register_buffer("mean", mean.clone())
        self.register_buffer("scale", scale.clone().clamp_min(1e-6))
        sizes = [width, *(settings.hidden if settings.kind == "mlp" else ()), 1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            parts: list[nn.Module] = []
            for a, b in pairwise(sizes):
                parts += [nn.Linear(a, b), nn.ReLU()]
            self.layers = nn.Sequential(*parts[:-1])

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layers((states - self.mean) / self.scale).squeeze(-1)
        return logits

    def probabilities(self, states: torch.Tensor) -> list[float]:
        with torch.no_grad():
            values: list[float] = self(states).sigmoid().tolist()
        return values


def _rows(examples: Sequence[Example], states: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """States (N, H) and targets (N,) of all labelled steps."""
    picked = [
        (state[t + 1, 0], float(label))
        for x, state in zip(examples, states, strict=True)
        for t, label in enumerate(x.labels)
        if label is not None
    ]
    return torch.stack([s for s, _ in picked]), torch.tensor([y for _, y in picked])


def _balanced(y: torch.Tensor) -> torch.Tensor:
    """Weights with mean 1 under which both classes weigh the same."""
    good = y.mean()
    return torch.where(y > 0.5, 0.5 / good, 0.5 / (1 - good))


def _loss(net: ProbeNet, x: torch.Tensor, y: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return nn.functional.binary_cross_entropy_with_logits(net(x), y, weight=weight)


def _fit_linear(net: ProbeNet, x: torch.Tensor, y: torch.Tensor, settings: ProbeSettings) -> None:
    weight = _balanced(y)
    row = net.layers[0]
    nn.init.zeros_(row.weight)  # type: ignore[arg-type]
    nn.init.zeros_(row.bias)  # type: ignore[arg-type]
    optimizer = torch.optim.LBFGS(net.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        penalty = settings.penalty / 2 * row.weight.square().sum()  # type: ignore[operator]
        loss = _loss(net, x, y, weight) + penalty
        loss.backward()
        return loss

    optimizer.step(closure)


def _fit_mlp(net: ProbeNet, x: torch.Tensor, y: torch.Tensor, settings: ProbeSettings) -> None:
    weight = _balanced(y)
    optimizer = torch.optim.AdamW(net.parameters(), lr=settings.lr, weight_decay=settings.penalty)
    draws = torch.Generator().manual_seed(settings.seed)
    for _ in range(settings.epochs):
        for rows in torch.randperm(len(y), generator=draws).split(settings.batch):
            optimizer.zero_grad()
            _loss(net, x[rows], y[rows], weight[rows]).backward()
            optimizer.step()
