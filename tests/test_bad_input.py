"""Specifies what readers and the HTTP policy make of bad input: a typed error that says where and what to do.

One record of a good file is spoiled at a time; nothing is ever returned in part. Control characters and very
long traces are not errors and come through unchanged. Run: python -m pytest tests/test_bad_input.py
"""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from preceptor.errors import InputError, PreceptorError, RecordError, ServerUnreachable
from preceptor.generation import Request
from preceptor.policy import retry
from preceptor.policy.openai import OpenAIPolicy
from preceptor.trace import Finish, Problem
from preceptor.worlds.load import load_problems
from preceptor.worlds.readers import (
    read_bigbench_mistake,
    read_bon_pool,
    read_gsm8k_solutions,
    read_prmbench,
    read_processbench,
)
from tests.policy.http_server import closed_port, completion, serving


@dataclass(frozen=True)
class Reader:
    read: Callable[[Any], list[Any]]
    good: Callable[[int], dict[str, Any]]
    """A good record that differs from the others by its number."""
    unique: str
    """Field whose repetition is an error."""
    bad: tuple[tuple[str, Any, str], ...]
    """(field as the error names it, spoiled value, what is expected)"""


def processbench(i):
    steps = [f"step {i}", "b", "c"]
    record = {"id": f"gsm8k-{i}", "generator": "m", "problem": "p", "steps": steps}
    return record | {"final_answer_correct": False, "label": 1}


def bigbench(i):
    return {"input": f"p{i}", "steps": ["a", "b"], "answer": "1", "target": "2", "mistake_index": None}


def prmbench(i):
    record = {"modified_question": "q", "modified_process": [f"a{i}", "b"], "error_steps": [2]}
    return record | {"idx": f"i{i}", "classification": "circular"}


def bon_pool(i):
    candidate = {"steps": ["a", "b"], "answer": "1", "is_correct": True, "num_tokens": 9}
    candidates = [candidate | {"step_scores": {"m": [0.5, 1]}}]
    return {"problem_id": f"p{i}", "question": f"q{i}", "ground_truth": "1", "candidates": candidates}


def gsm8k_solutions(i):
    solved = {"is_correct": True, "solution": "1+1=2\nA: 2"}
    return {"question": f"q{i}", "ground_truth": "1+1=2\nA: 2", "6b": solved}


def candidate(**fields):
    return [bon_pool(0)["candidates"][0] | fields]


