"""Specifies the OpenAI-compatible policy against a real HTTP server that behaves well, badly, or not at all.

Run: python -m pytest tests/policy/test_openai.py
"""

from __future__ import annotations

import asyncio
import json
import pickle
import random
import signal
import threading
import time
import warnings
from dataclasses import replace

import pytest

from preceptor.errors import InputError, PreceptorError, ServerUnreachable
from preceptor.generation import Policy, Request, Sampling
from preceptor.policy import retry
from preceptor.policy.openai import OpenAIPolicy
from preceptor.trace import Finish, Problem
from tests.policy.http_server import closed_port, completion, serving

MIA = Problem("Mia has 12 boxes with 7 pens each. How many pens?", "84")
ASK = Request(MIA, prefix="12*7=84\n", seed=3)
LINES = Sampling(stop=("\n",), max_tokens=50)


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch):
    monkeypatch.setattr(retry, "FIRST_DELAY", 0.02)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def draws(n: int, **settings) -> list[Request]:
    return [replace(ASK, draw=i, **settings) for i in range(n)]


def one(server, request=ASK, **settings):
    (continuation,) = OpenAIPolicy(server.url, "m", **settings).generate([request])
    return continuation


# What is sent and what comes back


def test_a_completion_is_asked_for_with_prompt_prefix_and_the_seed_of_its_stream():
    with serving(lambda c: c.answer(completion("Answer: 84"))) as server:
        policy = OpenAIPolicy(server.url + "/", "tiny", api_key="sk-test")
        assert isinstance(policy, Policy)
        (got,) = policy.generate([replace(ASK, sampling=Sampling(0.7, 0.9, 40, 99, ("\n\n",)))])
    sent = server.calls[0]
    assert sent.path == "/v1/completions"
    assert sent.headers["authorization"] == "Bearer sk-test"
    assert sent.body["prompt"] == MIA.prompt + "\n" + "12*7=84\n"
    assert {k: sent.body[k] for k in ("model", "temperature", "top_p", "top_k", "max_tokens")} == {
        "model": "tiny",
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 40,
        "max_tokens": 99,
    }
    assert sent.body["seed"] == ASK.stream % 2**31
    assert (got.text, got.error, got.token_ids) == ("Answer: 84", None, None)


def test_settings_the_official_api_refuses_are_not_sent_unless_asked_for():
    with serving(lambda c: c.answer(completion("x"))) as server:
        one(server, logprobs=False)
    assert set(server.calls[0].body) == {"model", "max_tokens", "temperature", "top_p", "seed", "prompt"}
    assert "authorization" not in {k.lower() for k in server.calls[0].headers}


def test_chat_sends_the_prefix_as_an_unfinished_assistant_message_and_nothing_odd_without_one():
    def chat(call):
        call.answer(
            {
                "choices": [{"message": {"role": "assistant", "content": "84"}, "finish_reason": "stop"}],
                "usage": {
                    "prompt_tokens": 30,
                    "completion_tokens": 2,
                    "prompt_tokens_details": {"cached_tokens": 16},
                },
            }
        )

    with serving(chat) as server:
        got = one(server, api="chat")
        one(server, replace(ASK, prefix=""), api="chat")
    first, second = server.calls
    assert first.path == "/v1/chat/completions"
    assert first.body["messages"] == [
        {"role": "user", "content": MIA.prompt},
        {"role": "assistant", "content": "12*7=84\n"},
    ]
    assert first.body["continue_final_message"] is True
    assert first.body["add_generation_prompt"] is False
    assert second.body["messages"] == [{"role": "user", "content": MIA.prompt}]
    assert "continue_final_message" not in second.body
    assert (got.text, got.usage.generated, got.usage.prefilled, got.usage.reused) == ("84", 2, 14, 16)


def test_draws_of_one_prefix_share_its_bytes_and_differ_in_their_seed_only():
    with serving(lambda c: c.answer(completion("x"))) as server:
        OpenAIPolicy(server.url, "m").generate(draws(5))
    bodies = [c.body for c in server.calls]
    assert len({b["seed"] for b in bodies}) == 5
    assert len({json.dumps({k: v for k, v in b.items() if k != "seed"}) for b in bodies}) == 1


