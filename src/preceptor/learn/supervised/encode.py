"""Rows to ids: where each token of a row trains, with which weight, and where a value head is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from preceptor.learn.data.rows import Row
from preceptor.policy.render import prompt_ids, text_ids

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Encoded:
    """One sequence; all of its lists have an entry a token, the prompt's included."""

    ids: tuple[int, ...]
    trained: tuple[bool, ...]
    weights: tuple[float, ...]
    values: tuple[tuple[int, float], ...]
    """(token at which the value head is read, target)."""
    stream: str

    @property
    def tokens(self) -> int:
        """That are trained."""
        return sum(self.trained)


def encode(row: Row, tokenizer: PreTrainedTokenizerBase) -> Encoded:
    """The prompt and the end of text as `preceptor.policy` has them, sampled ids as they are."""
    ids = prompt_ids(tokenizer, row.problem)
    trained, weights = [False] * len(ids), [0.0] * len(ids)
    values = []
    for piece in row.pieces:
        own = list(piece.token_ids) if piece.token_ids is not None else text_ids(tokenizer, piece.text)
        ids += own
        trained += [piece.trained] * len(own)
        weights += list(piece.weights) if isinstance(piece.weights, tuple) else [piece.weights] * len(own)
        if piece.value is not None and ids:
            values.append((len(ids) - 1, piece.value))
    end = tokenizer.eos_token_id
    if row.end and row.pieces and isinstance(end, int) and ids[-1] != end:
        last = row.pieces[-1]
        ids.append(end)
        trained.append(last.trained)
        weights.append(last.weights[-1] if isinstance(last.weights, tuple) else last.weights)
    if ids:
        trained[0] = False  # nothing stands before it to predict it from
    return Encoded(tuple(ids), tuple(trained), tuple(weights), tuple(values), row.stream)
