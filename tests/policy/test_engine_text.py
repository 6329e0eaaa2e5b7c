"""Text, ids and offsets agree for byte-level and other tokenizers, characters split over tokens included."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode

from preceptor.policy.engine_text import ByteText, GeneralText, text_of
from tests.policy.test_render import sentencepiece_like
from tests.tiny import tiny_tokenizer

BYTES = tiny_tokenizer()
BYTE_OF = {char: byte for byte, char in bytes_to_unicode().items()}


def byte_fallback() -> Any:
    """Llama 2's way: pieces for words, one token per byte for all else."""
    pieces = ["<unk>", *(f"<0x{b:02X}>" for b in range(256)), "▁", "a", "b", "▁a", "▁b", "é"]
    merges = [("▁", "a"), ("▁", "b")]
    core = Tokenizer(
        models.BPE({p: i for i, p in enumerate(pieces)}, merges, byte_fallback=True, unk_token="<unk>")
    )
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    core.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>")


FALLBACK = byte_fallback()
METASPACE = sentencepiece_like()


def decoded(tokenizer: Any, ids: list[int]) -> str:
    return tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)


def test_the_tokenizer_chooses_the_path():
    assert isinstance(text_of(BYTES), ByteText)
    assert isinstance(text_of(FALLBACK), GeneralText)
    assert isinstance(text_of(METASPACE), GeneralText)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, len(BYTES) - 1), max_size=40))
def test_any_byte_level_ids_decode_as_the_tokenizer_decodes_them(ids: list[int]):
    text, ends = ByteText(BYTES).decode(ids, [])
    assert text == decoded(BYTES, ids)
    assert len(ends) == len(ids)
    assert ends == sorted(ends)
    assert not ids or ends[-1] == len(text)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30), st.sampled_from(["bytes", "fallback"]))
def test_a_token_ends_where_the_whole_characters_so_far_end(text: str, kind: str):
    tokenizer = BYTES if kind == "bytes" else FALLBACK
    reader = text_of(tokenizer)
    before = tokenizer.encode("a", add_special_tokens=False)
    full = tokenizer.encode("a" + text.replace("▁", ""), add_special_tokens=False)
    if full[: len(before)] != before:
        return
    ids = full[len(before) :]
    got, ends = reader.decode(ids, before)
    assert got == decoded(tokenizer, full)[1:]
    raw = b""
    for token, end in zip(tokenizer.convert_ids_to_tokens(ids), ends, strict=True):
        if kind == "bytes":
            raw += bytes(BYTE_OF[c] for c in token)
        else:
            raw += (
                bytes([int(token[3:5], 16)]) if token.startswith("<0x") else token.replace("▁", " ").encode()
            )
        assert end == len(raw.decode("utf-8", "ignore"))


def test_a_character_belongs_to_the_token_that_completes_it():
    for tokenizer in (BYTES, FALLBACK):
        before = tokenizer.encode("a", add_special_tokens=False)
        ids = tokenizer.encode("a€b", add_special_tokens=False)[len(before) :]
        assert len(ids) == 4
        assert text_of(tokenizer).decode(ids, before) == ("€b", [0, 0, 1, 2])


def test_bytes_that_never_become_a_character_are_replaced_at_the_end():
    ids = BYTES.encode("a€", add_special_tokens=False)[:-1]
    text, ends = ByteText(BYTES).decode(ids, [])
    assert text == "a\N{REPLACEMENT CHARACTER}" == decoded(BYTES, ids)
    assert ends == [1, 1, 2]


def test_a_leading_space_is_kept_after_a_prefix():
    before = METASPACE.encode("a", add_special_tokens=False)
    ids = METASPACE.convert_tokens_to_ids(["▁b", "=", "▁a"])
    assert text_of(METASPACE).decode(ids, before) == (" b= a", [2, 3, 5])


def test_a_special_token_in_the_middle_is_shown():
    step = BYTES.convert_tokens_to_ids("<|step|>")
    ids = [*BYTES.encode("12", add_special_tokens=False), step]
    assert text_of(BYTES).decode(ids, []) == ("12<|step|>", [1, 2, 10])


@pytest.mark.parametrize("stop", ["\n", "\n\n", "Answer:", "€", "s. "])
def test_a_token_said_unable_to_end_a_stop_string_never_does(stop: str):
    """Every pair of tokens, by brute force, on a tokenizer with merged pieces."""
    reader = ByteText(BYTES)
    pieces = {i: reader.decode([i], [])[0] for i in range(len(BYTES))}
    for token, piece in pieces.items():
        if not reader.may_end(token, stop):
            assert all(not (stop[:k] + piece).count(stop) for k in range(len(stop)))
