"""From problems and text to token ids: the one place where a prompt becomes tokens.

Policies and reward models both read these two functions, so a prompt is the same for the writer and for
the judge. What a data set or a policy wrote is encoded with special tokens switched off: the characters
`<|end|>` inside a problem are seven ordinary characters, never the control token. Left out: system
prompts and multi-turn chats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from preceptor.errors import ModelError
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
    content = problem.prompt
    specials = _special_strings(tokenizer)
    if not any(s in content for s in specials):
        return _encode(tokenizer, _chat(tokenizer, content))
    mark = "content" + content_id(content)
    pieces = _chat(tokenizer, mark).split(mark)
    ids = _encode(tokenizer, pieces[0])
    for piece in pieces[1:]:
        ids += text_ids(tokenizer, content)
        ids += _encode(tokenizer, piece, inside=True) if piece else []
    return ids


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
    return isinstance(token, str) and token.startswith("▁") and text[0] not in " ▁"


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


def _chat(tokenizer: PreTrainedTokenizerBase, content: str) -> str:
    import jinja2

    message = [{"role": "user", "content": content}]
    try:
        text = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
    except (jinja2.TemplateError, ValueError, TypeError) as problem:
        raise ModelError(
            f"chat template: got {type(problem).__name__}: {problem}; expected it to render one user "
            "message. Repair `chat_template` in the tokenizer's files, or remove it to use plain prompts."
        ) from problem
    if content.strip() not in text:
        raise ModelError(
            "chat template: the rendered text does not contain the user's message. "
            "Repair `chat_template` in the tokenizer's files, or remove it to use plain prompts."
        )
    return str(text)
