"""A reference-based reward model that is trained beside the policy (Cooper: co-optimising policy and reward model).

r(q, a*, o): a language model's last state on problem, gold answer and solution, through a linear head. Each step
it learns one pair a problem: a completion that a strict rule found right, against the same completion rewritten
by an assistant to another answer that the rule found wrong; loss -log sigmoid(r+ - r-). Problems without a
right completion, or whose rewriting failed or is not wrong, are left out and counted.

Defaults: lr 1e-6, one pair a problem (not found, ours), gradients clipped at 1 (not found, ours). The head starts at
zero, so an untrained model scores all alike; the published one starts from VerifyRM, trained before on labels on
which a rule verifier and an LLM judge agree: give such a model's body and head.

Left out: how the assistant's text is prompted in the paper (not found; `rewriter` is ours).
Cost: one forward pass a completion to score; forward and backward passes of two texts a problem to learn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F

from preceptor.credit import Signals
from preceptor.generation import Message, Policy, Request, Sampling
from preceptor.grade import grade
from preceptor.judgement import Judgement, Question, Source
from preceptor.policy.render import prompt_ids, text_ids
from preceptor.trace import Finish, Trace, Verdict
from preceptor.usage import Ledger, Usage

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Rewrite = Callable[[Sequence[Trace]], Sequence[str | None]]
"""Right completions -> texts of wrong ones, None where it did not work."""


class CooperReward:
    """Scorer of whole completions: `Signals.scalars["reward"]`, and the last step's score.

    `model`: a causal language model, whose body is used and trained.
    """

    question = Question.QUALITY

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        rewrite: Rewrite,
        *,
        head: torch.nn.Linear | None = None,
        order: Literal["after", "before", "none"] = "after",
        lr: float = 1e-6,
        max_grad_norm: float = 1.0,
        micro_batch: int = 32,
    ):
        self.tokenizer, self.rewrite, self.order = tokenizer, rewrite, order
        self.max_grad_norm, self.micro_batch = max_grad_norm, micro_batch
        self.body: Any = model.base_model.eval()
        self.head = head or torch.nn.Linear(model.config.get_text_config().hidden_size, 1, bias=False)
        if head is None:
            torch.nn.init.zeros_(self.head.weight)
        self.head.to(model.device)
        self.parameters = [*self.body.parameters(), *self.head.parameters()]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=lr)
        self.source = Source.of("cooper", order=order, lr=lr, max_grad_norm=max_grad_norm)
        self.spent = Usage()

    def rewards(self, traces: Sequence[Trace], texts: Sequence[str] | None = None) -> torch.Tensor:
        """`(N,)`; `texts`: what stands in for the traces' own solutions."""
        written = [t.text for t in traces] if texts is None else texts
        rows = [self._ids(t, text) for t, text in zip(traces, written, strict=True)]
        found = []
        for at in range(0, len(rows), self.micro_batch):
            part = rows[at : at + self.micro_batch]
            width = max(map(len, part))
            ids = torch.zeros(len(part), width, dtype=torch.long)
            mask = torch.zeros_like(ids)
            for i, row in enumerate(part):
                ids[i, : len(row)] = torch.tensor(row)
                mask[i, : len(row)] = 1
            place = self.head.weight.device
            states = self.body(input_ids=ids.to(place), attention_mask=mask.to(place)).last_hidden_state
            last = torch.tensor([len(row) - 1 for row in part], device=place)
            found.append(self.head(states[torch.arange(len(part), device=place), last].float())[:, 0])
        self.spent = Usage(scored=sum(map(len, rows)), calls=len(rows))
        return torch.cat(found) if found else torch.zeros(0)

    def signals(self, traces: Sequence[Trace]) -> Signals:
        with torch.inference_mode():
            found = self.rewards(traces).tolist()
        kept = tuple(None if t.error is not None else r for t, r in zip(traces, found, strict=True))
        return Signals(
            scores=tuple(_on_last(t, r) for t, r in zip(traces, kept, strict=True)),
            question=self.question,
            scalars={"reward": kept},
        )

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        found = self.signals(traces).scores or ()
        share = Usage(scored=self.spent.scored // max(1, len(traces)), calls=1)
        return [
            Judgement(t.id, self.question, self.source, scores, usage=Ledger(scorer=share), error=t.error)
            for t, scores in zip(traces, found, strict=True)
        ]

    def update(self, traces: Sequence[Trace], outcomes: Sequence[float | None]) -> dict[str, float]:
        """One optimizer step on the pairs of this batch; figures to log."""
        first: dict[str, Trace] = {}
        for trace, found in zip(traces, outcomes, strict=True):
            if found is not None and found > 0:
                first.setdefault(trace.problem.id, trace)
        right = list(first.values())
        texts = self.rewrite(right) if right else []
        pairs = [
            (t, text) for t, text in zip(right, texts, strict=True) if text is not None and _wrong(t, text)
        ]
        asked = len({t.problem.id for t in traces})
        figures = {"pairs": float(len(pairs)), "without_pair": float(asked - len(pairs))}
        if not pairs:
            return figures
        kept, others = [t for t, _ in pairs], [text for _, text in pairs]
        better, worse = self.rewards(kept), self.rewards(kept, others)
        loss = -F.logsigmoid(better - worse).mean()
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, self.max_grad_norm)
        self.optimizer.step()
        return figures | {
            "loss": loss.item(),
            "pair_accuracy": (better > worse).float().mean().item(),
            "reward_of_wrong": worse.mean().item(),
        }

    def state_dict(self) -> dict[str, Any]:
        return {
            "body": self.body.state_dict(),
            "head": self.head.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.body.load_state_dict(state["body"])
        self.head.load_state_dict(state["head"])
        self.optimizer.load_state_dict(state["optimizer"])

    def _ids(self, trace: Trace, text: str) -> list[int]:
        gold = f"Reference answer: {trace.problem.gold or 'not known'}\n"
        asked = prompt_ids(self.tokenizer, trace.problem)
        return [*asked, *text_ids(self.tokenizer, gold), *text_ids(self.tokenizer, text)]


def rewriter(policy: Policy, seed: int = 0, sampling: Sampling | None = None) -> Rewrite:
    """Asks a chat model for the same solution with another, wrong answer. The wording is ours."""

    def rewrite(traces: Sequence[Trace]) -> list[str | None]:
        asked = (
            "Rewrite the solution below so that it reads as before but ends in a different, wrong final answer. "
            "Keep its form and answer with the rewritten solution only.\n\n{problem}\n\n{solution}"
        )
        requests = [
            Request(
                t.problem,
                seed=seed,
                sampling=sampling or Sampling(),
                messages=(Message("user", asked.format(problem=t.problem.prompt, solution=t.text)),),
            )
            for t in traces
        ]
        return [None if a.error is not None else a.text for a in policy.generate(requests)]

    return rewrite


def _wrong(trace: Trace, text: str) -> bool:
    """With an answer: a refusal would be too easy to tell."""
    found = grade(trace.problem, text, finish=Finish.STOP)
    return found.verdict is Verdict.INCORRECT and found.answer is not None


def _on_last(trace: Trace, reward: float | None) -> tuple[float | None, ...] | None:
    return (*(None for _ in trace.steps[:-1]), reward) if trace.steps and reward is not None else None
