"""An implicit reward model that learns along with the policy, from outcomes alone.

"Process Reinforcement through Implicit Rewards" (PRIME) and "Online Process Reward Learning for agentic RL" (OPRL).
A trainable copy of the starting policy and a frozen one; the score of token l is
x_l = log pi(o_l) - log pi_ref(o_l), of a step the sum over its tokens. The copy is trained so that beta times a
completion's score is the logit of its being right (`bce`, PRIME), or so that of two attempts at one problem
the successful one scores higher, by the mean over its steps (`pairwise`, OPRL).

`order` `after`: scores are those from before the update on the same batch (PRIME's published run); `before`: update
first, then score; `none`: frozen. Defaults: beta 0.05, lr 1e-6, gradients clipped at 10 (PRIME's code); AdamW
with PyTorch's own defaults (not found, ours).

Left out: PRIME's detached-DPO loss and best-of-N weights; OPRL's reference that is moved to the last policy
(from memory; its code, too, uses a fixed one). Cost: two forward passes to score, one forward and one backward
pass to learn. Shapes: N completions, L_i tokens of one.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F

from preceptor.credit import Rollout, Signals, rollout_of
from preceptor.credit.stats import pair_accuracy
from preceptor.errors import InputError, ItemError
from preceptor.judgement import Judgement, Question, Source
from preceptor.policy.render import prompt_ids
from preceptor.trace import Trace
from preceptor.usage import Ledger, Usage

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Order = Literal["after", "before", "none"]
Loss = Callable[[torch.Tensor, Sequence[Trace], Sequence[float]], torch.Tensor | None]
"""(totals `(N,)`, traces, outcomes) -> loss, or None when there is nothing to learn from."""


class OnlineImplicitPRM:
    """Scorer of progress. `tokenizer` and `model` are those of the policy at the start; both are copied.

    `accuracy`: it learns from problems whose mean outcome lies between, as PRIME does (0.2, 0.8); None: from all.
    Gives `signals` with token scores, and learns through `update`; `learn()` calls both.
    """

    question = Question.PROGRESS

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        order: Order = "after",
        loss: Literal["bce", "pairwise"] = "bce",
        beta: float = 0.05,
        accuracy: tuple[float, float] | None = None,
        lr: float = 1e-6,
        max_grad_norm: float = 10.0,
        micro_batch: int = 32,
    ):
        if order not in ("after", "before", "none") or loss not in ("bce", "pairwise"):
            raise InputError(
                f"order, loss: got {order!r}, {loss!r}, expected after/before/none and bce/pairwise."
            )
        self.tokenizer, self.order, self.beta = tokenizer, order, beta
        self.accuracy, self.max_grad_norm, self.micro_batch = accuracy, max_grad_norm, micro_batch
        self.model = copy.deepcopy(model).eval().requires_grad_(True)
        self.reference = copy.deepcopy(model).eval().requires_grad_(False)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=lr)
        filtered: dict[str, Any] = {} if accuracy is None else {"accuracy": accuracy}
        self.source = Source.of(
            "online-implicit-prm",
            order=order,
            loss=loss,
            beta=beta,
            lr=lr,
            max_grad_norm=max_grad_norm,
            **filtered,
        )
        self.spent = Usage()
        self._loss: Loss = self._bce if loss == "bce" else self._pairwise
        self._known: dict[str, torch.Tensor] = {}
        self._reference: dict[str, torch.Tensor] = {}

    def token_scores(self, traces: Sequence[Trace]) -> list[torch.Tensor]:
        """x, `(L_i,)` each; empty for a completion that failed.

        What was read for the last call is not read again, unless an update has come between."""
        began = time.perf_counter()
        asked = {t.id for t in traces}
        for kept in (self._known, self._reference):
            for gone in kept.keys() - asked:
                del kept[gone]
        fresh = [t for t in traces if t.id not in self._known]
        with torch.inference_mode():
            for trace, own in zip(fresh, self._logprobs(self.model, fresh), strict=True):
                self._known[trace.id] = own
            behind = [t for t in fresh if t.id not in self._reference]
            for trace, other in zip(behind, self._logprobs(self.reference, behind), strict=True):
                self._reference[trace.id] = other
        read = sum(len(self._ids(t)) for t in fresh) + sum(len(self._ids(t)) for t in behind)
        self.spent = Usage(scored=read, calls=len(traces), seconds=time.perf_counter() - began)
        return [self._known[t.id] - self._reference[t.id] for t in traces]

    def signals(self, traces: Sequence[Trace]) -> Signals:
        tokens = self.token_scores(traces)
        return Signals(
            scores=tuple(_steps(x, t) for x, t in zip(tokens, traces, strict=True)),
            question=self.question,
            tokens=tuple(
                tuple(x.tolist()) if t.token_ids else None for x, t in zip(tokens, traces, strict=True)
            ),
        )

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        found = self.signals(traces).scores or ()
        share = Usage(scored=self.spent.scored // max(1, len(traces)), calls=1)
        return [
            Judgement(t.id, self.question, self.source, scores, usage=Ledger(scorer=share), error=_error(t))
            for t, scores in zip(traces, found, strict=True)
        ]

    def update(self, traces: Sequence[Trace], outcomes: Sequence[float | None]) -> dict[str, float]:
        """One optimizer step on the decided completions; figures to log."""
        decided = [(t, o) for t, o in zip(traces, outcomes, strict=True) if o is not None and t.token_ids]
        if self.accuracy is not None:
            decided = _between(decided, *self.accuracy)
        rows, labels = [t for t, _ in decided], [o for _, o in decided]
        # a leaf of its own: the loss is taken of the totals, and their gradient handed back a part at a time
        read = zip(self.token_scores(rows), rows, strict=True)
        totals = torch.tensor([float(_own(x, t).sum()) for x, t in read], requires_grad=True)
        figures = {"learned_from": float(len(rows)), **_accuracy(totals, rows, labels)}
        loss = self._loss(totals, rows, labels) if rows else None
        if loss is not None:
            loss.backward()
            assert totals.grad is not None
            for at in range(0, len(rows), self.micro_batch):
                part = slice(at, at + self.micro_batch)
                passes = zip(self._logprobs(self.model, rows[part]), rows[part], strict=True)
                own = torch.stack([_own(x, t).sum() for x, t in passes])
                (own * totals.grad[part].to(own.device)).sum().backward()
            norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.max_grad_norm)
            self.optimizer.step()
            self.optimizer.zero_grad()
            figures |= {"loss": loss.item(), "grad_norm": float(norm)}
        self._known.clear()
        return figures

    def state_dict(self) -> dict[str, Any]:
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self._known.clear()

    def _bce(self, totals: torch.Tensor, traces: Sequence[Trace], outcomes: Sequence[float]) -> torch.Tensor:
        return F.binary_cross_entropy_with_logits(self.beta * totals, torch.tensor(outcomes))

    def _pairwise(
        self, totals: torch.Tensor, traces: Sequence[Trace], outcomes: Sequence[float]
    ) -> torch.Tensor | None:
        """Every (successful, failed) pair of a problem, averaged over all pairs."""
        worth = self.beta * totals / torch.tensor([float(max(1, len(t.steps))) for t in traces])
        pairs = [
            F.logsigmoid(worth[i] - worth[j])
            for i, a in enumerate(traces)
            for j, b in enumerate(traces)
            if a.problem.id == b.problem.id and outcomes[i] > 0 >= outcomes[j]
        ]
        return -torch.stack(pairs).mean() if pairs else None

    def _ids(self, trace: Trace) -> list[int]:
        return [*prompt_ids(self.tokenizer, trace.problem), *(trace.token_ids or ())]

    def _logprobs(self, model: PreTrainedModel, traces: Sequence[Trace]) -> Iterator[torch.Tensor]:
        """`(L_i,)` each, in order, a micro-batch at a time."""
        for at in range(0, len(traces), self.micro_batch):
            part = traces[at : at + self.micro_batch]
            rows = [self._ids(t) for t in part]
            width = max(map(len, rows))
            ids = torch.zeros(len(rows), width, dtype=torch.long)
            mask = torch.zeros_like(ids)
            for i, row in enumerate(rows):
                ids[i, : len(row)] = torch.tensor(row)
                mask[i, : len(row)] = 1
            ids, mask = ids.to(model.device), mask.to(model.device)
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].float()
            found = logits.log_softmax(-1).gather(2, ids[:, 1:, None])[..., 0]
            for i, (row, trace) in enumerate(zip(rows, part, strict=True)):
                yield found[i, len(row) - 1 - len(trace.token_ids or ()) : len(row) - 1]


def _between(decided: list[tuple[Trace, float]], low: float, high: float) -> list[tuple[Trace, float]]:
    """Those of problems whose mean outcome is in [low, high]."""
    found: dict[str, list[float]] = {}
    for trace, outcome in decided:
        found.setdefault(trace.problem.id, []).append(outcome)
    return [(t, o) for t, o in decided if low <= fmean(found[t.problem.id]) <= high]


def _own(x: torch.Tensor, trace: Trace) -> torch.Tensor:
    """Of the tokens that the policy sampled: what an environment wrote is not scored."""
    return x if trace.sampled is None else x[torch.tensor(trace.sampled, device=x.device)]


def _steps(x: torch.Tensor, trace: Trace) -> tuple[float | None, ...] | None:
    if not trace.token_ids:
        return None
    return tuple(float(x[a:b].sum()) for a, b in rollout_of(trace).spans)


def _error(trace: Trace) -> ItemError | None:
    return None if trace.token_ids else ItemError("no-tokens", "the completion has no sampled token ids")


def _accuracy(totals: torch.Tensor, traces: Sequence[Trace], outcomes: Sequence[float]) -> dict[str, float]:
    rollouts = [Rollout(t.problem.id, 0, o) for t, o in zip(traces, outcomes, strict=True)]
    found = pair_accuracy(totals.detach().tolist(), rollouts)
    return {} if found is None else {"pair_accuracy": found}
