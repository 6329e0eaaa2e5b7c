"""RLFR: how odd a token's hidden states look to a flow model of good text (abstract index 215).

Hidden states of the policy at 25, 50 and 75% of its depth; condition: the state of the token behind (`token_post`,
shift 1). A token's score is its velocity error times t / (1 - t), averaged over the layers (`flow.py`); the last token
of a response has nothing behind it and is absent (NaN). Noise depends on the trace and the seed alone, so a score does
not depend on its batch. Thresholds and the charge are the method's.

`fit` trains on expert traces before the run; in it, `update` makes one step on the rollouts that came out right,
before or after they are scored (`order`). Published: lr 1e-4. AdamW, gradients clipped at 1 and tokens a step: not
found, ours.

Cost: one forward pass of the policy a trace; the flow model is small.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch

from preceptor.credit import Signals
from preceptor.errors import InputError
from preceptor.judgement import Question
from preceptor.learn.signals.base import Producer
from preceptor.learn.signals.flow import Velocity, errors
from preceptor.policy.render import prompt_ids
from preceptor.reward.probes.states import layers_of, reading, usage_of
from preceptor.trace import Trace, stream_seed
from preceptor.usage import Usage


@dataclass(eq=False)
class FlowDeviations(Producer):
    name: ClassVar[str] = "flow-deviations"
    gives: ClassVar[frozenset[str]] = frozenset({"tokens"})
    question: ClassVar[Question] = Question.QUALITY

    policy: Any
    """A local policy: its model is looked into."""
    depths: tuple[float, ...] = (0.25, 0.5, 0.75)
    t: float = 0.8
    blocks: int = 6
    lr: float = 1e-4
    order: Literal["after", "before", "none"] = "after"
    tokens: int = 4096
    """At most so many tokens in one update."""
    seed: int = 0

    layers: tuple[int, ...] = field(default=(), init=False)
    model: Velocity = field(init=False, repr=False)
    optimizer: torch.optim.Optimizer = field(init=False, repr=False)
    fitted: bool = field(default=False, init=False)
    owed: Usage = field(default_factory=Usage, init=False, repr=False)
    """What `update` read; the next `signals` carries it."""

    def __post_init__(self) -> None:
        if not 0 < self.t < 1 or not self.depths or not all(0 < d <= 1 for d in self.depths):
            raise InputError(
                f"flow: got t={self.t}, depths={self.depths}, expected 0 < t < 1 and depths in (0, 1]."
            )
        if self.order not in ("after", "before", "none"):
            raise InputError(f"flow: got order={self.order!r}, expected after, before or none.")
        count = layers_of(self.policy)
        self.layers = tuple(dict.fromkeys(max(1, round(d * count)) for d in self.depths))
        hidden = int(self.policy.model.config.get_text_config().hidden_size)
        self.model = Velocity(hidden, len(self.layers), self.blocks, self.seed).to(self.policy.model.device)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=self.lr)

    def signals(self, traces: Sequence[Trace]) -> Signals:
        self.begin()
        self.pay([self.owed])
        self.owed = Usage()
        rows: list[tuple[float, ...] | None] = []
        for trace in traces:
            states = self._states(trace)
            rows.append(None if states is None else self._scores(trace, states))
        return Signals(question=self.question, tokens=tuple(rows))

    def fit(self, traces: Sequence[Trace], steps: int = 1000) -> list[float]:
        """The loss of every step, each on one expert trace or more, drawn by seed; states are read once."""
        found = [s.cpu() for t in traces if (s := self._states(t)) is not None and len(s) > 1]
        if not found:
            raise InputError("flow: got no expert trace with sampled token ids, expected at least one.")
        self._scale(found)
        rng = random.Random(stream_seed("flow", self.seed))
        sizes = [len(s) for s in found]
        return [
            self._step([found[i] for i in _some(sizes, self.tokens, rng)], stream_seed("flow", self.seed, k))
            for k in range(steps)
        ]

    def update(self, traces: Sequence[Trace], outcomes: Sequence[float | None]) -> dict[str, float]:
        """One step on the traces whose outcome is above 0; figures to log."""
        right = [t for t, o in zip(traces, outcomes, strict=True) if o is not None and o > 0]
        part = stream_seed("flow-update", self.seed, [t.id for t in right])
        chosen = _some([len(t.token_ids or ()) for t in right], self.tokens, random.Random(part))
        before, self.spent = self.spent, Usage()
        found = [s for i in chosen if (s := self._states(right[i])) is not None and len(s) > 1]
        self.owed, self.spent = self.owed + self.spent, before
        if not found:
            return {"learned_from": 0.0}
        self._scale(found)
        return {"learned_from": float(len(found)), "loss": self._step(found, part)}

    def state_dict(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "fitted": self.fitted,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.fitted = state["fitted"]

    def _states(self, trace: Trace) -> torch.Tensor | None:
        """(L, layers, H) at the sampled tokens; None where there are none."""
        limit = getattr(self.policy.model.config, "max_position_embeddings", None)
        prompt = prompt_ids(self.policy.tokenizer, trace.problem)
        ids = [*prompt, *(trace.token_ids or ())]
        if trace.error is not None or not trace.token_ids or (limit is not None and len(ids) > limit):
            why = "too-long" if trace.error is None and trace.token_ids else "no-tokens"
            self.failed[why if trace.error is None else trace.error.kind] += 1
            return None
        began = time.perf_counter()
        with reading(self.policy):
            row = torch.tensor([ids], device=self.policy.model.device)
            every = self.policy.model.base_model(
                input_ids=row, output_hidden_states=True, use_cache=False
            ).hidden_states
            states = torch.stack([every[k][0, len(prompt) :] for k in self.layers], dim=1).float().clone()
        self.pay([usage_of(self.policy, len(ids)), Usage(seconds=time.perf_counter() - began)])
        return states

    @torch.no_grad()
    def _scores(self, trace: Trace, states: torch.Tensor) -> tuple[float, ...]:
        found = self._errors(
            [states], stream_seed("flow-noise", self.seed, trace.problem.id, list(trace.token_ids or ()))
        )
        return (*(found * self.t / (1 - self.t)).tolist(), float("nan"))

    def _errors(self, states: Sequence[torch.Tensor], seed: int) -> torch.Tensor:
        """Mean over layers, of every token but each trace's last."""
        here, behind = torch.cat([s[:-1] for s in states]), torch.cat([s[1:] for s in states])
        noise = torch.randn(here.shape, generator=torch.Generator().manual_seed(seed)).to(here.device)
        layers = range(len(self.layers))
        return torch.stack(
            [errors(self.model, here[:, k], behind[:, k], noise[:, k], k, self.t) for k in layers]
        ).mean(0)

    def _step(self, states: Sequence[torch.Tensor], seed: int) -> float:
        place = self.model.mean.device
        loss = self._errors([s.to(place) for s in states], seed).mean()
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return float(loss.detach())

    def _scale(self, states: Sequence[torch.Tensor]) -> None:
        """By the first data that is learned from, once."""
        if not self.fitted:
            self.model.fit_scale(torch.cat([s.to(self.model.mean.device) for s in states]))
            self.fitted = True


def _some(sizes: Sequence[int], most: int, rng: random.Random) -> list[int]:
    """Indices in random order, of as many as fit into `most`; at least one where there is one."""
    chosen: list[int] = []
    for k in rng.sample(range(len(sizes)), len(sizes)):
        if not chosen or sum(sizes[i] for i in chosen) + sizes[k] <= most:
            chosen.append(k)
    return chosen