READERS = {
    "processbench": Reader(
        read_processbench,
        processbench,
        "id",
        (
            ("label", 3, "-1 or the index of one of 3 steps"),
            ("label", -2, "-1 or the index of one of 3 steps"),
            ("label", None, "an integer"),
            ("label", True, "an integer"),
            ("label", 1.0, "an integer"),
            ("steps", [], "at least one step"),
            ("steps", ["", " \n"], "at least one step"),
            ("steps", "abc", "a list"),
            ("steps[1]", ["a", 7], "text"),
            ("steps[1]", ["a", "b\ud83d"], "text that UTF-8 can hold"),
            ("problem", "lone \udc00", "text that UTF-8 can hold"),
            ("problem", " ", "text"),
            ("generator", None, "text"),
            ("final_answer_correct", "no", "true or false"),
            ("id", None, "text or an integer"),
        ),
    ),
    "bigbench_mistake": Reader(
        read_bigbench_mistake,
        bigbench,
        "steps",
        (
            ("mistake_index", 2, "null or the index of one of 2 steps"),
            ("mistake_index", -1, "null or the index of one of 2 steps"),
            ("mistake_index", "1", "an integer or null"),
            ("steps", [], "at least one step"),
            ("answer", 3, "text"),
            ("target", "", "text"),
            ("input", "\ud800", "text that UTF-8 can hold"),
        ),
    ),
    "prmbench": Reader(
        read_prmbench,
        prmbench,
        "",
        (
            ("error_steps", [0], "1-based step numbers"),
            ("error_steps[0]", ["2"], "an integer"),
            ("error_steps[0]", [True], "an integer"),
            ("error_steps", None, "a list"),
            ("modified_process", [], "at least one step"),
            ("modified_process[0]", ["\ud800"], "text that UTF-8 can hold"),
            ("classification", "", "text"),
            ("idx", 7, "text"),
        ),
    ),
    "bon_pool": Reader(
        read_bon_pool,
        bon_pool,
        "problem_id",
        (
            ("candidates", [], "at least one candidate"),
            ("candidates[0]", ["x"], "an object"),
            ("candidates[0].steps", candidate(steps=[]), "at least one step"),
            ("candidates[0].is_correct", candidate(is_correct=1), "true or false"),
            ("candidates[0].num_tokens", candidate(num_tokens="9"), "an integer"),
            ("candidates[0].step_scores", candidate(step_scores=[]), "an object"),
            (
                "candidates[0].step_scores",
                candidate(step_scores={"n": [1, 1]}),
                "['m'] as in the rows before",
            ),
            ("candidates[0].step_scores.m", candidate(step_scores={"m": [1]}), "one for each of 2 steps"),
            ("candidates[0].step_scores.m[1]", candidate(step_scores={"m": [1, None]}), "a finite number"),
            ("candidates[0].step_scores.m[0]", candidate(step_scores={"m": ["nan", 1]}), "a finite number"),
            ("candidates[0].step_scores.m[0]", candidate(step_scores={"m": [True, 1]}), "a finite number"),
            ("ground_truth", 7, "text"),
        ),
    ),
    "gsm8k_solutions": Reader(
        read_gsm8k_solutions,
        gsm8k_solutions,
        "question",
        (
            ("ground_truth", "1+1=2\n2", "a last line 'A: NUMBER'"),
            ("ground_truth", "A: ", "a last line 'A: NUMBER'"),
            ("6b", "2", "an object"),
            ("6b.solution", {"is_correct": True, "solution": ""}, "text"),
            ("6b.is_correct", {"is_correct": "yes", "solution": "A: 2"}, "true or false"),
            ("6b.is_correct", {"solution": "A: 2"}, "true or false"),
        ),
    ),
}
EVERY = pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
FORMS = pytest.mark.parametrize("form", ["jsonl", "jsonl.gz", "json"])
SPOILED = [(reader, *case) for reader in READERS.values() for case in reader.bad]


def saved(path, records, form="jsonl"):
    """Records as JSON lines or as a JSON list with one record a line; strings stand for themselves."""
    lines = [r if isinstance(r, str) else json.dumps(r) for r in records]
    text = "[" + ",\n".join(lines) + "]" if form == "json" else "\n".join(lines) + "\n"
    path = path / f"data.{form}"
    data = text.encode("utf-8", "surrogatepass")
    path.write_bytes(gzip.compress(data) if form.endswith("gz") else data)
    return path


def assert_says_where_and_what_to_do(error, path, line, field=None):
    assert isinstance(error, RecordError)
    place = f"{path}:{line}: " + ("" if field is None else f"field '{field}': ")
    message = str(error)
    assert message.startswith(place + "got "), message
    assert ", expected " in message
    assert message.endswith(".")
    assert message.isprintable()
    assert len(message) < 700


@EVERY
@FORMS
def test_a_good_file_is_read_whole(tmp_path, reader, form):
    assert len(reader.read(saved(tmp_path, map(reader.good, range(5)), form))) == 5


@FORMS
@pytest.mark.parametrize(("reader", "field", "value", "expected"), SPOILED)
def test_a_spoiled_field_is_named_with_its_line(tmp_path, reader, field, value, expected, form):
    records = [reader.good(i) for i in range(5)]
    records[3] = records[3] | {field.split("[")[0].split(".")[0]: value}
    path = saved(tmp_path, records, form)
    with pytest.raises(RecordError) as caught:
        reader.read(path)
    assert_says_where_and_what_to_do(caught.value, path, 4, f"[3].{field}" if form == "json" else field)
    assert expected in caught.value.expected


@EVERY
@FORMS
def test_each_missing_field_is_named(tmp_path, reader, form):
    for field in reader.good(0):
        if field == "6b":
            continue  # a model is not a required field
        records = [reader.good(i) for i in range(3)]
        del records[1][field]
        path = saved(tmp_path, records, form)
        with pytest.raises(RecordError) as caught:
            reader.read(path)
        assert_says_where_and_what_to_do(caught.value, path, 2, f"[1].{field}" if form == "json" else field)
        assert "no such field" in caught.value.got


