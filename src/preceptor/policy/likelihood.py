"""What a local model makes of given text: teacher-forced log-probabilities, and the choice between next words.

Rows go through the model's body packed and with shared beginnings computed once (`packed`), and the head is
applied at the asked positions only, a bounded number of logits at a time. A head is more than a matrix in some
models (scaled or capped logits): ours is compared once with the model's own logits, and where they differ
the whole model is run, one row at a time.

Units: nats, at temperature 1. Cost: one forward pass over prefix and text, the last token not fed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from preceptor.errors import InputError
from preceptor.policy.packed import Cost, PackedForward
from preceptor.policy.packed_check import alike, tokens
from preceptor.policy.render import text_ids

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

LOGITS = 1 << 24
"""Logits held at the same time (64 MiB in float32)."""


@dataclass(frozen=True)
class Read:
    """Per asked position: the log-probability of each asked token, their total, and the entropy."""

    logprobs: torch.Tensor
    """(positions, asked) float32."""
    entropies: torch.Tensor
    """(positions,) float32."""


class ModelReader:
    """`model`: a causal language model. `cache_tokens`, `max_tokens`: see `PackedForward`."""

    def __init__(self, model: PreTrainedModel, *, max_tokens: int = 8192, cache_tokens: int = 0):
        self.model = model
        self.body = _body(model)
        self.head = model.get_output_embeddings()
        self.forward = PackedForward(self.body, max_tokens=max_tokens, cache_tokens=cache_tokens)
        self._own_head: bool | None = None

    def read(
        self,
        rows: Sequence[Sequence[int]],
        positions: Sequence[Sequence[int]],
        asked: Sequence[Sequence[Sequence[int]]],
    ) -> tuple[list[Read], Cost]:
        """`asked[i][k]`: the next tokens weighed behind position `positions[i][k]`, equally many throughout
        a row."""
        was_training = self.model.training
        self.model.eval()
        try:
            with torch.inference_mode():
                if self._own_head is None:
                    self._own_head = self.head is not None and self._head_is_plain()
                if not self._own_head:
                    return self._through_the_model(rows, positions, asked)
                hidden, cost = self.forward.hidden(rows, positions)
                counts = [len(at) for at in positions]
                widths = {len(ids) for row in asked for ids in row}
                if len(widths) > 1:
                    raise InputError(f"asked: got {sorted(widths)} tokens at a time, expected equally many")
                flat = [list(ids) for row in asked for ids in row]
                wanted = torch.tensor(flat, device=self.model.device).view(len(flat), max(widths, default=0))
                read = self._read(torch.cat(hidden), wanted, self._logits) if flat else None
                if read is None:
                    none = torch.empty(0)
                    return [Read(none.view(0, 0), none) for _ in rows], cost
                parts = zip(read.logprobs.split(counts), read.entropies.split(counts))
                return [Read(a, b) for a, b in parts], cost
        finally:
            self.model.train(was_training)

    def _logits(self, hidden: torch.Tensor) -> torch.Tensor:
        assert self.head is not None
        return self.head(hidden)

    def _read(
        self, source: torch.Tensor, wanted: torch.Tensor, logits: Callable[[torch.Tensor], torch.Tensor]
    ) -> Read:
        size = max(1, LOGITS // self.model.config.get_text_config(decoder=True).vocab_size)
        picked, entropies = [], []
        for part, ids in zip(source.split(size), wanted.split(size)):
            logprobs = logits(part).float().log_softmax(-1)
            picked.append(logprobs.gather(1, ids.to(logprobs.device)))
            # a token that cannot come has the log-probability -inf and adds nothing
            finite = logprobs.clamp_min(torch.finfo(torch.float32).min)
            entropies.append(-(logprobs.exp() * finite).sum(-1))
        return Read(torch.cat(picked).cpu(), torch.cat(entropies).cpu())

    def _through_the_model(
        self,
        rows: Sequence[Sequence[int]],
        positions: Sequence[Sequence[int]],
        asked: Sequence[Sequence[Sequence[int]]],
    ) -> tuple[list[Read], Cost]:
        reads, computed = [], []
        for row, at, wanted in zip(rows, positions, asked):
            if not len(at):
                reads.append(Read(torch.empty(0, 0), torch.empty(0)))
                computed.append(0)
                continue
            ids = tuple(row)[: max(at) + 1] if self.forward.causal else tuple(row)
            logits = self.model(torch.tensor([ids], device=self.model.device), use_cache=False).logits[0]
            picked = torch.as_tensor([list(w) for w in wanted])
            reads.append(self._read(logits[list(at)], picked, lambda part: part))
            computed.append(len(ids))
        return reads, Cost(tuple(computed), (0,) * len(computed))

    def _head_is_plain(self) -> bool:
        """Whether head and body give the model's own logits, on a few random tokens."""
        ids = torch.tensor([tokens(self.body, 8)], device=self.model.device)
        own = self.model(ids, use_cache=False).logits[0]
        return alike(self._logits(self.body(ids, use_cache=False).last_hidden_state[0]), own)


def _body(model: PreTrainedModel) -> Any:
    get = getattr(model, "get_decoder", None)
    found = get() if get is not None else None
    return model.base_model if found is None or found is model else found


def first_tokens(
    tokenizer: PreTrainedTokenizerBase, prefix: str, options: Sequence[str]
) -> tuple[str, list[int]]:
    """The prefix to read, and the first token of each option behind it.

    An option is encoded apart from the prefix, as `text_ids` does with every continuation. One thing is
    different: most tokenizers write a space as part of the word behind it, so that behind "Answer: " the option "yes"
    would be compared as a word the model has hardly ever seen there. Where the tokenizer joins them, for all
    options, the prefix's last space is moved to the options: "Answer:" and " yes". InputError when there
    is no option, an option is empty, or two begin with the same token.
    """
    if not options or not all(options):
        raise InputError(f"options: got {list(options)}, expected at least one, none of them empty")
    firsts = [text_ids(tokenizer, option)[0] for option in options]
    if prefix.endswith(" "):
        alone = text_ids(tokenizer, " ")
        joined = [text_ids(tokenizer, " " + option) for option in options]
        if not any(ids[: len(alone)] == alone for ids in joined):
            prefix, firsts = prefix[:-1], [ids[0] for ids in joined]
    same = [o for o, i in zip(options, firsts) if firsts.count(i) > 1]
    if same:
        raise InputError(
            f"options: {same} begin with the same token after the prefix, so their probabilities cannot be "
            "told apart. Choose words with different beginnings."
        )
    return prefix, firsts
