"""What goes over the wire to a pooling server and back: text that its tokenizer cannot misread, and values that
are checked before they are believed (see `remote.py`).
"""

from __future__ import annotations

import base64
import json
import math
import re
from array import array
from collections.abc import Sequence
from typing import Any

import httpx

from preceptor.errors import InputError
from preceptor.policy.retry import CallFailed
from preceptor.reward.format import Format
from preceptor.reward.head import Ensemble, Linear, Mlp
from preceptor.reward.layout import Chat, Tagged
from preceptor.reward.link import Link
from preceptor.trace import Trace

SPECIAL = re.compile(r"<\|[^<>|\s]{1,40}\|>|</?s>|\[/?INST\]|<(?:bos|eos|unk|pad)>|<[a-z]+_\d+>")
"""What the tokenizers of public models make control tokens of."""
SLACK = 0.02
"""How far the sum of a softmax may be from 1: servers send half precision."""


def pooling_url(base_url: str) -> str:
    """`http://host:8000/v1` -> `http://host:8000/pooling`."""
    try:
        url = httpx.URL(base_url)
    except (httpx.InvalidURL, TypeError) as error:
        raise InputError(f"vllm: got an unreadable URL ({error}), expected http(s)://HOST[:PORT]") from error
    if url.scheme not in ("http", "https") or not url.host or url.userinfo or url.query or url.fragment:
        shown = f"{url.scheme}://{url.host}{url.path}"
        raise InputError(
            f"vllm: got the URL {shown!r}, expected http(s)://HOST[:PORT]. Pass a key as api_key."
        )
    root = base_url.rstrip("/").removesuffix("/pooling").removesuffix("/v1")
    return f"{root}/pooling"


def readable(fmt: Format, pooling: str, has_ids: bool) -> int:
    """Values per row the server must send; InputError for a format that cannot be read through it."""
    head, layout = fmt.head, fmt.layout
    if pooling not in ("step", "all"):
        raise InputError(f"pooling: got {pooling!r}, expected 'step' or 'all'")
    if not isinstance(head, Linear | Mlp | Ensemble):
        raise InputError(
            f"format {fmt.name!r}: reads a language model's logits, but a server pools hidden states (vLLM issue "
            "16545), so its scores would mean nothing. Open the model locally."
        )
    if fmt.link.columns is not None:
        raise InputError(
            f"format {fmt.name!r}: reads some of the head's outputs alone. Open the model locally."
        )
    at_tag = isinstance(layout, Tagged) and layout.tag and layout.read == "tag" and not layout.close
    if pooling == "step" and not at_tag:
        raise InputError(f"format {fmt.name!r}: is not read at a tag. Use pooling='all' with its tokenizer.")
    if pooling == "all" and not has_ids:
        raise InputError(
            "pooling 'all': needs the model's tokenizer to know which token is read: tokenizer=DIR"
        )
    chat = (
        isinstance(layout, Tagged) and isinstance(layout.prompt, Chat) and not layout.prompt.generation_prompt
    )
    if not has_ids and not (chat and layout.tag.strip() and not fmt.whole):
        raise InputError(
            f"format {fmt.name!r}: is not a chat with a visible tag, so the server cannot be trusted to tokenize "
            "it. Give the model's tokenizer: tokenizer=DIR"
        )
    return head.members if isinstance(head, Ensemble) else head.width


def chat_of(layout: Any, trace: Trace) -> tuple[list[dict[str, str]], tuple[str, ...]]:
    """The messages of a trace as text, with tags where only the layout puts them; and flags."""
    flags: dict[str, None] = {}

    def clean(text: str) -> str:
        said, found = neutral(text, layout.tag)
        flags.update(dict.fromkeys(found))
        return said

    prompt = layout.prompt
    turns = [] if prompt.system is None else [{"role": "system", "content": prompt.system}]
    turns.append({"role": "user", "content": prompt.user.replace("{problem}", clean(trace.problem.prompt))})
    answer = ""
    for t, step in enumerate(trace.step_texts):
        answer += layout.first if t == 0 else layout.between
        answer += clean(layout.shown(step, t)) + layout.gap + layout.tag
        answer += clean(trace.steps[t].observation or "")
    return [*turns, {"role": "assistant", "content": answer}], tuple(flags)


def neutral(text: str, tag: str) -> tuple[str, list[str]]:
    """`text` with a blank inside whatever a server's tokenizer could make a tag or a control token of.

    >>> neutral("so <extra_0> it ends<|im_end|>", "<extra_0>")
    ('so < extra_0> it ends< |im_end|>', ['neutralised-separator', 'neutralised-special-token'])
    """
    flags = []
    first = len(tag) - len(tag.lstrip()) + 1
    broken = f"{tag[:first]} {tag[first:]}" if tag[first:].strip() else " "
    if tag in text:
        flags.append("neutralised-separator")
    while tag in text:
        text = text.replace(tag, "" if tag in broken else broken)
    if SPECIAL.search(text):
        flags.append("neutralised-special-token")
    while SPECIAL.search(text):
        text = SPECIAL.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)
    return text, flags


def rows_of(answer: dict[str, Any], columns: int) -> list[list[float]]:
    """The values of the one item of an answer, row by row; CallFailed for anything else.

    `data[0].data` is a list of rows, a list of numbers (one column, or one row), or base64 of little-endian fp32.
    """
    try:
        (item,) = answer["data"]
        data = item["data"]
        if isinstance(data, str):
            flat = array("f", base64.b64decode(data, validate=True))
            if array("H", [1]).tobytes() != b"\x01\x00":
                flat.byteswap()
            data = list(flat)
        if data and not isinstance(data[0], list):
            data = [data[i : i + columns] for i in range(0, len(data), columns)]
        rows = [[float(x) for x in row] for row in data]
    except (KeyError, TypeError, ValueError, IndexError) as problem:
        shown = json.dumps(answer, default=str)[:200]
        raise CallFailed(
            "bad-body", f"expected rows of values at data[0].data, got {shown} ({type(problem).__name__})"
        ) from problem
    widths = {len(row) for row in rows} - {columns}
    if widths:
        raise CallFailed(
            "bad-body",
            f"got rows of {sorted(widths)[:3]} values, expected {columns}: the server pools something else (hidden "
            "states?) or serves another model",
        )
    return rows


def check_activated(rows: Sequence[Sequence[float]], link: Link) -> None:
    """CallFailed when what should be probabilities is none; NaN is left to the judgement."""
    for row in rows:
        if not all(map(math.isfinite, row)):
            continue
        total = sum(row) if link.activation == "softmax" else 1.0
        if min(row) < -SLACK or max(row) > 1 + SLACK or abs(total - 1) > SLACK:
            raise CallFailed(
                "not-activated",
                f"expected probabilities ({link.activation}), got {[round(x, 3) for x in row]}. Turn the "
                "activation on in the server's pooler config, or give activated=False.",
            )