@EVERY
@FORMS
def test_a_repeated_record_is_named_with_the_line_it_repeats(tmp_path, reader, form):
    path = saved(tmp_path, [reader.good(0), reader.good(1), reader.good(0)], form)
    if not reader.unique:  # PRMBench repeats rows as published: counted once and flagged
        assert [i.judgement.flags for i in reader.read(path)] == [("repeated-row",), ()]
        return
    with pytest.raises(RecordError, match="line 1") as caught:
        reader.read(path)
    field = f"[2].{reader.unique}" if form == "json" else reader.unique
    assert_says_where_and_what_to_do(caught.value, path, 3, field)


@EVERY
@pytest.mark.parametrize(
    "line",
    ["{", "not json", '{"a": 1}}', "[1]", "7", "null", '"text"', '{"a": NaN}', '{"a": 1e999}', "[" * 10**5],
)
def test_a_malformed_line_is_named(tmp_path, reader, line):
    path = saved(tmp_path, [reader.good(0), line, reader.good(1)])
    with pytest.raises(RecordError) as caught:
        reader.read(path)
    assert_says_where_and_what_to_do(caught.value, path, 2)


@EVERY
@pytest.mark.parametrize("line", ["{", "not json", "7", "null", '"text"', '{"a": NaN}', "[" * 10**5])
def test_a_malformed_member_of_a_list_is_named(tmp_path, reader, line):
    path = saved(tmp_path, [reader.good(0), line, reader.good(1)], "json")
    with pytest.raises(RecordError) as caught:
        reader.read(path)
    assert str(caught.value).startswith(f"{path}:2: ")
    assert "1]" in str(caught.value) or "record 1" in str(caught.value)


@EVERY
@FORMS
def test_a_file_that_was_cut_off_is_never_a_shorter_data_set(tmp_path, reader, form):
    path = saved(tmp_path, map(reader.good, range(50)), form)
    whole = path.read_bytes()
    for share in (0.3, 0.6, 0.9):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(RecordError) as caught:
            reader.read(path)
        assert caught.value.path == str(path)
        assert caught.value.do


def test_two_lists_in_one_file_are_not_one(tmp_path):
    path = saved(tmp_path, [processbench(0)], "json")
    path.write_text(path.read_text() + "\n[]")
    with pytest.raises(RecordError, match="after the list"):
        read_processbench(path)


@EVERY
@pytest.mark.parametrize("form", ["jsonl", "json"])
def test_bytes_that_are_not_utf8_are_named_with_their_line(tmp_path, reader, form):
    path = saved(tmp_path, map(reader.good, range(3)), form)
    lines = path.read_bytes().split(b"\n")
    lines[1] = lines[1].replace(b'{"', b'{"\xff', 1)
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(RecordError, match="UTF-8") as caught:
        reader.read(path)
    assert_says_where_and_what_to_do(caught.value, path, 2)
    assert "0xff" in caught.value.got


@pytest.mark.parametrize("content", [b"", b"\n\n", b"[]", b"[ ", b"[] []", b"\xef\xbb\xbf"])
@EVERY
def test_a_file_without_records_is_an_error(tmp_path, reader, content):
    path = tmp_path / "data.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"data\.json.*expected"):
        reader.read(path)


@EVERY
def test_a_file_that_is_not_there_or_a_folder_is_an_error(tmp_path, reader):
    for path in (tmp_path / "nope.jsonl", tmp_path):
        with pytest.raises(InputError, match="expected a readable"):
            reader.read(path)


@EVERY
def test_a_byte_order_mark_and_blank_lines_do_no_harm(tmp_path, reader):
    path = saved(tmp_path, [reader.good(0), "", reader.good(1), "  "])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(reader.read(path)) == 2


def test_nan_scores_never_become_scores(tmp_path):
    row = json.dumps(bon_pool(1)).replace("0.5", "NaN")
    for form in ("jsonl", "json"):
        path = saved(tmp_path, [bon_pool(0), row], form)
        with pytest.raises(RecordError, match="NaN") as caught:
            read_bon_pool(path)
        assert caught.value.line == 2


def test_control_characters_come_through_unchanged(tmp_path):
    odd = ["\0 nul", "\x08oxed{7}", "tab\tform\x0c", "\u2028 sep \x85", "\r\nend\x1b[31m"]
    (item,) = read_processbench(saved(tmp_path, [processbench(0) | {"steps": odd}]))
    assert item.trace.text == "\n\n".join(odd)
    assert [s.removesuffix("\n\n") for s in item.trace.step_texts] == odd


