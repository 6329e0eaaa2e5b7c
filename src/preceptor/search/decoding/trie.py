"""Hidden states behind texts that grow by a token at a time, keys and values of every token computed once.

The texts of a call extend those of the last one: the rows of the batch are picked by parent, so a text that branches
shares what it stands on, and a dropped one is forgotten. A call that extends nothing starts anew. Rows are padded on
the left. Whether the model can be run this way is found out once, on a few random tokens; one that cannot (its own
kind of cache, positions it makes up itself) is read by `PackedForward`, which is slower here and right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache

from preceptor.errors import ModelError
from preceptor.policy.engine import layer_windows
from preceptor.policy.packed import PackedForward
from preceptor.policy.packed_check import alike, tokens

_FAILURES = (
    TypeError,
    AttributeError,
    RuntimeError,
    ValueError,
    LookupError,
    NotImplementedError,
    ModelError,
)
Ids = tuple[int, ...]


class Trie:
    """`body`: a model of transformers without head. `hidden` is called with all living texts of a level."""

    def __init__(self, body: Any):
        self.body = body
        self.fits: bool | None = None
        """Whether rows are grown in a batch; None: not tried yet."""
        self._packed = PackedForward(body)
        self.clear()

    def clear(self) -> None:
        """Forget all texts."""
        self._rows: dict[Ids, int] = {}
        self._cache: Any = None
        self._mask = torch.empty(0)
        self._packed.clear()

    def hidden(self, texts: Sequence[Sequence[int]]) -> tuple[torch.Tensor, list[int]]:
        """(N, h) at the last token of each text, and how many tokens were computed for it."""
        rows = [tuple(text) for text in texts]
        was_training = self.body.training
        self.body.eval()
        try:
            with torch.inference_mode():
                if self.fits is None:
                    self.fits = self._check()
                return self._grown(rows) if self.fits else self._whole(rows)
        finally:
            self.body.train(was_training)

    def _grown(self, rows: list[Ids]) -> tuple[torch.Tensor, list[int]]:
        device = self.body.device
        distinct = {row: k for k, row in enumerate(dict.fromkeys(rows))}
        parents = [self._rows.get(row[:-1]) for row in distinct]
        known = [p for p in parents if p is not None]
        if self._cache is not None and len(known) == len(distinct):
            self._cache.batch_select_indices(torch.tensor(known, device=device))
            ids = torch.tensor([row[-1:] for row in distinct], device=device)
            fresh = torch.ones_like(ids)
            self._mask = torch.cat([self._mask[known], fresh], dim=1)
        else:
            longest = max(map(len, distinct))
            ids = torch.tensor([(0,) * (longest - len(row)) + row for row in distinct], device=device)
            begins = torch.tensor([longest - len(row) for row in distinct], device=device)
            fresh = self._mask = (torch.arange(longest, device=device) >= begins[:, None]).long()
            self._cache = DynamicCache(config=self.body.config)
        positions = (self._mask.cumsum(-1) - 1).clamp_min(0)[:, -ids.shape[1] :]
        states = self.body(
            input_ids=ids,
            attention_mask=self._mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
        ).last_hidden_state[:, -1]
        self._rows = distinct
        counts, paid = fresh.sum(-1).tolist(), set[Ids]()
        computed = []
        for row in rows:
            computed.append(0 if row in paid else int(counts[distinct[row]]))
            paid.add(row)
        return states[[distinct[row] for row in rows]], computed

    def _whole(self, rows: list[Ids]) -> tuple[torch.Tensor, list[int]]:
        self._packed = PackedForward(self.body, cache_tokens=2 * sum(map(len, rows)))
        states, cost = self._packed.hidden(rows, [(len(row) - 1,) for row in rows])
        return torch.cat(states), list(cost.computed)

    def _check(self) -> bool:
        """Three texts of different lengths, grown twice with one branching and one dropped, against each alone."""
        try:
            windows = layer_windows(self.body.config.get_text_config(decoder=True))
            longest = max([7, *(w + 3 for w in windows if w is not None and w <= 64)])
            base = tuple(tokens(self.body, longest + 5))
            first = [base[:longest], base[2:6], base[5:10]]
            second = [first[2] + base[:1], first[0] + base[1:2], first[0] + base[2:3]]
            third = [second[2] + base[3:4], second[0] + base[4:5]]
            for rows in (first, second, third):
                grown, _ = self._grown(rows)
                alone = [self.body(input_ids=torch.tensor([r], device=self.body.device)) for r in rows]
                if not alike(grown, torch.cat([a.last_hidden_state[:, -1] for a in alone])):
                    return False
            return True
        except _FAILURES:
            return False
        finally:
            self.clear()