def test_a_draw_does_not_depend_on_its_neighbors():
    def echo(call):
        call.answer(completion(f"{call.body['seed']}"))

    with serving(echo) as server:
        policy = OpenAIPolicy(server.url, "m", concurrency=3)
        together = [c.text for c in policy.generate(draws(8))]
        alone = [policy.generate([r])[0].text for r in draws(8)]
    assert together == alone


def test_order_is_kept_though_answers_arrive_in_another():
    def slow_first(call):
        time.sleep(0.2 if call.body["seed"] == draws(1)[0].stream % 2**31 else 0.0)
        call.answer(completion(str(call.body["seed"])))

    requests = draws(12)
    with serving(slow_first) as server:
        got = OpenAIPolicy(server.url, "m", concurrency=6).generate(requests)
    assert [c.text for c in got] == [str(r.stream % 2**31) for r in requests]


def test_no_more_calls_are_in_flight_than_allowed_and_no_fewer_than_possible():
    def slow(call):
        time.sleep(0.05)
        call.answer(completion("x"))

    with serving(slow) as server:
        OpenAIPolicy(server.url, "m", concurrency=4).generate(draws(24))
    assert server.most == 4


def test_nothing_asked_means_nothing_called():
    with closed_port() as url:
        assert OpenAIPolicy(url, "m").generate([]) == []


