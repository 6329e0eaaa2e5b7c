"""Training rows of language models: which tokens carry the loss, in exactly the tokens that serving reads.

Implicit rewards: the response of a solution, read after the policy's own prompt, a token belonging to the step it ends
in; what an environment answered belongs to none. Generative models: an answer of `generative/` in its parts; the text
up to the verdict is encoded as one, as it is when the verdict is weighed, and the verdict apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from preceptor.generation import Message
from preceptor.policy.engine_text import TextOf, text_of
from preceptor.policy.likelihood import first_tokens
from preceptor.policy.render import chat_ids, prompt_ids, text_ids
from preceptor.reward.examples import Dropped, Example, Group, Labelled
from preceptor.reward.generative.style import Taught
from preceptor.reward.generative.talk import Part, flat, loose
from preceptor.reward.likelihood.reading import layout, step_tokens
from preceptor.reward.objectives.rows import by_problem
from preceptor.reward.render import Row
from preceptor.trace import Problem, Trace, stream_seed

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

UNKNOWN = (0.0,)
"""Stands where the reference's log-probability will be."""


@lru_cache(maxsize=4)
def _text_of(tokenizer: PreTrainedTokenizerBase) -> TextOf:
    """Made once per tokenizer: it reads the tokenizer's whole description."""
    return text_of(tokenizer)


def response_row(tokenizer: PreTrainedTokenizerBase, trace: Trace) -> Row:
    """`positions`: the token before each token of a step; `steps`: whose it is."""
    shown = layout(trace)
    prompt, ids = prompt_ids(tokenizer, trace.problem), text_ids(tokenizer, shown.text)
    decoded, ends = _text_of(tokenizer).decode(ids, tuple(prompt))
    if ends and decoded != shown.text:
        ends = [*(min(end, len(shown.text)) for end in ends[:-1]), len(shown.text)]
    at, steps = [], []
    for t, own in enumerate(step_tokens(ends, shown.spans)):
        places = range(*own.indices(len(ids)))
        at += [len(prompt) + i - 1 for i in places]
        steps += [t] * len(places)
    return Row((*prompt, *ids), tuple(at), tuple(steps))


def response_examples(
    tokenizer: PreTrainedTokenizerBase, items: Sequence[Labelled], limit: int, dropped: Dropped
) -> list[Example]:
    """One per solution of known outcome that fits into `limit` tokens, the outcome as `extra`."""
    out = []
    for item in items:
        row = response_row(tokenizer, item.trace)
        if len(row.token_ids) > limit:
            dropped.add("too-long")
        elif not row.positions or row.positions[0] < 0:
            dropped.add("empty-response")
        else:
            out.append(Example(row, (UNKNOWN,) * len(row.positions), {"outcome": item.outcome or 0.0}))
    return out


def outcome_pairs(
    tokenizer: PreTrainedTokenizerBase, items: Sequence[Labelled], limit: int, dropped: Dropped
) -> list[Group]:
    """(right, wrong) solutions of one problem, each in at most one pair; which go together depends on the
    traces alone."""
    out: list[Group] = []
    for same in by_problem(items):
        ordered = sorted(same, key=lambda i: stream_seed("pair", i.trace.id))
        found = response_examples(tokenizer, ordered, limit, dropped)
        right = [e for e in found if e.extra["outcome"] == 1.0]
        wrong = [e for e in found if e.extra["outcome"] == 0.0]
        out += zip(right, wrong, strict=False)
        if len(right) != len(wrong):
            dropped.add("unpaired", abs(len(right) - len(wrong)))
    return out


def answer_prefix(
    tokenizer: PreTrainedTokenizerBase, problem: Problem, messages: tuple[Message, ...], chat: bool
) -> list[int]:
    """Ids of everything before the answer, as `generative.talk.Voice` puts it."""
    return chat_ids(tokenizer, messages) if chat else prompt_ids(tokenizer, flat(problem, messages))


def taught_example(
    tokenizer: PreTrainedTokenizerBase, problem: Problem, taught: Taught, chat: bool
) -> Example:
    """Loss on what the model writes itself: its parts, the verdict, the rest and the end of text."""
    prompt = answer_prefix(tokenizer, problem, taught.messages, chat)
    text, options = loose(taught.text, taught.options)
    before, firsts = first_tokens(tokenizer, text, options)
    own = text_ids(tokenizer, before)
    word = text[len(before) :] + options[0 if taught.good else 1]
    end = [] if tokenizer.eos_token_id is None else [int(tokenizer.eos_token_id)]
    rest = [*text_ids(tokenizer, word), *text_ids(tokenizer, taught.tail), *end]
    assert rest[0] == firsts[0 if taught.good else 1]
    _, ends = _text_of(tokenizer).decode(own, tuple(prompt))
    parts = (*taught.parts, Part(text[len(taught.text) :], "forced"))
    loss = [*_written(ends, parts), *[True] * len(rest)]
    at = [len(prompt) + i - 1 for i, wanted in enumerate(loss) if wanted]
    row = Row((*prompt, *own, *rest), tuple(at), (taught.step,) * len(at))
    return Example(row, (UNKNOWN,) * len(at))


def verdict_rows(
    tokenizer: PreTrainedTokenizerBase, problem: Problem, taught: Taught, chat: bool
) -> tuple[Row, Row]:
    """The row up to the verdict with either word's first token behind it, read before that token."""
    prompt = answer_prefix(tokenizer, problem, taught.messages, chat)
    before, firsts = first_tokens(tokenizer, *loose(taught.text, taught.options))
    ids = (*prompt, *text_ids(tokenizer, before))
    good, bad = (Row((*ids, first), (len(ids) - 1,), (taught.step,)) for first in firsts)
    return good, bad


def _written(ends: Sequence[int], parts: Sequence[Part]) -> list[bool]:
    """Per token whether all of it is the model's own: a token that a tool's text reaches into is not."""
    spans, at = [], 0
    for part in parts:
        spans.append((at, at + len(part.text), part.by))
        at += len(part.text)
    out, begin, first = [], 0, 0
    for end in ends:
        while first < len(spans) and spans[first][1] <= begin:
            first += 1
        touched = {by for a, b, by in spans[first:] if a < max(end, begin + 1) and b > begin}
        out.append(touched == {"written"})
        begin = max(begin, end)
    return out


def balanced(rows: Sequence[tuple[str, bool, Group]], seed: int, dropped: Dropped) -> list[Group]:
    """As many groups of good verdicts as of bad ones: (key, good, group); the keys and the seed decide which
    of the larger class go. With one class only, all stay."""
    good, bad = ([r for r in rows if r[1] is wanted] for wanted in (True, False))
    if not good or not bad:
        return [group for _, _, group in rows]
    n = min(len(good), len(bad))
    kept = set()
    for side in (good, bad):
        order = sorted(side, key=lambda r: stream_seed("balance", seed, r[0]))
        kept |= {id(r) for r in order[:n]}
    if len(kept) < len(rows):
        dropped.add("balanced-away", len(rows) - len(kept))
    return [r[2] for r in rows if id(r) in kept]


def with_reference(groups: Sequence[Group], values: Sequence[Sequence[float]]) -> list[Group]:
    """The groups with the reference's log-probabilities as targets; `values` per example, in order."""
    found = iter(values)
    return [tuple(replace(e, targets=tuple((v,) for v in next(found))) for e in group) for group in groups]
