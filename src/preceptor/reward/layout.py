"""Layouts: how a family of reward models lays out a problem and its steps, as data.

`Tagged` writes the steps one after the other, each followed by a tag; `Turns` makes every step a user's turn
of a chat that the model answers with a verdict. Either gives `Pieces`: the ids of the prompt, and per step
the ids up to and including the one whose output is read (`heads`) and those after it (`tails`).

Problems and steps are untrusted: they are encoded as plain text, never as a special token, and a step's own
copy of a tag that is a single token is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Literal, Protocol

from preceptor.errors import InputError
from preceptor.generation import Message
from preceptor.policy.render import chat_parts, prompt_ids, text_ids
from preceptor.trace import Problem

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Ids = tuple[int, ...]
NUMBERED = re.compile(r"\s*#*\s*step\s*\d+", re.IGNORECASE)


@dataclass(frozen=True)
class Pieces:
    """Ids of the prompt, and of every step up to its readout (`heads`) and behind it (`tails`)."""

    prompt: Ids
    heads: tuple[Ids, ...]
    tails: tuple[Ids, ...]
    end: Ids = ()
    """What a finished trace ends with, to be read at its last token: the whole trajectory's readout."""


class Layout(Protocol):
    @property
    def tag(self) -> str:
        """Text that stands behind every step, or ""; what a policy must not be able to write."""
        ...

    def pieces(
        self,
        encoder: Encoder,
        problem: Problem,
        steps: Sequence[str],
        observations: Sequence[str | None],
        first: int = 0,
    ) -> Pieces:
        """`first`: index of `steps[0]` in its trace, for numbering."""
        ...


class Encoder:
    """A tokenizer that remembers what it has encoded."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        self.tokenizer = tokenizer
        self.text: Callable[[str], Ids] = lru_cache(maxsize=1 << 14)(lambda s: tuple(text_ids(tokenizer, s)))
        self.policy_prompt: Callable[[Problem], Ids] = lru_cache(maxsize=4096)(
            lambda problem: tuple(prompt_ids(tokenizer, problem))
        )
        self.tag_ids: Callable[[str], Ids] = lru_cache(maxsize=64)(lambda tag: tag_ids(tokenizer, tag))
        self._chats = lru_cache(maxsize=1024)(self._parts)

    def fresh(self, text: str) -> Ids:
        """A text of its own, with the word separator that some tokenizers put first."""
        return tuple(self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))

    def behind_special(self, text: str) -> Ids:
        """As this tokenizer encodes `text` where a special token stands before it: some put their word
        separator there again, others only at the very beginning."""
        return self.fresh(text) if self._separates else self.text(text)

    @cached_property
    def _separates(self) -> bool:
        special = self.tokenizer.bos_token or self.tokenizer.eos_token or ""
        joined = self.tokenizer.encode(f"{special}a", add_special_tokens=False)
        return not special or tuple(joined[1:]) == self.fresh("a")

    def without(self, ids: Ids, tag: Ids) -> Ids:
        """`ids` with every copy of a one-token tag left out."""
        return tuple(i for i in ids if i != tag[0]) if len(tag) == 1 and tag[0] in ids else ids

    @cached_property
    def trims(self) -> bool:
        """Whether the chat template strips blanks around what a user says."""
        turn = [{"role": "user", "content": " a "}]
        return " a " not in str(self.tokenizer.apply_chat_template(turn, tokenize=False))

    @property
    def bos(self) -> Ids:
        bos = self.tokenizer.bos_token_id
        return () if bos is None else (int(bos),)

    def chat(self, messages: tuple[Message, ...], generation_prompt: bool) -> tuple[Ids, ...]:
        return self._chats(messages, generation_prompt)

    def _parts(self, messages: tuple[Message, ...], generation_prompt: bool) -> tuple[Ids, ...]:
        parts = chat_parts(self.tokenizer, messages, generation_prompt=generation_prompt)
        return tuple(map(tuple, parts))


def tag_ids(tokenizer: PreTrainedTokenizerBase, tag: str) -> Ids:
    """Ids of a tag as they stand behind a word: an added token, or what follows a letter.

    The same characters can be other tokens elsewhere (sentencepiece, digits, line breaks), which is how tags
    get lost; so they are encoded behind a letter, and alone where that changes the letter.
    """
    for added, token in tokenizer.added_tokens_decoder.items():
        if token.content == tag:
            return (added,)
    plain: dict[str, Any] = {"add_special_tokens": False, "split_special_tokens": True}
    letter, joined = tokenizer.encode("a", **plain), tokenizer.encode("a" + tag, **plain)
    behind = tuple(joined[len(letter) :]) if joined[: len(letter)] == letter else ()
    return behind if len(behind) == 1 else tuple(text_ids(tokenizer, tag)) or behind


SLOTS = re.compile(r"\{(problem|reference)\}")


def fill(template: str, problem: Problem) -> str:
    """The template with problem and gold answer in their slots; slots that these texts contain stay text.
    InputError when a slot for the reference meets a problem without gold answer."""
    if "{reference}" in template and problem.gold is None:
        raise InputError(f"problem {problem.id}: got no gold answer, expected one for the slot {{reference}}")
    texts = {"problem": problem.prompt, "reference": problem.gold or ""}
    return SLOTS.sub(lambda slot: texts[slot[1]], template)


@dataclass(frozen=True)
class PolicyPrompt:
    """The prompt as this package's policies see it (`preceptor.policy.prompt_ids`)."""

    def ids(self, encoder: Encoder, problem: Problem) -> tuple[Ids, Ids]:
        return encoder.policy_prompt(problem), ()