def test_it_works_inside_a_running_loop_and_from_several_threads():
    with serving(lambda c: c.answer(completion("x"))) as server:
        policy = OpenAIPolicy(server.url, "m")

        async def inside():
            return policy.generate(draws(3))

        assert [c.text for c in asyncio.run(inside())] == ["x"] * 3
        found = []
        threads = [threading.Thread(target=lambda: found.extend(policy.generate(draws(4)))) for _ in range(3)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert len(found) == 12
        assert all(c.error is None for c in found)


# Where it stopped


def test_length_is_not_an_end_of_text():
    with serving(lambda c: c.answer(completion("12*7", "length", stop_reason=None))) as server:
        assert one(server, replace(ASK, sampling=LINES)).finish is Finish.LENGTH


@pytest.mark.parametrize(
    ("text", "choice", "kept", "finish"),
    [
        ("84+1=85", {"stop_reason": "\n"}, "84+1=85\n", Finish.BOUNDARY),  # vLLM, stop string
        ("84+1=85\n", {"stop_reason": "\n"}, "84+1=85\n", Finish.BOUNDARY),  # ... with the text included
        ("Answer: 84", {"stop_reason": None}, "Answer: 84", Finish.STOP),  # ... end of text
        ("Answer: 84", {"stop_reason": 151643}, "Answer: 84", Finish.STOP),  # ... a stop token
        ("84+1=85", {"matched_stop": "\n"}, "84+1=85\n", Finish.BOUNDARY),  # SGLang, stop string
        ("Answer: 84", {"matched_stop": 2}, "Answer: 84", Finish.STOP),  # ... end of text
        ("Answer: 84", {"stop_reason": "</done>"}, "Answer: 84", Finish.STOP),  # the server's own stop string
    ],
)
def test_a_server_that_names_its_stop_is_believed(text, choice, kept, finish):
    with serving(lambda c: c.answer(completion(text, **choice))) as server:
        got = one(server, replace(ASK, sampling=replace(LINES, stop=("\n\n\n", "\n"))))
    assert (got.text, got.finish) == (kept, finish)
    assert len(server.calls) == 1


def plain_server(whole: dict[int, str]):
    """Behaves as the official API: cuts at the stop string, removes it, and does not say so."""

    def behave(call):
        text = whole[call.body["seed"]]
        for stop in call.body.get("stop", []):
            text = text.split(stop)[0]
        call.answer(completion(text))

    return behave


def test_a_plain_server_is_asked_again_without_stops_so_that_end_and_boundary_are_told_apart():
    requests = draws(3, sampling=LINES)
    texts = ["84+1=85\n85+1=86\n", "Answer: 84", "\nAnswer: 84"]
    whole = {r.stream % 2**31: t for r, t in zip(requests, texts, strict=True)}
    with serving(plain_server(whole)) as server:
        policy = OpenAIPolicy(server.url, "m", concurrency=1)
        got = policy.generate(requests)
        assert [(c.text, c.finish) for c in got] == [
            ("84+1=85\n", Finish.BOUNDARY),
            ("Answer: 84", Finish.STOP),
            ("\n", Finish.BOUNDARY),
        ]
        # The server is asked with stops once, and never again.
        assert ["stop" in c.body for c in server.calls] == [True, False, False, False]
        policy.generate(requests)
        assert len(server.calls) == 7
    assert [c.usage.calls for c in got] == [2, 1, 1]
    assert got[0].usage.generated == 6


def test_of_several_stop_strings_the_one_completed_first_in_the_text_cuts():
    request = replace(ASK, sampling=Sampling(stop=("\n\n", "=8", "zz")))
    with serving(plain_server({request.stream % 2**31: "12*7=84\n\nzz"})) as server:
        assert one(server, request).text == "12*7=8"


def test_more_stop_strings_than_servers_take_are_cut_here():
    request = replace(ASK, sampling=Sampling(stop=("v", "w", "x", "y", "z")))
    with serving(lambda c: c.answer(completion("abcxyz", stop_reason=None))) as server:
        got = one(server, request)
    assert (got.text, got.finish, len(server.calls)) == ("abcx", Finish.BOUNDARY, 1)
    assert "stop" not in server.calls[0].body


def test_without_stop_strings_a_plain_server_is_not_asked_twice():
    with serving(lambda c: c.answer(completion("Answer: 84\n"))) as server:
        assert one(server).finish is Finish.STOP
    assert len(server.calls) == 1


# Log-probabilities and usage


def lp(tokens, logprobs):
    return {"logprobs": {"tokens": tokens, "token_logprobs": logprobs}}


@pytest.mark.parametrize(
    ("text", "finish", "choice", "ends", "logprobs"),
    [
        ("12*7", "length", lp(["12", "*", "7"], [-0.5, -1, -0.25]), (2, 3, 4), (-0.5, -1.0, -0.25)),
        ("12", "stop", lp(["12", "</s>"], [-0.5, -0.1]), (2, 2), (-0.5, -0.1)),  # the end-of-text token
        ("12", "length", lp(["12", "</s>"], [-0.5, -0.1]), None, None),  # no end of text, no such token
        ("12", "stop", lp(["12", "x", "y"], [-1, -1, -1]), None, None),  # two tokens too many
        ("é", "stop", lp(["\ufffd", "\ufffd"], [-1, -1]), None, None),  # one character in two tokens
        ("12", "stop", lp(["12"], [None]), None, None),
        ("12", "stop", lp(["12"], [float("nan")]), None, None),
        ("12", "stop", lp(["12"], ["-1"]), None, None),
        ("12", "stop", lp(["1", "2"], [-1]), None, None),
        ("12", "stop", lp([1, 2], [-1, -1]), None, None),
        ("12", "stop", {"logprobs": [1]}, None, None),
        ("12", "stop", {}, None, None),
    ],
)
def test_log_probabilities_are_given_only_where_the_tokens_spell_the_text(
    text, finish, choice, ends, logprobs
):
    with serving(lambda c: c.answer(completion(text, finish, **choice))) as server:
        got = one(server)
    assert (got.text, got.token_ends, got.logprobs) == (text, ends, logprobs)


def test_chat_log_probabilities_are_read_too():
    content = [{"token": "8", "logprob": -0.5}, {"token": "4", "logprob": -0.25}]
    choice = {"message": {"content": "84"}, "finish_reason": "length", "logprobs": {"content": content}}
    with serving(lambda c: c.answer({"choices": [choice]})) as server:
        got = one(server, api="chat")
    assert (got.token_ends, got.logprobs) == ((1, 2), (-0.5, -0.25))


def test_log_probabilities_survive_a_cut_on_a_token_boundary_and_only_there():
    request = replace(ASK, sampling=LINES)
    tokens = ["84", "\n", "85", "</s>"]
    with serving(lambda c: c.answer(completion("84\n85", **lp(tokens, [-1, -2, -3, -4])))) as server:
        got = one(server, request)
    assert (got.text, got.token_ends, got.logprobs) == ("84\n", (2, 3), (-1.0, -2.0))
    with serving(lambda c: c.answer(completion("84\n\n85", **lp(["84", "\n\n", "85"], [-1] * 3)))) as server:
        got = one(server, request)
    assert (got.text, got.token_ends, got.logprobs) == ("84\n", None, None)


def test_usage_without_a_usage_object_is_counted_from_tokens_or_said_to_be_unknown():
    def without(choice):
        answer = completion("84", **choice)
        del answer["usage"]
        return answer

    with serving(lambda c: c.answer(without(lp(["8", "4"], [-1, -1])))) as server, warnings.catch_warnings():
        warnings.simplefilter("error")
        assert one(server).usage.generated == 2
    with serving(lambda c: c.answer(without({}))) as server, pytest.warns(RuntimeWarning, match="no usage"):
        assert one(server).usage.generated == 0


def test_seconds_of_a_batch_add_up_to_its_wall_time():
    def slow(call):
        time.sleep(0.1)
        call.answer(completion("x"))

    with serving(slow) as server:
        began = time.monotonic()
        got = OpenAIPolicy(server.url, "m", concurrency=8).generate(draws(8))
        wall = time.monotonic() - began
    assert 0.1 <= sum(c.usage.seconds for c in got) <= wall


# A server that misbehaves


def answers(call):
    call.answer(completion("x"))


def truncated(call):
    call.start(200, 1000)
    call.http.wfile.write(b'{"choices": [')
    call.drop()


def surrogate(call):
    call.answer(b'{"choices": [{"text": "a\\ud800", "finish_reason": "stop"}]}')


def chooses(**choice):
    return lambda call: call.answer({"choices": [choice]})


@pytest.mark.parametrize(
    ("behave", "kind", "says", "attempts"),
    [
        (lambda c: c.answer({"error": {"message": "bad\x1b[31m seed"}}, 400), "http-400", "bad [31m seed", 1),
        (lambda c: c.answer({"detail": "no"}, 404), "http-404", "does the base URL end in /v1", 1),
        (lambda c: c.answer(b"<html>busy", 503), "http-503", "busy", 3),
        (lambda c: c.answer([], 500), "http-500", "500", 3),
        (lambda c: c.answer({"error": "late"}, 408), "http-408", "late", 3),
        (lambda c: c.answer({}, 409), "http-409", "409", 3),
        (lambda c: c.answer({}, 425), "http-425", "425", 3),
        (lambda c: c.answer({}, 422), "http-422", "422", 1),
        (lambda c: c.answer({}, 307, location="http://example.invalid"), "http-307", "307", 1),
        (truncated, "truncated-body", "broke off", 3),
        (lambda c: c.drop(), "connection", "disconnected", 3),
        (lambda c: c.answer(b'{"choices": ['), "bad-body", '{"choices": [', 1),
        (lambda c: c.answer(b"\xff\xfe"), "bad-body", "JSON", 1),
        (lambda c: c.answer(b"[" * 100_000), "bad-body", "JSON", 1),
        (lambda c: c.answer(b"not gzip at all", content_encoding="gzip"), "bad-body", "decompressed", 1),
        (lambda c: c.answer([]), "bad-body", "got list", 1),
        (lambda c: c.answer({"choices": []}), "empty-choices", "no choice", 1),
        (lambda c: c.answer({"choices": None}), "bad-body", "choices", 1),
        (lambda c: c.answer({"choices": ["x"]}), "bad-body", "list of objects", 1),
        (chooses(text=7, finish_reason="stop"), "bad-body", "got int", 1),
        (chooses(text="x", finish_reason=None), "bad-body", "'None'", 1),
        (chooses(text="x", finish_reason=["stop"]), "bad-body", "finish_reason", 1),
        (chooses(text="", finish_reason="content_filter"), "content-filter", "filter", 1),
        (surrogate, "bad-body", "U+D800", 1),
    ],
)
def test_a_bad_answer_is_an_error_of_its_item_and_the_rest_finish(behave, kind, says, attempts):
    requests = draws(5)
    bad = requests[2].stream % 2**31

    def sometimes(call):
        (behave if call.body["seed"] == bad else answers)(call)

    with serving(sometimes) as server:
        got = OpenAIPolicy(server.url, "m", retries=2).generate(requests)
    assert [c.text for c in got] == ["x", "x", "", "x", "x"]
    assert (got[2].finish, got[2].error.kind) == (Finish.ERROR, kind)
    assert says in got[2].error.message
    assert sum(c.body["seed"] == bad for c in server.calls) == attempts
    if attempts > 1:
        assert f"{attempts} attempts" in got[2].error.message
    assert all(c.isprintable() for c in got[2].error.message)


@pytest.mark.parametrize("status", [500, 429])
def test_two_failures_then_success_is_success(status):
    failed = []

    def behave(call):
        if len(failed) < 2:
            failed.append(call)
            call.answer({}, status)
        else:
            answers(call)

    with serving(behave) as server:
        assert one(server).text == "x"
    assert len(server.calls) == 3


def test_retry_after_is_waited_for():
    def behave(call):
        first = len(server.calls) == 1
        call.answer({} if first else completion("x"), 429 if first else 200, retry_after="0.5")

    with serving(behave) as server:
        assert one(server).text == "x"
    assert server.calls[1].at - server.calls[0].at >= 0.5


def test_a_retry_after_beyond_the_patience_is_given_up_at_once():
    began = time.monotonic()
    with serving(lambda c: c.answer({}, 429, retry_after="3600")) as server:
        got = one(server, max_wait=5)
    assert time.monotonic() - began < 2
    assert got.error.kind == "http-429"
    assert "max_wait=5 s" in got.error.message
    assert len(server.calls) == 1


def silent(call):
    time.sleep(5.0)


def drip(call):
    call.start(200, 100)
    for _ in range(50):
        call.http.wfile.write(b" ")
        call.http.wfile.flush()
        time.sleep(0.1)


@pytest.mark.parametrize("behave", [silent, drip])
def test_an_attempt_ends_at_its_timeout_even_if_bytes_drip(behave):
    began = time.monotonic()
    with serving(behave) as server:
        got = OpenAIPolicy(server.url, "m", timeout=0.2, retries=1).generate(draws(6))
        took = time.monotonic() - began
    assert {c.error.kind for c in got} == {"timeout"}
    assert took < 2.5


def test_all_attempts_together_end_at_max_wait():
    began = time.monotonic()
    with serving(silent) as server:
        got = one(server, timeout=0.2, retries=1000, max_wait=0.7)
        took = time.monotonic() - began
    assert got.error.kind == "timeout"
    assert took < 2.5


def test_a_server_that_dies_half_way_costs_one_round_of_retries_not_one_per_request():
    def behave(call):
        if len(server.calls) <= 4:
            answers(call)
        else:
            call.drop()

    with serving(behave) as server:
        got = OpenAIPolicy(server.url, "m", concurrency=2, retries=3).generate(draws(60))
    assert [c.error is None for c in got].count(True) == 4
    assert {c.error.kind for c in got if c.error} == {"connection"}
    # 56 lost requests, of which at most two (those in flight) are tried four times.
    assert len(server.calls) <= 4 + 56 + 2 * 3


def test_a_server_that_comes_back_is_used_again_in_full():
    def behave(call):
        if 2 <= len(server.calls) <= 6:
            call.drop()
        else:
            answers(call)

    with serving(behave) as server:
        got = OpenAIPolicy(server.url, "m", concurrency=1, retries=1).generate(draws(12))
    lost = [c.error is not None for c in got]
    assert lost[0] is False
    assert lost[-6:] == [False] * 6


def test_an_unreachable_server_is_one_error_that_says_what_to_do():
    began = time.monotonic()
    with closed_port() as url, pytest.raises(ServerUnreachable) as caught:
        OpenAIPolicy(url, "m", retries=2).generate(draws(5000))
    assert time.monotonic() - began < 5
    assert url in str(caught.value)
    assert "Start the server" in str(caught.value)
    assert isinstance(caught.value, ConnectionError)
    assert isinstance(pickle.loads(pickle.dumps(caught.value)), ServerUnreachable)


def test_an_unknown_host_is_unreachable_too():
    with pytest.raises(ServerUnreachable, match=r"nowhere\.invalid"):
        OpenAIPolicy("http://nowhere.invalid/v1", "m", retries=0).generate(draws(2))


def test_a_text_that_no_server_can_take_is_an_item_error_without_a_call():
    requests = [ASK, replace(ASK, prefix="a\ud800b"), replace(ASK, sampling=Sampling(stop=("\udfff",)))]
    requests.append(replace(ASK, problem=Problem("lone \udc80 half")))
    odd = replace(ASK, prefix="tab\tnul\0bell\a\u2028\U0001f600")
    with serving(lambda c: c.answer(completion("x", stop_reason=None))) as server:
        got = OpenAIPolicy(server.url, "m").generate([*requests, odd])
    assert [c.error and c.error.kind for c in got] == [None, "bad-prompt", "bad-prompt", "bad-prompt", None]
    assert "U+D800 at character 1" in got[1].error.message
    assert len(server.calls) == 2
    assert MIA.prompt + "\n" + odd.prefix in {c.body["prompt"] for c in server.calls}


# Back-off


def test_back_off_is_fully_jittered_doubles_and_is_capped(monkeypatch):
    monkeypatch.setattr(retry, "FIRST_DELAY", 0.5)
    rng = random.Random(0)
    for attempt, ceiling in [(1, 0.5), (2, 1.0), (3, 2.0), (7, 30.0), (10_000, 30.0)]:
        waits = [retry.delay(attempt, None, rng.uniform) for _ in range(2000)]
        assert min(waits) < 0.02 * ceiling
        assert 0.98 * ceiling < max(waits) <= ceiling
        assert abs(sum(waits) / len(waits) - ceiling / 2) < 0.05 * ceiling
    assert retry.delay(1, 7.0, lambda low, high: high) == 7.5


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("3", 3.0),
        ("0.25", 0.25),
        ("-5", 0.0),
        ("soon", None),
        ("inf", None),
        ("nan", None),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 40.0),
        ("Thu, 01 Jan 1970 00:00:10 GMT", 0.0),
        ("", None),
    ],
)
def test_retry_after_is_read_as_number_or_date(header, seconds):
    assert retry.parse_retry_after(header, now=60.0) == seconds


