"""Logits of the next token behind texts that grow by a token at a time (`trie.py`)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from preceptor.policy import TransformersPolicy
from preceptor.policy.likelihood import ModelReader
from preceptor.search.decoding.trie import Trie
from preceptor.usage import Usage


class NextLogits(ModelReader):
    """Of one local policy. Where its head is more than a matrix, texts are read whole."""

    def __init__(self, policy: TransformersPolicy):
        super().__init__(policy.model)
        self.trie = Trie(self.body)
        self._per_token = 2.0 * policy._parameters

    def values(self, texts: Sequence[Sequence[int]]) -> tuple[torch.Tensor, list[Usage]]:
        """(N, V) in fp32 behind the last token of each text, and what each text cost (`prefilled`)."""
        was_training = self.model.training
        self.model.eval()
        try:
            with torch.inference_mode():
                if self._own_head is None:
                    self._own_head = self.head is not None and self._head_is_plain()
                if self._own_head:
                    states, computed = self.trie.hidden(texts)
                    logits = self._logits(states)
                else:
                    logits, computed = (
                        torch.cat([self._whole(text) for text in texts]),
                        [len(t) for t in texts],
                    )
        finally:
            self.model.train(was_training)
        usages = [
            Usage(prefilled=own, reused=len(text) - own, flops=self._per_token * own)
            for text, own in zip(texts, computed, strict=True)
        ]
        return logits.float(), usages

    def _whole(self, text: Sequence[int]) -> torch.Tensor:
        ids = torch.tensor([list(text)], device=self.model.device)
        logits: torch.Tensor = self.model(ids, use_cache=False).logits[:, -1]
        return logits
