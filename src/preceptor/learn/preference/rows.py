"""Records -> token rows -> batches. The one place where a prompt and a piece without ids become tokens.

A row is one record: its token sequences (prompt and all) and the stretches of them that a loss reads. Ids of a piece
are taken as they are; they must be this tokenizer's (checked against the text). Shapes: B rows, S sequences, P parts,
L the longest sequence of the batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from preceptor.errors import InputError
from preceptor.learn.preference.records import Attempt, Pair, Piece
from preceptor.learn.rollouts import TrainablePolicy
from preceptor.policy.engine_text import text_of
from preceptor.policy.render import prompt_ids, text_ids

_LOST = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class Part:
    """Tokens `[start, end)` of one sequence of a row."""

    sequence: int
    start: int
    end: int
    good: bool = True
    share: float = 1.0
    mismatched: bool = False
    """An answer to another problem, for the estimate of KL; never a loss term."""


@dataclass(frozen=True)
class Row:
    sequences: tuple[tuple[int, ...], ...]
    parts: tuple[Part, ...]
    weight: float = 1.0
    head: int = 0
    reference: tuple[float, ...] = ()
    """Log-probability of each part under the reference; empty until it is known."""


class Encoder:
    """Rows of one tokenizer. `encoded` counts pieces that had no ids, `dropped` records by reason."""

    def __init__(self, policy: TrainablePolicy):
        self.tokenizer = policy.tokenizer
        self.context = getattr(policy.model.config, "max_position_embeddings", None)
        table: Any = policy.model.get_input_embeddings()
        self.size = int(table.weight.shape[0])
        self.ends = {policy.tokenizer.eos_token_id} | _listed(policy.model.generation_config.eos_token_id)
        self.text = text_of(policy.tokenizer)
        self.encoded = 0
        self.dropped: Counter[str] = Counter()

    def pairs(self, pairs: Sequence[Pair]) -> list[Row]:
        rows = []
        for pair in pairs:
            before = self._prompt(pair)
            sides = [self.ids(side, before) for side in (pair.chosen, pair.rejected)]
            parts = tuple(Part(k, len(before), len(before) + len(ids)) for k, ids in enumerate(sides))
            sequences = tuple(before + ids for ids in sides)
            rows.append(Row(sequences, parts, pair.weight, int(pair.meta.get("head", 0))))
        return self._fitting(rows)

    def attempts(self, attempts: Sequence[Attempt]) -> list[Row]:
        """One part each: the whole answer."""
        rows = []
        for attempt in attempts:
            before = tuple(prompt_ids(self.tokenizer, attempt.problem))
            ids = self.ids(attempt.response, before)
            parts = (Part(0, len(before), len(before) + len(ids)),)
            rows.append(Row((before + ids,), parts, attempt.weight))
        return self._fitting(rows)

    def labelled(self, attempts: Sequence[Attempt]) -> list[Row]:
        """Parts: the outcome, if decided, each judged step, and last the mismatched answer.

        The mismatched answer of a record is that of the nearest earlier one of another problem, going round.
        """
        prompts = [tuple(prompt_ids(self.tokenizer, a.problem)) for a in attempts]
        answers = [self.ids(a.response, p) for a, p in zip(attempts, prompts, strict=True)]
        if len(set(prompts)) < 2:
            raise InputError(
                "step_kto: got attempts of one problem, expected at least two: z0 is estimated on answers to "
                "other problems."
            )
        rows = []
        for i, (attempt, before, ids) in enumerate(zip(attempts, prompts, answers, strict=True)):
            at, size = len(before), len(before) + len(ids)
            outcome = [] if attempt.good is None else [Part(0, at, size, attempt.good)]
            share = 1 / len(attempt.steps) if attempt.steps else 0.0
            steps = [Part(0, at + a, at + b, good, share) for a, b, good in attempt.steps]
            if any(part.end > size or part.start >= part.end for part in steps):
                raise InputError(
                    f"steps: got {attempt.steps} for {len(ids)} tokens, expected intervals inside the response"
                )
            other = next(answers[i - k] for k in range(1, len(answers)) if prompts[i - k] != before)
            last = Part(1, at, at + len(other), mismatched=True)
            rows.append(Row((before + ids, before + other), (*outcome, *steps, last)))
        return self._fitting(rows)

    def ids(self, piece: Piece, before: tuple[int, ...]) -> tuple[int, ...]:
        """The sampled ids, or the text encoded once."""
        if piece.ids is None:
            self.encoded += bool(piece.text)
            return tuple(text_ids(self.tokenizer, piece.text))
        written = list(piece.ids)
        if any(not 0 <= i < self.size for i in written):
            raise InputError(f"ids: got {max(written)}, expected less than {self.size}: another tokenizer's?")
        while written and written[-1] in self.ends:
            written.pop()
        text = self.text.decode(written, before)[0]
        if text != piece.text and _LOST not in text:
            raise InputError(
                f"ids: got ids that read {text!r} for the text {piece.text!r}. They are another tokenizer's; "
                "sample again with this policy, or give the pieces without ids."
            )
        return piece.ids

    def _prompt(self, pair: Pair) -> tuple[int, ...]:
        before = tuple(prompt_ids(self.tokenizer, pair.problem))
        return before + self.ids(pair.prefix, before)

    def _fitting(self, rows: list[Row]) -> list[Row]:
        """Rows within the model's context that have something to train on."""
        kept = []
        for row in rows:
            trained = [p for p in row.parts if not p.mismatched]
            if self.context is not None and max(map(len, row.sequences)) > self.context:
                self.dropped["too-long"] += 1
            elif not trained or any(p.end == p.start or p.start == 0 for p in trained):
                self.dropped["empty"] += 1
            else:
                kept.append(row)
        return kept


