"""Chats, given next words and given texts, against a real HTTP server that answers in the servers' shapes.

Run: python -m pytest tests/policy/test_openai_given.py
"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from preceptor.errors import InputError
from preceptor.generation import Chooser, Message, Reader, Request, Sampling
from preceptor.policy import retry
from preceptor.policy.openai import OpenAIPolicy
from preceptor.trace import Finish, Problem
from tests.policy.http_server import completion, serving

SUM = Problem("What is 6 times 7?", "42")
CHAT = (Message("system", "You check sums."), Message("user", "Is 6*7=42 {right}?"))
ASK = Request(SUM, messages=CHAT, sampling=Sampling(0.3, 0.5, 5, 99, ("\n",)))


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch):
    monkeypatch.setattr(retry, "FIRST_DELAY", 0.02)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def chat_answer(text: str, finish: str = "stop", **choice):
    message = {"role": "assistant", "content": text}
    choice = {"stop_reason": None, **choice}
    return {
        "choices": [{"message": message, "finish_reason": finish, **choice}],
        "usage": {"prompt_tokens": 30, "completion_tokens": 1},
    }


def chat_list(pairs, sampled: str = "Yes"):
    """The list as chat endpoints send it."""
    rows = [{"token": t, "logprob": lp, "bytes": list(t.encode())} for t, lp in pairs]
    content = [{"token": sampled, "logprob": -0.1, "top_logprobs": rows}]
    return chat_answer(sampled, "length", logprobs={"content": content})


def plain_list(pairs, sampled: str = " Yes"):
    """The list as completion endpoints send it."""
    logprobs = {"tokens": [sampled], "token_logprobs": [-0.1], "top_logprobs": [dict(pairs)]}
    return completion(sampled, "length", logprobs=logprobs)


def logs(**probs):
    return [(token.replace("_", " "), math.log(p)) for token, p in probs.items()]


def choose(answer, request=ASK, options=("Yes", "No"), **settings):
    with serving(lambda call: call.answer(answer)) as server:
        (got,) = OpenAIPolicy(server.url, "m", **settings).choose([request], options)
    return got


# Chats


@pytest.mark.parametrize("api", ["completions", "chat"])
def test_messages_go_to_the_chat_endpoint_whatever_the_policy_uses_for_prompts(api):
    with serving(lambda call: call.answer(chat_answer("It is."))) as server:
        (got,) = OpenAIPolicy(server.url, "m", api=api).generate([ASK])
    (sent,) = server.calls
    assert sent.path == "/v1/chat/completions"
    assert sent.body["messages"] == [
        {"role": "system", "content": "You check sums."},
        {"role": "user", "content": "Is 6*7=42 {right}?"},
    ]
    assert "prompt" not in sent.body
    assert "continue_final_message" not in sent.body
    assert (got.text, got.finish) == ("It is.", Finish.STOP)


def test_a_prefix_goes_on_as_the_answer_to_the_chat():
    with serving(lambda call: call.answer(chat_answer("42."))) as server:
        OpenAIPolicy(server.url, "m").generate([replace(ASK, prefix="It is ")])
    body = server.calls[0].body
    assert body["messages"][2:] == [{"role": "assistant", "content": "It is "}]
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)


def test_chats_and_prompts_of_one_batch_keep_their_order():
    def behave(call):
        chat = "messages" in call.body
        call.answer(chat_answer("chat") if chat else completion("plain", stop_reason=None))

    with serving(behave) as server:
        got = OpenAIPolicy(server.url, "m").generate([ASK, replace(ASK, messages=()), ASK])
    assert [c.text for c in got] == ["chat", "plain", "chat"]


def test_a_message_that_no_server_can_take_is_an_item_error_without_a_call():
    bad = replace(ASK, messages=(Message("user", "half \ud800 a pair"),))
    with serving(lambda call: call.answer(chat_list(logs(Yes=0.5, No=0.5)))) as server:
        policy = OpenAIPolicy(server.url, "m")
        assert policy.generate([bad])[0].error.kind == "bad-prompt"
        assert policy.choose([bad], ("Yes", "No"))[0].error.kind == "bad-prompt"
    assert server.calls == []


# Given next words


def test_the_policy_is_a_chooser_and_a_reader():
    policy = OpenAIPolicy("http://localhost:1/v1", "m")
    assert isinstance(policy, Chooser)
    assert isinstance(policy, Reader)


@pytest.mark.parametrize("messages", [CHAT, ()])
def test_words_are_weighed_from_one_token_of_the_models_own_distribution(messages):
    request = replace(ASK, messages=messages)
    answer = (chat_list if messages else plain_list)(logs(Yes=0.6, Well=0.2, No=0.15))
    with serving(lambda call: call.answer(answer)) as server:
        (got,) = OpenAIPolicy(server.url, "m").choose([request], ("Yes", "No"))
    body = server.calls[0].body
    # Not the request's own 0.3, 0.5, 5, 99 and stop: they would change what is listed.
    assert {k: body[k] for k in ("max_tokens", "temperature", "top_p")} == {
        "max_tokens": 1,
        "temperature": 1.0,
        "top_p": 1.0,
    }
    assert not {"stop", "top_k"} & set(body)
    assert (body["logprobs"], body.get("top_logprobs")) == ((True, 20) if messages else (20, None))
    assert got.probs == pytest.approx((0.8, 0.2))
    assert got.mass == pytest.approx(0.75)
    assert got.error is None
    assert (got.usage.generated, got.usage.calls) == ((1, 1) if messages else (3, 1))


def test_a_space_before_the_word_is_left_to_the_word():
    """Behind "Verdict: " a tokenizer has hardly ever seen a word: the space belongs to " Yes"."""
    for messages in (CHAT, ()):
        request = replace(ASK, messages=messages, prefix="Verdict: ")
        answer = (chat_list if messages else plain_list)(logs(_Yes=0.5, _No=0.3))
        with serving(lambda call, answer=answer: call.answer(answer)) as server:
            (got,) = OpenAIPolicy(server.url, "m").choose([request], ("Yes", "No"))
        body = server.calls[0].body
        assert (body["messages"][-1]["content"] if messages else body["prompt"]).endswith("Verdict:")
        assert got.probs == pytest.approx((0.625, 0.375))


def test_all_spellings_with_a_space_count_and_other_words_do_not():
    pairs = [
        (" Yes", math.log(0.3)),
        ("Yes", math.log(0.1)),
        ("▁Yes", math.log(0.1)),
        ("ĠNo", math.log(0.1)),
        ("No", math.log(0.02)),
        ("Not", math.log(0.2)),  # begins with an option
        ("yes", math.log(0.05)),  # another word, as case matters
        ("Y", math.log(0.03)),  # could go on in other ways
    ]
    got = choose(chat_list(pairs), options=(" Yes", " No"))
    assert got.probs == pytest.approx((0.5 / 0.62, 0.12 / 0.62))
    assert got.mass == pytest.approx(0.62)


def test_an_unlisted_word_gets_the_smallest_listed_probability_and_this_is_said():
    got = choose(chat_list(logs(Yes=0.9, Well=0.05, So=0.01)))
    assert got.probs == pytest.approx((0.9 / 0.91, 0.01 / 0.91))
    assert got.mass is None
    assert got.error.kind == "bounded-option"
    assert "'No'" in got.error.message


def test_a_sampled_token_beyond_the_list_is_no_bound():
    """Servers add the sampled token to a list of k; it may be far rarer than what is not listed."""
    rare = [*logs(Yes=0.5, Well=0.3), ("zebra", -20.0)]
    assert choose(chat_list(rare), top_logprobs=2).probs == pytest.approx((0.5 / 0.8, 0.3 / 0.8))
    known = [*logs(Yes=0.5, Well=0.3), ("No", -20.0)]
    got = choose(chat_list(known), top_logprobs=2)
    assert got.probs[1] == pytest.approx(math.exp(-20) / 0.5, rel=1e-3)
    assert got.error is None


def test_neither_word_listed_is_no_score():
    got = choose(chat_list(logs(Well=0.6, So=0.2)))
    assert (got.probs, got.mass, got.error.kind) == (None, None, "no-option")
    assert "'Well'" in got.error.message
    assert got.usage.generated == 1


def test_very_unlikely_words_are_still_weighed():
    got = choose(chat_list([("Well", -0.0), ("Yes", -900.0), ("No", -901.0)]))
    assert got.probs == pytest.approx((1 / (1 + math.exp(-1)), 1 / (1 + math.e)))
    assert got.mass == 0.0


@pytest.mark.parametrize(
    "logprobs",
    [
        None,
        7,
        {"content": None},
        {"content": []},
        {"content": [{"token": "Yes", "logprob": -0.1}]},
        {"content": [{"token": "Yes", "logprob": -0.1, "top_logprobs": [{"token": "Yes"}, 3]}]},
        {"top_logprobs": [{"Yes": float("-inf"), "No": "x"}]},
        {"top_logprobs": [None]},
    ],
)
def test_a_server_without_lists_is_a_typed_error(logprobs):
    got = choose(chat_answer("Yes", "length", logprobs=logprobs))
    assert (got.probs, got.error.kind) == (None, "no-logprobs")


def test_options_that_cannot_be_told_apart_are_refused_before_any_call():
    policy = OpenAIPolicy("http://localhost:1/v1", "m")
    for options in (("Yes", " Yes"), ("Yes",), ("Yes", " ")):
        with pytest.raises(InputError, match="options"):
            policy.choose([ASK], options)


def test_a_failed_call_is_its_own_items_error_only():
    def behave(call):
        if "bad" in call.body["messages"][-1]["content"]:
            call.answer({"error": "logprobs not allowed"}, 400)
        else:
            call.answer(chat_list(logs(Yes=0.5, No=0.5)))

    bad = replace(ASK, messages=(Message("user", "bad"),))
    with serving(behave) as server:
        got = OpenAIPolicy(server.url, "m").choose([ASK, bad, ASK], ("Yes", "No"))
    assert [c.error and c.error.kind for c in got] == [None, "http-400", None]


# Given texts


def echo(tokens, logprobs, text=None, **usage):
    """An echoed prompt, with one sampled token at the end as servers send it."""
    shown = "".join(tokens) if text is None else text
    answer = completion(shown, "length", logprobs={"tokens": tokens, "token_logprobs": logprobs})
    answer["usage"] = {"prompt_tokens": len(tokens) - 1, "completion_tokens": 1, **usage}
    return answer


def read(answer, text, request=None):
    with serving(lambda call: call.answer(answer)) as server:
        policy = OpenAIPolicy(server.url, "m")
        (got,) = policy.likelihood([request or Request(SUM, prefix="6*7=")], [text])
    return got, server.calls


TOKENS = ["What", " is", " 6", " times", " 7", "?", "\n", "6", "*", "7", "=", "4", "2", "\n", "Answer"]
LOGPROBS = [None, -1, -2, -3, -4, -5, -6, -7, -8, -9, -10, -0.25, -0.5, -0.75, -99]


def test_only_the_given_text_is_read_not_its_prompt_and_not_the_sampled_token():
    got, calls = read(echo(TOKENS, LOGPROBS), "42\n")
    assert (got.logprobs, got.token_ends) == ((-0.25, -0.5, -0.75), (1, 2, 3))
    assert (got.error, got.entropies, got.token_ids) == (None, None, ())
    assert calls[0].path == "/v1/completions"
    assert calls[0].body["prompt"] == "What is 6 times 7?\n6*7=42\n"
    assert (calls[0].body["echo"], calls[0].body["max_tokens"]) == (True, 1)
    assert (got.usage.scored, got.usage.prefilled, got.usage.generated) == (3, 11, 1)


def test_a_token_the_server_puts_in_front_is_passed_over():
    got, _ = read(echo(["<s>", *TOKENS], [None, -1, *LOGPROBS[1:]]), "42\n")
    assert got.logprobs == (-0.25, -0.5, -0.75)
    got, _ = read(echo(["<s>", *TOKENS], [None, -1, *LOGPROBS[1:]], "".join(TOKENS)), "42\n")
    assert got.logprobs == (-0.25, -0.5, -0.75)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (completion("Answer", "length", logprobs={"tokens": ["A"], "token_logprobs": [-1.0]}), "no-echo"),
        (completion("".join(TOKENS), "length"), "no-logprobs"),
        (echo(TOKENS, [*LOGPROBS[:12], None, *LOGPROBS[13:]]), "no-logprobs"),
        (echo([*TOKENS[:10], "=4", *TOKENS[12:]], [*LOGPROBS[:10], *LOGPROBS[11:]]), "merged-token"),
        (echo([*TOKENS[:5], "\ufffd", *TOKENS[6:]], LOGPROBS, "".join(TOKENS)), "unaligned"),
        ({"choices": []}, "empty-choices"),
    ],
)
def test_a_text_that_cannot_be_read_exactly_has_no_likelihood(answer, kind):
    got, _ = read(answer, "42\n")
    assert got.error.kind == kind
    assert (got.logprobs, got.token_ends) == ((), ())


def test_a_chat_has_no_likelihood_and_an_empty_text_costs_nothing():
    got, calls = read(echo(TOKENS, LOGPROBS), "42\n", ASK)
    assert (got.error.kind, calls) == ("no-chat", [])
    got, calls = read(echo(TOKENS, LOGPROBS), "")
    assert (got.error, got.logprobs, calls) == (None, (), [])
