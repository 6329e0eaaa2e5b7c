"""An uncertainty head: a small transformer over a frozen model's attention and probabilities (UHeads).

Features per token are read once a trace (`states.token_features`). For each step the head adds an embedding
of "this token belongs to the step", runs a transformer encoder over the sequence, and classifies the mean
over the step's tokens: is it wrong? Loss: binary cross-entropy in which an error weighs 3. The score of a step
is 1 - sigma. The language model is frozen: features come without gradients.

Published settings are the defaults (width 768; the class default is 256). Ours, as not found: no positional
encoding, a feed-forward width equal to `width` (about 10M parameters at width 768, as the paper has it), linear
decay after the warmup, and `hide_after`: tokens behind the step are hidden, so that a score does not depend
on what is written later.

Cost: one pass of the model with eager attention a trace; one run of the head a step.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from preceptor.errors import InputError
from preceptor.judgement import Judgement, Question, Source
from preceptor.reward.likelihood.reading import judged
from preceptor.reward.probes import saving
from preceptor.reward.probes.labelled import figures, labelled
from preceptor.reward.probes.states import (
    OpenPolicy,
    Tokens,
    feature_count,
    token_features,
    tokens_of,
    usage_of,
)
from preceptor.trace import Trace
from preceptor.usage import Usage


@dataclass(frozen=True)
class HeadSettings:
    width: int = 768
    heads: int = 8
    layers: int = 2
    dropout: float = 0.1
    error_weight: float = 3.0
    """Weight of a wrong step in the loss."""
    lr: float = 1e-4
    epochs: int = 10
    batch: int = 32
    """Traces in a batch, each with all its steps."""
    weight_decay: float = 0.1
    warmup: float = 0.05
    """Share of the updates in which the learning rate rises."""
    hide_after: bool = True
    held_out: float = 0.2
    """Share of the problems kept for the figures."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.width % self.heads or not 0 <= self.held_out < 1 or min(self.epochs, self.batch) < 1:
            raise InputError(
                f"uncertainty head: got {self}, expected a width that {self.heads} heads divide, "
                "0 <= held_out < 1, epochs >= 1, batch >= 1"
            )


class HeadNet(nn.Module):
    """Features of B traces and S steps of theirs to S logits of "wrong"."""

    def __init__(self, features: int, settings: HeadSettings):
        super().__init__()
        d, drop = settings.width, settings.dropout
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.project = nn.Sequential(
                nn.Linear(features, 2 * d),
                nn.LayerNorm(2 * d),
                nn.GELU(),
                nn.Dropout(drop),
                nn.Linear(2 * d, d),
            )
            self.member = nn.Embedding(2, d)
            block = nn.TransformerEncoderLayer(d, settings.heads, d, drop, "gelu", batch_first=True)
            self.encoder = nn.TransformerEncoder(block, settings.layers, enable_nested_tensor=False)
            self.classify = nn.Sequential(nn.Linear(d, d), nn.GELU(), nn.Linear(d, 1))

    def forward(
        self, features: torch.Tensor, owner: torch.Tensor, own: torch.Tensor, seen: torch.Tensor
    ) -> torch.Tensor:
        """`features` (B, N, F); `owner` (S,) the row each step belongs to; `own`, `seen` (S, N) bool: the
        step's tokens, and those the encoder may look at. Returns (S,)."""
        x = self.project(features)[owner] + self.member(own.long())
        x = self.encoder(x, src_key_padding_mask=~seen)
        mean = (x * own.unsqueeze(-1)).sum(1) / own.sum(1, keepdim=True)
        logits: torch.Tensor = self.classify(mean).squeeze(-1)
        return logits


