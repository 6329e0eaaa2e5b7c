"""A causal language model of `transformers` as a policy, run by the embedded engine.

    policy = TransformersPolicy.load("path/or/hub-id")
    policy = TransformersPolicy(model, tokenizer)          # a model that is being trained

Only safetensors are read: a pickled checkpoint can run code. Left out: quantization and adapters; load
the model as you like and hand it over.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.errors import InputError, ItemError
from preceptor.generation import Choice, Continuation, Likelihood, Message, Request, Sampling
from preceptor.policy.checkpoint import load_checkpoint, model_fingerprint, version_stamp
from preceptor.policy.engine import Engine, Output, Task
from preceptor.policy.engine_check import check_engine
from preceptor.policy.engine_text import text_of
from preceptor.policy.likelihood import ModelReader, Read, first_tokens
from preceptor.policy.next_tokens import NextTokens
from preceptor.policy.render import chat_ids, prompt_ids, text_ids
from preceptor.trace import Finish
from preceptor.usage import Usage

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_FINISH = {"eos": Finish.STOP, "stop": Finish.BOUNDARY, "limit": Finish.LENGTH}


class TransformersPolicy:
    """`slots`: rows decoded at the same time; None chooses by memory.

    Of what was sampled, the end-of-text token is part of `token_ids` and `logprobs` and adds nothing to
    the text. A stop string is looked for in the continuation alone; a token that goes on after it is kept
    whole, so that text and ids agree.
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, slots: int | None = None
    ):
        self.model, self.tokenizer = model, tokenizer
        self.eos_ids = _eos_ids(model, tokenizer)
        self.engine = Engine(model, self.eos_ids, slots)
        self._text = text_of(tokenizer)
        self.reader = ModelReader(model)
        self._prompt = lru_cache(maxsize=4096)(lambda problem: tuple(prompt_ids(tokenizer, problem)))
        self._chat = lru_cache(maxsize=4096)(_chat_of(tokenizer))
        self._watches: dict[tuple[str, ...], np.ndarray] = {}
        self._parameters = _dense_parameters(model)
        self._checked = False
        self._fingerprint: tuple[Any, str] | None = None
        self._lock = Lock()

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        dtype: str | torch.dtype = "auto",
        device: str | None = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
        slots: int | None = None,
    ) -> TransformersPolicy:
        """From a directory or a hub id; ModelError says what is missing. `device` None: a GPU if any."""
        model, tokenizer = load_checkpoint(path, dtype, device, revision, trust_remote_code)
        return cls(model, tokenizer, slots=slots)

    @property
    def fingerprint(self) -> str:
        """Hash of weights, configuration, tokenizer and template.

        Computed when first asked for and again when an in-place update (an optimizer's step) has touched
        a parameter. Changes that PyTorch does not count, through `.data`, need `refresh()`.
        """
        stamp = version_stamp(self.model)
        if self._fingerprint is None or self._fingerprint[0] != stamp:
            self._fingerprint = (stamp, model_fingerprint(self.model, self.tokenizer, self.eos_ids))
        return self._fingerprint[1]

    def refresh(self) -> None:
        """Forget the fingerprint: the weights have changed."""
        self._fingerprint = None

    def remember(self, tokens: int) -> None:
        """Keep the keys and values of so many tokens of prefixes for the next call, so that a search pays only for
        what its prefixes grew by; 0 forgets. On a CPU, with full attention; elsewhere it changes nothing."""
        from preceptor.policy.packed import PackedForward

        self.engine.memory = PackedForward(self.reader.body, cache_tokens=tokens) if tokens else None

    def forget(self) -> None:
        """Drop what `remember` has kept so far."""
        if self.engine.memory is not None:
            self.engine.memory.clear()

    def generate(self, requests: Sequence[Request]) -> list[Continuation]:
        """One continuation per request, in order.

        Items fail with `"too-long"` (the prefix fills the model's context) and `"not-finite"` (the model
        computed NaN). Of equal prefixes the first request carries the prefill, the others its reuse.
        """
        with self._lock:
            began = time.perf_counter()
            if not self._checked:
                check_engine(self.engine)
                self._checked = True
            answers: list[Continuation | None] = [None] * len(requests)
            tasks, places = [], []
            for k, request in enumerate(requests):
                task = self._task(request)
                if isinstance(task, ItemError):
                    answers[k] = Continuation.failed(task.kind, task.message)
                else:
                    tasks.append(task)
                    places.append(k)
            for k, task, output in zip(places, tasks, self.engine.run(tasks)):
                answers[k] = self._continuation(task, output)
            share = (time.perf_counter() - began) / max(1, len(requests))
            return [replace(a, usage=replace(a.usage, seconds=share)) for a in answers if a is not None]

    def likelihood(self, requests: Sequence[Request], texts: Sequence[str]) -> list[Likelihood]:
        """Log-probability and entropy of each token of `texts[i]` behind the prefix of `requests[i]`.

        Beginnings that rows share are computed once. Items fail with `"empty-prompt"`, `"too-long"` and
        `"not-finite"`. The end of text is not part of a text, so its probability is not asked for.
        """
        if len(requests) != len(texts):
            raise InputError(f"texts: got {len(texts)}, expected one for each of {len(requests)} requests")
        prefixes = [self.prefix(request) for request in requests]
        written = [tuple(text_ids(self.tokenizer, text)) for text in texts]
        given = [
            _Reading(before, ids, [[i] for i in ids]) for before, ids in zip(prefixes, written, strict=True)
        ]
        answers = []
        for reading, text, (read, usage, error) in zip(given, texts, self._read(given), strict=True):
            if read is None or error is not None:
                answers.append(Likelihood(usage=usage, error=error))
                continue
            ends = self._ends(reading, text)
            logprobs = tuple(read.logprobs[:, 0].tolist()) if reading.ids else ()
            entropies = tuple(read.entropies.tolist())
            answers.append(Likelihood(reading.ids, ends, logprobs, entropies, usage))
        return answers

    def choose(self, requests: Sequence[Request], options: Sequence[str]) -> list[Choice]:
        """How likely each option's first token is to come next; see `likelihood.first_tokens` for the space
        between prefix and option. InputError when two options begin with the same token."""
        given = []
        for request in requests:
            prefix, firsts = first_tokens(
                self.tokenizer, request.prefix if request.prefix_ids is None else "", options
            )
            if request.prefix_ids is None:
                request = replace(request, prefix=prefix)
            given.append(_Reading(self.prefix(request), (firsts[0],), [firsts]))
        if not requests:
            first_tokens(self.tokenizer, "", options)
        answers = []
        for read, usage, error in self._read(given):
            if read is None or error is not None:
                answers.append(Choice(None, usage=usage, error=error))
                continue
            logprobs = read.logprobs[0].double()
            probs = tuple(logprobs.softmax(-1).tolist())
            answers.append(Choice(probs, float(logprobs.exp().sum()), usage))
        return answers

    def next_tokens(
        self,
        requests: Sequence[Request],
        continuations: Sequence[Sequence[int]],
        k: int = 2,
        above: float = -math.inf,
    ) -> list[NextTokens]:
        """The `k` likeliest tokens at every token of `continuations[i]`; see `next_tokens.Brancher`."""
        from preceptor.policy.next_tokens_model import next_tokens

        return next_tokens(self, requests, continuations, k, above)

    def _read(self, given: Sequence[_Reading]) -> list[tuple[Read | None, Usage, ItemError | None]]:
        with self._lock:
            began = time.perf_counter()
            errors = [self._unreadable(x) for x in given]
            live = [x for x, error in zip(given, errors) if error is None]
            reads, cost = self.reader.read(
                [(*x.before, *x.ids) for x in live],
                [range(len(x.before) - 1, len(x.before) + len(x.ids) - 1) for x in live],
                [x.asked for x in live],
            )
            share = (time.perf_counter() - began) / max(1, len(given))
        found = iter(zip(reads, cost.computed, cost.reused, strict=True))
        answers: list[tuple[Read | None, Usage, ItemError | None]] = []
        for error in errors:
            if error is not None:
                answers.append((None, Usage(calls=1, seconds=share), error))
                continue
            read, scored, reused = next(found)
            flops = 2.0 * self._parameters * scored
            usage = Usage(scored=scored, reused=reused, calls=1, seconds=share, flops=flops)
            answers.append((read, usage, _not_finite(read)))
        return answers

    def _unreadable(self, reading: _Reading) -> ItemError | None:
        if not reading.before:
            return ItemError("empty-prompt", "the tokenizer made no token of the prompt and the prefix")
        size, context = len(reading.before) + len(reading.ids), self.engine.context
        if context is not None and size > context:
            return ItemError(
                "too-long", f"prompt, prefix and text are {size} tokens, the model's context is {context}"
            )
        return None

    def _ends(self, reading: _Reading, text: str) -> tuple[int, ...]:
        """Where each token ends in the text. A tokenizer that writes the text differently (a normalizer) gives
        ends that are only near; the last one is always the text's."""
        decoded, ends = self._text.decode(reading.ids, reading.before)
        if ends and decoded != text:
            ends = [min(end, len(text)) for end in ends[:-1]] + [len(text)]
        return tuple(ends)

    def prefix(self, request: Request) -> tuple[int, ...]:
        """Ids of the prompt, or of the request's chat, and of its prefix. ModelError for a chat that the
        tokenizer has no template for. End-of-text ids at the end of `prefix_ids` are left away: they are no
        part of the text that is to be continued."""
        given = request.prefix_ids
        written = text_ids(self.tokenizer, request.prefix) if given is None else list(given)
        while given is not None and written and written[-1] in self.eos_ids:
            written.pop()
        before = self._chat(request.messages) if request.messages else self._prompt(request.problem)
        return (*before, *written)

    def _task(self, request: Request) -> Task | ItemError:
        prefix, sampling, context = self.prefix(request), request.sampling, self.engine.context
        limit = sampling.max_tokens
        if not prefix:
            return ItemError("empty-prompt", "the tokenizer made no token of the prompt and the prefix")
        if context is not None:
            limit = min(limit, context - len(prefix))
            if limit < 1:
                return ItemError(
                    "too-long",
                    f"prompt and prefix are {len(prefix)} tokens, the model's context is {context}",
                )
        if not sampling.stop:
            return Task(prefix, request.stream, limit, sampling)
        watch = self._watch(sampling.stop)
        return Task(
            prefix, request.stream, limit, sampling, watch, lambda ids: self._stopped(ids, prefix, sampling)
        )

    def _watch(self, stop: tuple[str, ...]) -> np.ndarray:
        """Tokens after which the text is looked at. All, at first; `_stopped` strikes off those that can
        never complete a stop string when it meets them."""
        if stop not in self._watches:
            self._watches[stop] = np.ones(self.engine.config.vocab_size, bool)
        return self._watches[stop]

    def _stopped(self, ids: list[int], prefix: tuple[int, ...], sampling: Sampling) -> bool:
        if not any(self._text.may_end(ids[-1], stop) for stop in sampling.stop):
            self._watches[sampling.stop][ids[-1]] = False
            return False
        text, ends = self._text.decode(ids, prefix)
        known = ends[-2] if len(ends) > 1 else 0
        return any(text.find(stop, max(0, known - len(stop) + 1)) >= 0 for stop in sampling.stop)

    def _continuation(self, task: Task, output: Output) -> Continuation:
        sampled = len(output.ids)
        usage = Usage(
            generated=sampled,
            prefilled=output.prefilled,
            reused=output.reused,
            calls=1,
            flops=2.0 * self._parameters * (sampled + output.prefilled),
        )
        if output.reason == "not-finite":
            return Continuation.failed(
                "not-finite", f"the model computed NaN or infinity at token {sampled - 1}", usage
            )
        written = output.ids[:-1] if output.reason == "eos" else output.ids
        text, ends = self._text.decode(written, task.prefix)
        if output.reason == "eos":
            ends = [*ends, len(text)]
        return Continuation(
            text,
            _FINISH[output.reason],
            tuple(output.ids),
            tuple(ends),
            tuple(output.logprobs),
            usage,
        )