def collate(rows: Sequence[Row], pad: int) -> dict[str, Tensor]:
    """`input_ids`, `attention_mask` (S, L); `parts` (P, 3): sequence, start, end; per part `reference`, `good`,
    `share`, `mismatched` and its `row`; per row `weight` and `head`; per sequence `sequence_head`."""
    sequences = [s for row in rows for s in row.sequences]
    width = max(map(len, sequences))
    firsts = [sum(len(r.sequences) for r in rows[:k]) for k in range(len(rows))]
    placed = [(k, first, part) for k, (first, row) in enumerate(zip(firsts, rows)) for part in row.parts]
    spans = [[first + part.sequence, part.start, part.end] for _, first, part in placed]
    known = [value for row in rows for value in row.reference or (0.0,) * len(row.parts)]
    return {
        "input_ids": torch.tensor([[*s, *[pad] * (width - len(s))] for s in sequences]),
        "attention_mask": torch.tensor([[1] * len(s) + [0] * (width - len(s)) for s in sequences]),
        "parts": torch.tensor(spans),
        "reference": torch.tensor(known, dtype=torch.float32),
        "good": torch.tensor([part.good for _, _, part in placed]),
        "share": torch.tensor([part.share for _, _, part in placed]),
        "mismatched": torch.tensor([part.mismatched for _, _, part in placed]),
        "row": torch.tensor([k for k, _, _ in placed]),
        "weight": torch.tensor([row.weight for row in rows]),
        "head": torch.tensor([row.head for row in rows]),
        "sequence_head": torch.tensor([row.head for row in rows for _ in row.sequences]),
    }


def part_sums(logits: Tensor, batch: dict[str, Tensor]) -> Tensor:
    """(P,): log-probability of each part. logits (S, L, V). Tokens outside a part take no part in its gradient."""
    at, ids = logits[:, :-1].float(), batch["input_ids"][:, 1:]
    logps = at.gather(-1, ids[..., None])[..., 0] - at.logsumexp(-1)
    sequence, start, end = batch["parts"].T
    place = torch.arange(1, logps.shape[1] + 1, device=logps.device)
    inside = (place >= start[:, None]) & (place < end[:, None])
    sums: Tensor = (logps[sequence] * inside).sum(-1)
    return sums


def part_sizes(batch: dict[str, Tensor]) -> Tensor:
    """(P,): tokens of each part."""
    return batch["parts"][:, 2] - batch["parts"][:, 1]


def with_reference(model: Any, rows: Sequence[Row], pad: int, size: int) -> list[Row]:
    """The rows with the log-probability of every part under the model as it is now."""
    order = sorted(range(len(rows)), key=lambda i: max(map(len, rows[i].sequences)))
    found: dict[int, tuple[float, ...]] = {}
    was = model.training
    model.eval()
    for at in range(0, len(order), size):
        some = order[at : at + size]
        batch = {k: v.to(model.device) for k, v in collate([rows[i] for i in some], pad).items()}
        with torch.no_grad():
            out = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False)
            sums = part_sums(out.logits, batch).tolist()
        for k, i in enumerate(some):
            found[i] = tuple(s for s, row in zip(sums, batch["row"].tolist(), strict=True) if row == k)
    model.train(was)
    return [replace(row, reference=found[i]) for i, row in enumerate(rows)]


def _listed(given: int | Sequence[int] | None) -> set[int]:
    return set() if given is None else {given} if isinstance(given, int) else set(given)