@dataclass(frozen=True)
class Plain:
    """Text without chat template. `template` has the slot `{problem}`, and `{reference}` for the gold answer
    where the model is shown it."""

    template: str = "{problem}"
    bos: bool = True
    """Put the tokenizer's bos token first, where it has one."""

    def ids(self, encoder: Encoder, problem: Problem) -> tuple[Ids, Ids]:
        text = fill(self.template, problem)
        return (*(encoder.bos if self.bos else ()), *encoder.fresh(text)), ()


@dataclass(frozen=True)
class Chat:
    """Chat template: a system message (None: whatever the template does without), the problem as the
    user's, and the steps as the assistant's. `user` has the slots of `Plain.template`."""

    system: str | None = None
    user: str = "{problem}"
    generation_prompt: bool = False
    """Take the prompt for an answer as the template writes it, and no end of turn."""

    def ids(self, encoder: Encoder, problem: Problem) -> tuple[Ids, Ids]:
        """Ids before the steps, and those the template puts behind them."""
        system = () if self.system is None else (Message("system", self.system),)
        asked = (*system, Message("user", fill(self.user, problem)))
        if self.generation_prompt:
            return tuple(i for part in encoder.chat(asked, True) for i in part), ()
        # A placeholder stands for the answer: templates may not show an empty one.
        parts = encoder.chat((*asked, Message("assistant", "a")), False)
        return tuple(i for part in parts[:-2] for i in part), parts[-1]


Prompt = PolicyPrompt | Plain | Chat
PROMPTS: dict[str, type[Prompt]] = {"policy": PolicyPrompt, "plain": Plain, "chat": Chat}


@dataclass(frozen=True)
class Tagged:
    """prompt, then for every step: `first` or `between`, the step, the tag.

    `read`: the output is taken at the tag's last token (`"tag"`), at the token before the tag
    (`"before-tag"`), at the step's last token (`"last"`, for layouts without tag) or at the one before it
    (`"before-last"`).
    """

    tag: str = ""
    prompt: Prompt = field(default_factory=PolicyPrompt)
    read: Literal["tag", "before-tag", "last", "before-last"] = "tag"
    first: str = ""
    """Text between prompt and first step."""
    between: str = ""
    """Text between a tag and the next step."""
    gap: str = ""
    """Text between a step and its tag."""
    number: str = ""
    """What is put before a step that does not number itself; `{i}` counts from 1."""
    strip: Literal["right", "both"] = "both"
    newlines: Literal["keep", "space"] = "keep"
    """"space": line breaks inside a step become spaces, for tags that are line breaks."""
    fresh: Literal["no", "alone", "behind-special"] = "no"
    """Encode every step as a text of its own, or as one behind a special token (matters for
    sentencepiece-like tokenizers); "no": as text that goes on."""
    ids: tuple[int, ...] = ()
    """The tag's documented ids in the public tokenizer; what is used is looked up in the tokenizer at hand."""
    single: bool = False
    """The tag must be one token: a tokenizer that makes several of it is another model's."""
    close: bool = False
    """Read the last step behind what the chat template puts after an answer."""
    end: str = ""
    """A tag after the last step of a finished trace, where the whole trajectory is read."""

    @property
    def needs_reference(self) -> bool:
        """Whether a problem without gold answer cannot be written."""
        return "{reference}" in (getattr(self.prompt, "template", "") + getattr(self.prompt, "user", ""))

    def pieces(
        self,
        encoder: Encoder,
        problem: Problem,
        steps: Sequence[str],
        observations: Sequence[str | None],
        first: int = 0,
    ) -> Pieces:
        prompt, closing = self.prompt.ids(encoder, problem)
        tag = encoder.tag_ids(self.tag) if self.tag else ()
        end = encoder.tag_ids(self.end) if self.end else ()
        for text, ids in ((self.tag, tag), (self.end, end)):
            if text and not ids:
                raise InputError(f"tag: got {text!r}, of which this tokenizer makes no token")
        # Line breaks as tags are ordinary text elsewhere; other tags have no business in a problem or a step.
        drop = tag if self.tag.strip() or self.newlines == "space" else ()
        prompt = encoder.without(encoder.without(prompt, tag if self.tag.strip() else ()), end)
        encode = {"no": encoder.text, "alone": encoder.fresh, "behind-special": encoder.behind_special}[
            self.fresh
        ]
        heads, tails = [], []
        for k, (step, seen) in enumerate(zip(steps, observations, strict=True)):
            text = (self.first if k == 0 else self.between) + self.shown(step, first + k) + self.gap
            ids = encoder.without(encoder.without(encode(text), drop), end)
            whole = (*ids, *tag)
            if self.close and k == len(steps) - 1:
                whole = (*whole, *closing)
            cut = {
                "tag": len(whole),
                "last": len(whole),
                "before-tag": len(ids),
                "before-last": len(whole) - 1,
            }
            at = max(cut[self.read], 0)
            heads.append(whole[:at])
            after = encoder.without(encoder.without(encoder.text(seen), drop), end) if seen else ()
            tails.append((*whole[at:], *after))
        return Pieces(prompt, tuple(heads), tuple(tails), end)

    def shown(self, step: str, index: int) -> str:
        """The step's text as it is written before its tag; `index` counts from 0."""
        text = step.strip() if self.strip == "both" else step.rstrip()
        if self.newlines == "space":
            text = re.sub(r"\s*[\r\n]+\s*", " ", text)
        if self.number and not NUMBERED.match(text):
            text = self.number.replace("{i}", str(index + 1)) + text
        return text


