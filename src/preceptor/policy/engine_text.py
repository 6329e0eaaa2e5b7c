"""Sampled ids to text, with the character offset at which each token ends.

A character whose bytes are spread over several tokens belongs to the token that completes it; bytes
that never become a character are U+FFFD, as the tokenizer's own `decode` has it. Special tokens that a
policy samples in the middle of its text are shown, not dropped: text and ids always agree.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_LOST = "\N{REPLACEMENT CHARACTER}"


class TextOf(Protocol):
    """`decode(ids, before)` gives the text of `ids` after the ids `before`, and each token's end."""

    def decode(self, ids: Sequence[int], before: Sequence[int]) -> tuple[str, list[int]]: ...

    def may_end(self, token: int, stop: str) -> bool:
        """False only when no text can come to contain `stop` by adding `token`."""
        ...


def text_of(tokenizer: PreTrainedTokenizerBase) -> TextOf:
    """The fast path for byte-level BPE, whose tokens are byte strings; the general one for others."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        decoder = json.loads(backend.to_str())["decoder"]
        if decoder is not None and decoder["type"] == "ByteLevel":
            return ByteText(tokenizer)
    return GeneralText(tokenizer)


class ByteText:
    """Byte-level BPE: a token is a string of bytes, and text is all bytes decoded as UTF-8."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        self.tokenizer = tokenizer
        self._bytes_of = {char: byte for byte, char in _byte_alphabet().items()}
        self._pieces: dict[int, tuple[bytes, int]] = {}

    def _piece(self, token: int) -> tuple[bytes, int]:
        """Bytes, and how many whole characters they are (-1: not whole characters)."""
        piece = self._pieces.get(token)
        if piece is None:
            shown = str(self.tokenizer.convert_ids_to_tokens(token) or "")
            if all(c in self._bytes_of for c in shown):
                raw = bytes(self._bytes_of[c] for c in shown)
            else:
                raw = shown.encode("utf-8", "replace")
            text = raw.decode("utf-8", "replace")
            piece = self._pieces[token] = (raw, -1 if _LOST in text else len(text))
        return piece

    def decode(self, ids: Sequence[int], before: Sequence[int]) -> tuple[str, list[int]]:
        pieces = [self._pieces.get(i) or self._piece(i) for i in ids]
        lengths = [length for _, length in pieces]
        if min(lengths, default=0) >= 0:
            return b"".join(raw for raw, _ in pieces).decode("utf-8"), list(accumulate(lengths))
        reader = codecs.getincrementaldecoder("utf-8")("replace")
        last = len(pieces) - 1
        texts = [reader.decode(raw, final=k == last) for k, (raw, _) in enumerate(pieces)]
        return "".join(texts), list(accumulate(map(len, texts)))

    def may_end(self, token: int, stop: str) -> bool:
        return _overlaps(self._piece(token)[0], stop.encode("utf-8"))


class GeneralText:
    """Any tokenizer: per-token strings where they add up to what `decode` says, else token by token."""

    context = 8
    """Ids of the prefix that are decoded along, so that a leading space is not stripped."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        self.tokenizer = tokenizer
        self._anchor = tokenizer.encode("a", add_special_tokens=False)
        self._pieces: dict[int, str] = {}

    def _decode(self, ids: Sequence[int]) -> str:
        return str(
            self.tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
        )

    def _after(self, before: Sequence[int], ids: Sequence[int]) -> str:
        return self._decode([*before, *ids])[len(self._decode(before)) :]

    def _piece(self, token: int) -> str:
        if token not in self._pieces:
            self._pieces[token] = self._after(self._anchor, [token])
        return self._pieces[token]

    def decode(self, ids: Sequence[int], before: Sequence[int]) -> tuple[str, list[int]]:
        if not ids:
            return "", []
        before = self._near(before)
        text = self._after(before, ids)
        pieces = [self._piece(i) for i in ids]
        if _LOST not in text and "".join(pieces) == text:
            return text, list(accumulate(map(len, pieces)))
        return text, self._ends(ids, before, text)

    def _near(self, before: Sequence[int]) -> list[int]:
        """The last few ids, from where a character begins (none is longer than four bytes)."""
        for count in range(self.context, self.context + 4):
            near = list(before[-count:])
            if not self._decode(near).startswith(_LOST):
                break
        return near

    def _ends(self, ids: Sequence[int], before: Sequence[int], text: str) -> list[int]:
        """Decode from the last but one complete character on; U+FFFD at the end waits for more bytes."""
        run, ends, done = [*before, *ids], list[int](), 0
        start, read = 0, len(before)
        for at in range(len(before) + 1, len(run) + 1):
            shown, now = self._decode(run[start:read]), self._decode(run[start:at])
            if not now.endswith(_LOST):
                done = min(done + max(0, len(now) - len(shown)), len(text))
                start, read = read, at
            ends.append(done)
        ends[-1] = len(text)
        return ends

    def may_end(self, token: int, stop: str) -> bool:
        piece = self._piece(token)
        if _LOST in piece and not stop.isascii():
            return True
        return any(_overlaps(p, stop) for p in {piece, piece.lstrip(" "), " " + piece})


def _overlaps(piece: bytes | str, stop: bytes | str) -> bool:
    """Whether `stop` lies in `piece`, or an end of it begins `piece`."""
    if stop in piece:  # type: ignore[operator]
        return True
    longest = min(len(piece), len(stop) - 1)
    return any(piece[:k] == stop[len(stop) - k :] for k in range(1, longest + 1))


def _byte_alphabet() -> dict[int, str]:
    """The printable character that byte-level BPE writes for each byte (Radford et al. 2019)."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [b for b in range(256) if b not in set(shown)]
    return {b: chr(b) for b in shown} | {b: chr(256 + k) for k, b in enumerate(hidden)}
