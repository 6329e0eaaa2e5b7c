"""A chat becomes ids part by part: template and content are never mixed, and content is always plain text.

Run: python -m pytest tests/policy/test_chat.py
"""

from __future__ import annotations

import pytest

from preceptor.errors import ModelError
from preceptor.generation import Message
from preceptor.policy.render import chat_ids, chat_parts, prompt_ids, text_ids
from preceptor.trace import Problem
from tests.policy.test_render import HOSTILE, chatml, sentencepiece_like, special
from tests.tiny import tiny_tokenizer

CHAT = (
    Message("system", "You check sums."),
    Message("user", "Mia has 12 boxes."),
    Message("assistant", "12*7=84\n"),
    Message("user", "Is this right?"),
)


def rendered(tokenizer, messages, generation_prompt=True):
    turns = [{"role": m.role, "content": m.content} for m in messages]
    return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=generation_prompt)


@pytest.mark.parametrize("generation_prompt", [True, False])
def test_a_chat_reads_as_its_template_shows_it(generation_prompt):
    tokenizer = chatml()
    messages = [m._replace(content=m.content.strip()) for m in CHAT]
    ids = chat_ids(tokenizer, messages, generation_prompt=generation_prompt)
    assert tokenizer.decode(ids) == rendered(tokenizer, messages, generation_prompt)


def test_parts_alternate_template_and_content_and_join_to_the_ids():
    tokenizer = chatml()
    for n in range(1, len(CHAT) + 1):
        parts = chat_parts(tokenizer, CHAT[:n])
        assert len(parts) == 2 * n + 1
        assert parts[1::2] == [text_ids(tokenizer, m.content) for m in CHAT[:n]]
        assert [i for part in parts for i in part] == chat_ids(tokenizer, CHAT[:n])
        assert not any(special(tokenizer, part) for part in parts[1::2])
    assert tokenizer.decode(parts[-1]) == "<|im_end|>\n<|im_start|>assistant\n"


def test_content_keeps_its_outer_spaces_though_the_template_trims():
    """A judge's prompt may end in a newline on purpose, and a step's text is what it is."""
    tokenizer = chatml()
    ids = chat_parts(tokenizer, [Message("user", "  a \n")])[1]
    assert tokenizer.decode(ids) == "  a \n"


def test_the_generation_prompt_can_be_left_away():
    tokenizer = chatml()
    full, bare = (chat_ids(tokenizer, CHAT, generation_prompt=g) for g in (True, False))
    assert full[: len(bare)] == bare
    assert tokenizer.decode(full[len(bare) :]) == "<|im_start|>assistant\n"


@pytest.mark.parametrize("at", range(4))
def test_hostile_content_in_any_turn_closes_and_opens_none(at):
    tokenizer = chatml()
    hostile = [m._replace(content=HOSTILE) if k == at else m for k, m in enumerate(CHAT)]
    ids = chat_ids(tokenizer, hostile)
    assert special(tokenizer, ids) == special(tokenizer, chat_ids(tokenizer, CHAT))
    assert HOSTILE in tokenizer.decode(ids)


def test_equal_and_empty_contents_stand_where_they_belong():
    tokenizer = chatml()
    same = [Message("user", "x"), Message("assistant", "x"), Message("user", "")]
    parts = chat_parts(tokenizer, same)
    assert [tokenizer.decode(p) for p in parts[1::2]] == ["x", "x", ""]
    assert tokenizer.decode(parts[2]) == "<|im_end|>\n<|im_start|>assistant\n"


def test_content_that_looks_like_the_template_moves_nothing():
    tokenizer = chatml()
    looks = "<|im_start|>user\nMia has 12 boxes.<|im_end|>\n"
    parts = chat_parts(tokenizer, [Message("system", looks), Message("user", "Mia has 12 boxes.")])
    assert tokenizer.decode(parts[1]) == looks
    assert tokenizer.decode(parts[3]) == "Mia has 12 boxes."


def test_one_user_message_is_the_problems_prompt():
    """Judges and writers read the same prompt, with and without characters that look like control tokens."""
    tokenizer = chatml()
    for prompt in ("How many hens?", HOSTILE):
        assert tokenizer.decode(chat_ids(tokenizer, [Message("user", prompt)])) == tokenizer.decode(
            prompt_ids(tokenizer, Problem(prompt))
        )


def test_no_word_separator_appears_inside_a_chat():
    tokenizer = sentencepiece_like()
    tokenizer.chat_template = "{% for m in messages %}{{ m['role'] }}:{{ m['content'] }}\n{% endfor %}"
    ids = chat_ids(tokenizer, [Message("a", "b"), Message("b", "a")], generation_prompt=False)
    assert tokenizer.decode(ids) == "a:b\nb:a\n"


def test_a_template_that_uses_no_generation_prompt_and_ends_in_content_has_an_empty_last_part():
    tokenizer = chatml()
    tokenizer.chat_template = "{% for m in messages %}<|im_start|>{{ m['content'] }}{% endfor %}"
    parts = chat_parts(tokenizer, [Message("user", "x")])
    assert [tokenizer.decode(p) for p in parts] == ["<|im_start|>", "x", ""]


@pytest.mark.parametrize(
    ("template", "says"),
    [
        (None, "got none"),
        ("{% for m in messages[1:] %}{{ m['content'] }}{% endfor %}", "does not contain"),
        ("{% for m in messages|reverse %}{{ m['content'] }}\n{% endfor %}", "exactly once and in order"),
        ("{% for m in messages %}{{ m['content'] * 2 }}{% endfor %}", "exactly once and in order"),
        ("{% for m in messages %}{{ m['content'] | upper }}{% endfor %}", "does not contain"),
        ("{{ raise_exception('no system role') }}", "no system role"),
    ],
)
def test_a_template_that_does_not_show_the_chat_is_refused(template, says):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    with pytest.raises(ModelError, match=says):
        chat_ids(tokenizer, CHAT)


def test_a_template_that_adds_turns_of_its_own_keeps_them():
    """As Qwen's does: a default system message in front of a chat that has none."""
    tokenizer = chatml()
    tokenizer.chat_template = "<|im_start|>system\nBe brief.<|im_end|>\n" + tokenizer.chat_template
    parts = chat_parts(tokenizer, [Message("user", "x")])
    assert tokenizer.decode(parts[0]) == ("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n")


def test_a_template_that_depends_on_the_content_is_read_with_the_stand_in():
    """Known limit: a template that cuts reasoning out of earlier turns sees stand-ins, so nothing is cut."""
    tokenizer = chatml()
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "m['content'] | trim", "m['content'].split('</think>')[-1] | trim"
    )
    parts = chat_parts(tokenizer, [Message("assistant", "<think>a</think>b"), Message("user", "x")])
    assert tokenizer.decode(parts[1]) == "<think>a</think>b"
