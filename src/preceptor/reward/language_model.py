"""A causal language model as a `StepModel`: the body with the log-probability of the next token as its head.

So language models go through the same trainer as reward models with heads. What is saved is an ordinary causal language
model that any policy loader opens.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from preceptor.reward.head import TokenLogprob, TokenLogprobModule
from preceptor.reward.model import StepModel, _language_model, _output_layer
from preceptor.reward.quiet import quiet
from preceptor.reward.readout import collate, looks_right, read, token_batches
from preceptor.reward.render import Row

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class LanguageModel(StepModel):
    """`forward(input_ids, positions)`: log p(token behind each position), (B, T, 1) in fp32."""

    def __init__(self, whole: PreTrainedModel):
        body: Any = whole.base_model
        super().__init__(body, TokenLogprobModule(_output_layer(whole, "backbone")), TokenLogprob())
        self._whole = [whole]  # in a list: its weights are the body's and the head's already

    @property
    def whole(self) -> PreTrainedModel:
        """The causal language model that body and head are parts of."""
        return self._whole[0]

    def add_lora(self, rank: int, tokenizer: PreTrainedTokenizerBase, *tags: str) -> None:
        """Adapters on the body's linear layers (alpha = 2 rank); the output table stays as it is."""
        super().add_lora(rank, tokenizer)
        self.head.requires_grad_(False)

    def save(self, directory: str | Path) -> None:
        whole: Any = self.whole
        body: Any = self.body
        if hasattr(body, "merge_and_unload"):
            merged = copy.deepcopy(body).merge_and_unload()
            whole = copy.deepcopy(whole)
            setattr(whole, whole.base_model_prefix, merged)
            whole.tie_weights()
        whole.config.use_cache = True
        with quiet():
            whole.save_pretrained(directory)


def build_language(backbone: Any) -> tuple[LanguageModel, PreTrainedTokenizerBase]:
    """An fp32 copy of `backbone`, a directory, a hub id, or an object with `model` and `tokenizer`. ModelError
    when it is no causal language model."""
    with quiet():
        whole, tokenizer = _language_model(backbone, TokenLogprob())
    whole.config.use_cache = False
    return LanguageModel(whole), tokenizer


def logprobs(model: LanguageModel, rows: Sequence[Row], max_tokens: int = 8192) -> list[list[float]]:
    """Log-probability, in nats, of the token behind each position of each row; fp32, without gradient."""
    was_training, causal = model.training, not looks_right(model)
    model.eval()
    out: list[list[float]] = [[] for _ in rows]
    with torch.no_grad():
        for indices in token_batches([len(r.token_ids) for r in rows], max_tokens):
            batch = {k: v.to(model.device) for k, v in collate([rows[i] for i in indices]).items()}
            found = read(model, batch, causal=causal)[..., 0].tolist()
            for i, values in zip(indices, found, strict=True):
                out[i] = values[: len(rows[i].positions)]
    model.train(was_training)
    return out