class UncertaintyHead:
    """Scorer in (0, 1) of the question its labels answered. A step in which no token ends has no score."""

    def __init__(
        self, policy: OpenPolicy, net: HeadNet, settings: HeadSettings, question: Question, report: Any
    ):
        self.policy, self.net, self.settings = policy, net.eval(), settings
        self.question = question
        self.report: dict[str, Any] = report
        """Figures of the held-out problems."""
        self._policy = policy.fingerprint
        self._weights = saving.weights_hash(net)

    @classmethod
    def fit(
        cls,
        policy: OpenPolicy,
        pairs: Iterable[tuple[Trace, Judgement]],
        *,
        settings: HeadSettings | None = None,
        **options: Any,
    ) -> UncertaintyHead:
        """Train on traces with their judgements; `options` are settings. A step is wrong below score 0.5."""
        settings = settings or HeadSettings(**options)
        data = labelled(policy, pairs, held_out=settings.held_out, seed=settings.seed)
        train, test = data.train, data.test
        features = token_features(policy, [x.tokens for x in [*train, *test]])
        net = HeadNet(feature_count(policy), settings)
        examples = list(zip(features, [x.tokens for x in train], [x.labels for x in train]))
        _train(net, examples, settings)
        head = cls(policy, net, settings, data.question, {})
        scored = [head.from_features(f, x.tokens) for f, x in zip(features[len(train) :], test, strict=True)]
        head.report = figures(data, scored)
        return head

    @property
    def source(self) -> Source:
        return Source.of("uncertainty-head", policy=self._policy, weights=self._weights)

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        if self.policy.fingerprint != self._policy:
            raise InputError("uncertainty head: the policy's weights have changed since. Train it again.")
        begin = time.perf_counter()
        items = [tokens_of(self.policy, trace) for trace in traces]
        features = iter(token_features(self.policy, [x for x in items if isinstance(x, Tokens)]))
        rows = [self.from_features(next(features), x) if isinstance(x, Tokens) else None for x in items]
        share = (time.perf_counter() - begin) / max(1, len(traces))
        out = []
        for trace, item, scores in zip(traces, items, rows, strict=True):
            if isinstance(item, Tokens):
                usage = replace(usage_of(self.policy, len(item.ids)), seconds=share)
                out.append(judged(self, trace, scores, usage))
            else:
                out.append(judged(self, trace, None, Usage(seconds=share), error=item))
        return out

    def from_features(self, features: torch.Tensor, tokens: Tokens) -> list[float | None]:
        """Scores of a trace's steps from features that were kept (N, F): no pass of the language model."""
        places = [t for t, own in enumerate(tokens.steps) if own.stop > own.start]
        scores: list[float | None] = [None] * len(tokens.steps)
        if places:
            batch = _collate([(features, tokens, places)], self.settings.hide_after)
            with torch.no_grad():
                values = (1 - self.net(*batch).sigmoid()).tolist()
            for t, value in zip(places, values, strict=True):
                scores[t] = value
        return scores

    def save(self, directory: str | Path) -> Path:
        record = {
            "settings": asdict(self.settings),
            "question": self.question.value,
            "policy": self._policy,
            "report": self.report,
        }
        return saving.save(directory, "uncertainty-head", self.net.state_dict(), record)

    @classmethod
    def load(cls, directory: str | Path, policy: OpenPolicy) -> UncertaintyHead:
        """ModelError for a broken directory, InputError where the policy is not the head's."""
        tensors, record = saving.load(directory, "uncertainty-head", policy)
        settings = HeadSettings(**record["settings"])
        net = HeadNet(feature_count(policy), settings)
        net.load_state_dict(tensors)
        return cls(policy, net, settings, Question(record["question"]), record["report"])

    def __repr__(self) -> str:
        value = self.report.get("auroc")
        shown = "unknown" if value is None else f"{value:.3f}"
        return f"<UncertaintyHead {self.question.value}, held-out AUROC {shown}>"


_Part = tuple[torch.Tensor, Tokens, Sequence[int]]


def _collate(parts: Sequence[_Part], hide_after: bool) -> tuple[torch.Tensor, ...]:
    """Features (B, N, F) padded on the right, then owner (S,), own and seen (S, N) of the steps named."""
    length = max(len(f) for f, _, _ in parts)
    features = torch.zeros(len(parts), length, parts[0][0].shape[1])
    steps = sum(len(places) for _, _, places in parts)
    owner = torch.zeros(steps, dtype=torch.long)
    own = torch.zeros(steps, length, dtype=torch.bool)
    seen = torch.zeros(steps, length, dtype=torch.bool)
    row = 0
    for b, (values, tokens, places) in enumerate(parts):
        features[b, : len(values)] = values
        for t in places:
            owner[row] = b
            own[row, tokens.steps[t]] = True
            seen[row, : tokens.steps[t].stop if hide_after else len(values)] = True
            row += 1
    return features, owner, own, seen


def _train(
    net: HeadNet,
    examples: Sequence[tuple[torch.Tensor, Tokens, Sequence[bool | None]]],
    settings: HeadSettings,
) -> None:
    parts: list[tuple[_Part, list[float]]] = []
    for features, tokens, labels in examples:
        known = [t for t, own in enumerate(tokens.steps) if labels[t] is not None and own.stop > own.start]
        if known:
            parts.append(((features, tokens, known), [0.0 if labels[t] else 1.0 for t in known]))
    optimizer = torch.optim.AdamW(net.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    total = settings.epochs * -(-len(parts) // settings.batch)
    rise = max(1, round(settings.warmup * total))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda k: min((k + 1) / rise, (total - k) / max(1, total - rise))
    )
    weight = torch.tensor(settings.error_weight)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        net.train()
        for _ in range(settings.epochs):
            for rows in torch.randperm(len(parts)).split(settings.batch):
                chosen = [parts[i] for i in rows.tolist()]
                logits = net(*_collate([part for part, _ in chosen], settings.hide_after))
                wrong = torch.tensor([y for _, ys in chosen for y in ys])
                optimizer.zero_grad()
                nn.functional.binary_cross_entropy_with_logits(logits, wrong, pos_weight=weight).backward()
                optimizer.step()
                schedule.step()
        net.eval()
