"""From problems and text to token ids: the one place where a prompt becomes tokens.

Policies and reward models both read these functions, so a prompt is the same for the writer and for
the judge. What a data set or a policy wrote is encoded with special tokens switched off: the characters
`<|end|>` inside a problem are seven ordinary characters, never the control token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from preceptor.errors import ModelError
from preceptor.generation import Message
from preceptor.trace import Problem, content_id

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_ANCHOR = "\n"


def prompt_ids(tokenizer: PreTrainedTokenizerBase, problem: Problem) -> list[int]:
    """Ids of the problem's prompt, up to where the policy starts to write.

    With a chat template: one user message and the generation prompt. Without: what the tokenizer puts in
    front of a text (usually bos or nothing), the prompt and a newline. Raises ModelError when the template
    cannot render a single user message.
    """
    if not tokenizer.chat_template:
        return [*_leading_ids(tokenizer), *_encode(tokenizer, problem.prompt + "\n", plain=True)]
    user = (Message("user", problem.prompt),)
    if not any(s in problem.prompt for s in _special_strings(tokenizer)):
        return _encode(tokenizer, _chat(tokenizer, user, generation_prompt=True))
    return chat_ids(tokenizer, user)


def chat_ids(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], *, generation_prompt: bool = True
) -> list[int]:
    """Ids of a chat, with what the messages hold encoded as plain text."""
    return [i for part in chat_parts(tokenizer, messages, generation_prompt=generation_prompt) for i in part]


def chat_parts(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], *, generation_prompt: bool = True
) -> list[list[int]]:
    """2n + 1 lists of ids for n messages: template, content, template, content, ..., template.

    Every content is encoded apart, so where it stands is known by construction and nothing in it can close
    a turn or open one. Raises ModelError when the tokenizer has no chat template, or one that does not show
    every message once and in order.
    """
    if not tokenizer.chat_template:
        raise ModelError("chat template: got none, expected one. Give the tokenizer its `chat_template`.")
    marks = ["content" + content_id(k, [list(m) for m in messages]) for k in range(len(messages))]
    text = _chat(
        tokenizer,
        [Message(m.role, mark) for m, mark in zip(messages, marks, strict=True)],
        generation_prompt=generation_prompt,
    )
    parts: list[list[int]] = []
    for message, mark in zip(messages, marks, strict=True):
        before, found, text = text.partition(mark)
        if not found or mark in text:
            raise ModelError(
                f"chat template: the {message.role} message is not shown exactly once and in order. Repair "
                "`chat_template` in the tokenizer's files."
            )
        parts.append(_encode(tokenizer, before, inside=bool(parts)) if before else [])
        parts.append(text_ids(tokenizer, message.content))
    parts.append(_encode(tokenizer, text, inside=True) if text else [])
    return parts


def text_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Ids of untrusted `text` that goes on after other tokens; never a special token, nothing added."""
    return _encode(tokenizer, text, plain=True, inside=True) if text else []


def _encode(
    tokenizer: PreTrainedTokenizerBase, text: str, plain: bool = False, inside: bool = False
) -> list[int]:
    """`plain`: special tokens are text. `inside`: the text does not begin the sequence, so the word
    separator that sentencepiece-like tokenizers put before a text is left away."""

    def ids_of(piece: str) -> list[int]:
        return list(tokenizer.encode(piece, add_special_tokens=False, split_special_tokens=plain))

    ids = ids_of(text)
    if not inside or not ids or not _prepends_space(tokenizer, ids[0], text):
        return ids
    anchor = ids_of(_ANCHOR)
    joined = ids_of(_ANCHOR + text)
    return joined[len(anchor) :] if joined[: len(anchor)] == anchor else ids


def _prepends_space(tokenizer: PreTrainedTokenizerBase, first_id: int, text: str) -> bool:
    token = tokenizer.convert_ids_to_tokens(first_id)
    return isinstance(token, str) and token.startswith("▁") and text[0] != "▁"


def _leading_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """What the tokenizer itself puts before a text: a tokenizer may define a bos token and not use it."""
    bare = tokenizer.encode("a", add_special_tokens=False)
    full = tokenizer.encode("a", add_special_tokens=True)
    for start in range(len(full) - len(bare) + 1):
        if full[start : start + len(bare)] == bare:
            return list(full[:start])
    return []


def _special_strings(tokenizer: PreTrainedTokenizerBase) -> set[str]:
    added = {t.content for t in tokenizer.added_tokens_decoder.values() if t.special}
    return {s for s in added | set(tokenizer.all_special_tokens) if s}


def _chat(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], *, generation_prompt: bool) -> str:
    import jinja2

    turns = [{"role": m.role, "content": m.content} for m in messages]
    try:
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=generation_prompt)
    except (jinja2.TemplateError, ValueError, TypeError) as problem:
        raise ModelError(
            f"chat template: got {type(problem).__name__}: {problem}; expected it to render the roles "
            f"{[m.role for m in messages]}. Repair `chat_template` in the tokenizer's files, or remove it to "
            "use plain prompts."
        ) from problem
    for message in messages:
        if message.content.strip() not in text:
            raise ModelError(
                f"chat template: the rendered text does not contain the {message.role}'s message. "
                "Repair `chat_template` in the tokenizer's files, or remove it to use plain prompts."
            )
    return str(text)
