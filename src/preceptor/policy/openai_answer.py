"""What a server's answer says: text, why it ended, log-probabilities, cost. Nothing in it is trusted.

A field that is missing or of another type is a `CallFailed` where the answer cannot be used without it, and
nothing where it can. Left out: the words for the request (`openai.py`), the HTTP call (`retry.py`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from preceptor.generation import Continuation
from preceptor.policy.retry import CallFailed, Calls
from preceptor.trace import Finish
from preceptor.usage import Usage

NAMED_STOP = ("stop_reason", "matched_stop")
"""Fields of a choice in which servers name the stop string that ended it."""
FINISH = {"stop": Finish.STOP, "length": Finish.LENGTH}


def check_unicode(kind: str, text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise CallFailed(
            kind,
            f"got a lone surrogate U+{ord(text[error.start]):04X} at character {error.start}, expected text "
            "that UTF-8 can hold; repair what it came from",
        ) from error


def choice_of(answer: Mapping[str, Any], calls: Calls) -> dict[str, Any]:
    choices = answer.get("choices")
    if isinstance(choices, list) and not choices:
        raise CallFailed("empty-choices", "the server answered with no choice")
    if not isinstance(choices, list) or not isinstance(choices[0], dict):
        got = calls.quoted(json.dumps(answer))
        raise CallFailed("bad-body", f"expected 'choices' to be a list of objects, got {got}")
    return choices[0]


def continuation_of(
    choice: Mapping[str, Any], stops: tuple[str, ...], cut: bool, spent: Usage
) -> Continuation:
    reason, message = choice.get("finish_reason"), choice.get("message")
    text = message.get("content") if isinstance(message, dict) else choice.get("text")
    if reason == "content_filter":
        raise CallFailed("content-filter", "the server's content filter ended the text")
    if not isinstance(text, str):
        raise CallFailed("bad-body", f"expected the choice's text, got {type(text).__name__}")
    if not isinstance(reason, str) or reason not in FINISH:
        raise CallFailed("bad-body", f"expected finish_reason 'stop' or 'length', got {str(reason)[:40]!a}")
    check_unicode("bad-body", text)
    finish = FINISH[reason]
    if cut:
        ends = [text.index(s) + len(s) for s in stops if s in text]
        if ends:
            text, finish = text[: min(ends)], Finish.BOUNDARY
    elif finish is Finish.STOP:
        named = next((choice[name] for name in NAMED_STOP if choice.get(name) is not None), None)
        if named in stops:
            text, finish = text if text.endswith(named) else text + named, Finish.BOUNDARY
    ends_and_logprobs = _aligned(text, finish, *tokens_of(choice), beyond=cut and finish is Finish.BOUNDARY)
    token_ends, logprobs = ends_and_logprobs or (None, None)
    return Continuation(text, finish, token_ends=token_ends, logprobs=logprobs, usage=spent)


def tokens_of(choice: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
    """Sampled token texts and their log-probabilities as sent, unchecked; empty where there are none."""
    sent = choice.get("logprobs")
    if not isinstance(sent, dict):
        return [], []
    content = sent.get("content")
    if isinstance(content, list) and all(isinstance(c, dict) for c in content):
        return [c.get("token") for c in content], [c.get("logprob") for c in content]
    tokens, logprobs = sent.get("tokens"), sent.get("token_logprobs")
    return (tokens, logprobs) if isinstance(tokens, list) and isinstance(logprobs, list) else ([], [])


def _aligned(
    text: str, finish: Finish, tokens: list[Any], logprobs: list[Any], *, beyond: bool
) -> tuple[tuple[int, ...], tuple[float, ...]] | None:
    """Token ends and log-probabilities if the token texts spell `text` exactly, else None.

    After the text there may be one end-of-text token, which gets width 0, or, where the text was cut here
    (`beyond`), the tokens that were cut off.
    """
    if not tokens or len(tokens) != len(logprobs):
        return None
    ends: list[int] = []
    at = 0
    for i, token in enumerate(tokens):
        if beyond and at == len(text):
            break
        if isinstance(token, str) and text.startswith(token, at):
            at += len(token)
        elif not (finish is Finish.STOP and at == len(text) and i == len(tokens) - 1):
            return None
        ends.append(at)
    kept = logprobs[: len(ends)]
    if at != len(text) or not all(type(p) in (int, float) and math.isfinite(p) for p in kept):
        return None
    return tuple(ends), tuple(map(float, kept))


def usage_of(answer: Mapping[str, Any], choice: Mapping[str, Any]) -> Usage:
    sent = answer.get("usage")
    sent = sent if isinstance(sent, dict) else {}
    details = sent.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens") if isinstance(details, dict) else None) or 0
    prompt = _count(sent.get("prompt_tokens")) or 0
    generated = _count(sent.get("completion_tokens"))
    return Usage(
        generated=len(tokens_of(choice)[0]) if generated is None else generated,
        prefilled=max(0, prompt - cached),
        reused=min(cached, prompt),
        calls=1,
    )


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None
