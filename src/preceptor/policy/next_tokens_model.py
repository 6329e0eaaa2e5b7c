"""`next_tokens` of a local model: one forward pass over prefix and continuation, the head at its tokens only.

Reads the way `likelihood` does, but takes the likeliest tokens instead of given ones. Cost: prefix and
continuation once, beginnings that rows of a call share computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy

import torch

from preceptor.errors import InputError
from preceptor.generation import Request
from preceptor.policy.likelihood import LOGITS, ModelReader, Read
from preceptor.policy.next_tokens import NextToken, NextTokens
from preceptor.policy.render import text_ids
from preceptor.policy.transformers_policy import TransformersPolicy, _Reading


class _TopReader(ModelReader):
    """Puts k log-probabilities and then the k tokens they belong to where `ModelReader` has the asked ones."""

    def __init__(self, reader: ModelReader):
        self.__dict__ = reader.__dict__  # the same weights, and what was found out about them

    def _read(
        self, source: torch.Tensor, wanted: torch.Tensor, logits: Callable[[torch.Tensor], torch.Tensor]
    ) -> Read:
        size = max(1, LOGITS // self.model.config.get_text_config(decoder=True).vocab_size)
        picked, entropies = [], []
        for part in source.split(size):
            logprobs = logits(part).float().log_softmax(-1)
            top = logprobs.topk(wanted.shape[1], dim=-1)
            picked.append(torch.cat([top.values.double(), top.indices.double()], -1))
            finite = logprobs.clamp_min(torch.finfo(torch.float32).min)
            entropies.append(-(logprobs.exp() * finite).sum(-1))
        return Read(torch.cat(picked).cpu(), torch.cat(entropies).cpu())


def next_tokens(
    policy: TransformersPolicy,
    requests: Sequence[Request],
    continuations: Sequence[Sequence[int]],
    k: int,
    above: float,
) -> list[NextTokens]:
    """See `Brancher.next_tokens`. Items fail with `"empty-prompt"`, `"too-long"` and `"not-finite"`."""
    vocabulary = policy.model.config.get_text_config(decoder=True).vocab_size
    if not 1 <= k <= vocabulary:
        raise InputError(f"k: got {k}, expected 1 to {vocabulary}, the size of the vocabulary")
    if len(requests) != len(continuations):
        raise InputError(
            f"continuations: got {len(continuations)}, expected one for each of {len(requests)} requests"
        )
    view = copy(policy)
    view.reader = _TopReader(policy.reader)
    given = [
        _Reading(policy.prefix(request), tuple(ids), [[0] * k] * len(ids))
        for request, ids in zip(requests, continuations, strict=True)
    ]
    answers = []
    for request, reading, (read, usage, error) in zip(requests, given, view._read(given), strict=True):
        if read is None or error is not None:
            answers.append(NextTokens(usage=usage, error=error))
            continue
        entropies = tuple(read.entropies.tolist())
        rows = zip(entropies, read.logprobs.tolist(), range(len(reading.ids)))
        likeliest = tuple(_spelled(policy, reading, at, row) if h > above else () for h, row, at in rows)
        answers.append(NextTokens(entropies, likeliest, _prefix_ids(policy, request), usage))
    return answers


def _spelled(
    policy: TransformersPolicy, reading: _Reading, at: int, row: list[float]
) -> tuple[NextToken, ...]:
    half = len(row) // 2
    before = (*reading.before, *reading.ids[:at])
    found = []
    for logprob, token in zip(row[:half], map(int, row[half:])):
        ends = token in policy.eos_ids
        text = "" if ends else policy._text.decode([token], before)[0]
        found.append(NextToken(token, text, logprob, ends))
    return tuple(found)


def _prefix_ids(policy: TransformersPolicy, request: Request) -> tuple[int, ...]:
    if request.prefix_ids is not None:
        return tuple(request.prefix_ids)
    return tuple(text_ids(policy.tokenizer, request.prefix))