@dataclass(frozen=True)
class Turns:
    """One user turn per step, each answered by a verdict; read at the token before the verdict."""

    first: str = "{problem} {step}"
    later: str = "{step}"
    verdict: str = "+"
    system: str | None = None
    tag: str = ""
    """Nothing of the text marks a step: turns do."""

    def pieces(
        self,
        encoder: Encoder,
        problem: Problem,
        steps: Sequence[str],
        observations: Sequence[str | None],
        first: int = 0,
    ) -> Pieces:
        if not steps:
            return Pieces((), (), ())
        system = () if self.system is None else (Message("system", self.system),)
        lead, slot, trail = self.first.partition("{step}")
        if not slot or "{problem}" not in lead:
            raise InputError(f"first turn: got {self.first!r}, expected {{problem}} and then {{step}}")
        question = lead.replace("{problem}", problem.prompt)
        question = question.lstrip() if encoder.trims else question
        frame = self._frame(encoder, system)
        # The blank before the first step belongs to it, as tokenizers join a word with the blank before it.
        question, blank = (question[:-1], " ") if question.endswith(" ") else (question, "")
        prompt = (*frame.opening, *encoder.text(question))
        heads, tails = [], []
        for k, (step, seen) in enumerate(zip(steps, observations, strict=True)):
            text = step.strip() + (f"\n{seen.strip()}" if seen else "")
            first_text = blank + text + trail
            # A template that trims takes the blank before an empty step away.
            first_text = first_text.rstrip() if encoder.trims else first_text
            shown = first_text if k == 0 else self.later.replace("{step}", text)
            heads.append((*(() if k == 0 else frame.user), *encoder.text(shown), *frame.assistant))
            tails.append(frame.verdict)
        return Pieces(prompt, tuple(heads), tuple(tails))

    def _frame(self, encoder: Encoder, system: tuple[Message, ...]) -> _Frame:
        """The template's ids around turns, from a rendered chat of two steps."""
        turns = (Message("user", "a"), Message("assistant", self.verdict)) * 2
        parts = encoder.chat((*system, *turns), False)
        opening = tuple(i for part in parts[: 2 * len(system) + 1] for i in part)
        rest = parts[2 * len(system) + 1 :]
        return _Frame(opening, rest[1], rest[2], rest[3])


@dataclass(frozen=True)
class _Frame:
    opening: Ids
    """All before the first user's text."""
    assistant: Ids
    """From the end of a user's text to the verdict."""
    verdict: Ids
    user: Ids
    """From the end of a verdict to the next user's text."""


LAYOUTS: dict[str, type[Tagged | Turns]] = {"tagged": Tagged, "turns": Turns}