# Interruption, identity, secrets


@pytest.fixture
def interruptible():
    """A shell starts background jobs with the interrupt ignored, and then there is nothing to test."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_cancels_the_calls_in_flight_and_goes_on(interruptible):
    with serving(silent) as server:
        policy = OpenAIPolicy(server.url, "m", concurrency=4)
        main = threading.main_thread().ident
        threading.Timer(0.4, signal.pthread_kill, (main, signal.SIGINT)).start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            policy.generate(draws(40))
        assert time.monotonic() - began < 3
        assert len(server.calls) == 4
    assert not any(t.name == "preceptor-calls" for t in threading.enumerate())


def test_the_fingerprint_names_address_model_and_api_but_not_key_or_patience():
    base = OpenAIPolicy("http://h/v1", "m")
    same = OpenAIPolicy("http://h/v1/", "m", api_key="sk-secret-123", timeout=1, concurrency=1)
    assert base.fingerprint == same.fingerprint
    others = [OpenAIPolicy("http://h/v2", "m"), OpenAIPolicy("http://h/v1", "n")]
    others.append(OpenAIPolicy("http://h/v1", "m", api="chat"))
    assert len({p.fingerprint for p in [base, *others]}) == 4


def test_the_key_shows_in_no_repr_error_or_message(monkeypatch):
    key = "sk-very-secret-0123456789"
    monkeypatch.setenv("OPENAI_API_KEY", key)

    def tell(call):
        call.answer({"error": {"message": f"Incorrect API key {call.headers['authorization']}"}}, 401)

    with serving(tell) as server:
        policy = OpenAIPolicy(server.url, "m")
        (got,) = policy.generate([ASK])
    assert server.calls[0].headers["authorization"] == f"Bearer {key}"
    assert got.error.kind == "http-401"
    with closed_port() as url, pytest.raises(ServerUnreachable) as caught:
        OpenAIPolicy(url, "m", retries=0).generate([ASK])
    with pytest.raises(InputError) as broken:
        OpenAIPolicy("http://h/v1", "m", api_key=key + "\n")
    for shown in (repr(policy), got.error.message, str(caught.value), str(broken.value)):
        assert "secret" not in shown


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8000/v1",
        "ftp://h/v1",
        "http://",
        "http://me:pw-hidden@h/v1",
        "http://h/v1?key=pw-hidden",
    ],
)
def test_an_address_that_cannot_be_one_is_refused_at_once(url):
    with pytest.raises(InputError, match="expected http") as caught:
        OpenAIPolicy(url, "m")
    assert "pw-hidden" not in str(caught.value)


@pytest.mark.parametrize(
    "settings", [{"concurrency": 0}, {"retries": -1}, {"timeout": 0}, {"max_wait": -1}, {"api": "edits"}]
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(PreceptorError, match="expected"):
        OpenAIPolicy("http://h/v1", "m", **settings)