@dataclass(frozen=True)
class _Reading:
    """Ids to read behind a prefix, and which tokens are weighed at each of them."""

    before: tuple[int, ...]
    ids: tuple[int, ...]
    asked: list[list[int]]


def _not_finite(read: Read) -> ItemError | None:
    # minus infinity is the log-probability of a token that cannot come; NaN is no probability at all
    bad = read.logprobs.isnan().any() or read.entropies.isnan().any()
    return ItemError("not-finite", "the model computed NaN at a token of the text") if bad else None


def _chat_of(tokenizer: PreTrainedTokenizerBase) -> Callable[[tuple[Message, ...]], tuple[int, ...]]:
    return lambda messages: tuple(chat_ids(tokenizer, messages))


def _eos_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Every id that ends a text, as the generation settings, the model or the tokenizer have it."""
    found: set[int] = set()
    for owner in (model.generation_config, model.config, tokenizer):
        given = getattr(owner, "eos_token_id", None)
        if given is not None:
            found |= {given} if isinstance(given, int) else set(given)
    return frozenset(found)


def _dense_parameters(model: PreTrainedModel) -> int:
    """Non-embedding parameters: all but the input and output tables."""
    tables = {id(model.get_input_embeddings().weight)}
    head = model.get_output_embeddings()
    if head is not None:
        tables.add(id(head.weight))
    return sum(p.numel() for p in model.parameters() if id(p) not in tables)