def test_a_trace_of_5000_steps_is_read_in_linear_time(tmp_path):
    def seconds(steps):
        record = processbench(0) | {"steps": [f"step {t} " * 5 for t in range(steps)], "label": steps - 1}
        path = saved(tmp_path, [record])
        began = time.process_time()
        (item,) = read_processbench(path)
        took = time.process_time() - began
        assert len(item.trace.steps) == len(item.judgement.scores) == steps
        assert "".join(item.trace.step_texts) == item.trace.text
        return took

    assert seconds(5000) < 1.0
    assert seconds(50_000) < 5.0


def test_problems_are_as_strict_as_traces(tmp_path):
    good = [{"question": f"q{i}", "answer": "1"} for i in range(3)]
    for line, says in [
        ("{", "one JSON object"),
        ({"question": "q0", "answer": "1"}, "of line 1 again"),
        ({"question": "q\ud800", "answer": "1"}, "lone surrogate U\\+D800 at character 1"),
        ({"question": "q"}, "field 'answer': got no such field"),
        ('{"question": "q", "answer": NaN}', "NaN"),
    ]:
        path = saved(tmp_path, [*good, line])
        with pytest.raises(RecordError, match=says) as caught:
            load_problems(str(path))
        assert_says_where_and_what_to_do(caught.value, path, 4, caught.value.field)


def test_a_csv_of_puzzles_names_the_bad_row(tmp_path):
    path = tmp_path / "24.csv"
    for text, place in [
        ("Rank,Puzzles\n1,1 1 4 6\n2,1 1 4\n", ":3: field 'Puzzles': got '1 1 4', expected four numbers"),
        ("Rank,Puzzles\n1,1 1 4 14\n", ":2: field 'Puzzles'"),
        ("Rank,Puzzles\n1,1 1 4 99999999999999999999\n", ":2: field 'Puzzles'"),
        ("Rank,Puzzles\n1\n", ":2: field 'Puzzles': got None, expected text"),
        ("Rank,Other\n1,2\n", ":2: field 'Puzzles': got no such field"),
        ("Rank,Puzzles\n1,1 1 4 6\n2,6 4 1 1\n", ":3: field 'Puzzles': got game24-1-1-4-6 again"),
        ("", ": got no row"),
    ]:
        path.write_text(text)
        with pytest.raises(InputError) as caught:
            load_problems(str(path))
        assert str(caught.value).startswith(f"{path}{place}")


# The HTTP policy: bad items are items, a dead server is one error

ASK = Request(Problem("1+1?", "2"))


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch):
    monkeypatch.setattr(retry, "FIRST_DELAY", 0.01)


def test_an_unreachable_server_is_named_with_what_to_do():
    with closed_port() as url, pytest.raises(ServerUnreachable, match="Start the server") as caught:
        OpenAIPolicy(url, "m", retries=1).generate([ASK] * 100)
    assert isinstance(caught.value, PreceptorError)
    assert url in str(caught.value)


def test_lone_surrogates_and_control_characters_and_long_prefixes_never_crash_a_batch():
    prefixes = ["lone \ud800", "nul \0 bell \a", "step\n" * 5000, "fine"]
    with serving(lambda call: call.answer(completion("2"))) as server:
        got = OpenAIPolicy(server.url, "m").generate([Request(ASK.problem, p) for p in prefixes])
    assert [c.finish for c in got] == [Finish.ERROR, Finish.STOP, Finish.STOP, Finish.STOP]
    assert got[0].error.kind == "bad-prompt"
    assert "U+D800 at character 5" in got[0].error.message
    assert {c.body["prompt"] for c in server.calls} == {f"1+1?\n{p}" for p in prefixes[1:]}


def test_nan_log_probabilities_never_become_log_probabilities():
    choice = {"logprobs": {"tokens": ["2"], "token_logprobs": [float("nan")]}}
    with serving(lambda call: call.answer(completion("2", **choice))) as server:
        (got,) = OpenAIPolicy(server.url, "m").generate([ASK])
    assert (got.text, got.logprobs, got.token_ends) == ("2", None, None)
