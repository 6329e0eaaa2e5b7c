"""The renderer: positions by construction, nothing a policy writes can move one, no step lost in silence."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preceptor.policy.render import prompt_ids, text_ids
from preceptor.reward.format import UNLIMITED
from preceptor.reward.layout import PolicyPrompt, Tagged
from preceptor.reward.render import Renderer, windows
from preceptor.trace import Problem, Step, Trace
from tests.reward.toy import trace_of
from tests.tiny import tiny_tokenizer

TOKENIZER = tiny_tokenizer()
STEP = TOKENIZER.convert_tokens_to_ids("<|step|>")
PROBLEM = Problem("Mia has 12 boxes. How many?")


def renderer(separator: str = "<|step|>", max_length: int = UNLIMITED, tokenizer=TOKENIZER) -> Renderer:
    return Renderer(tokenizer, Tagged(separator, PolicyPrompt(), strip="right"), max_length)


def test_layout_is_prompt_then_each_step_and_the_separator_id():
    steps = ["12*7=84\n", "84-30=54\n"]
    (row,) = renderer()(trace_of(PROBLEM, steps)).rows
    expected, positions = prompt_ids(TOKENIZER, PROBLEM), []
    for step in steps:
        expected += [*text_ids(TOKENIZER, step.rstrip()), STEP]
        positions.append(len(expected) - 1)
    assert row.token_ids == tuple(expected)
    assert row.positions == tuple(positions)
    assert [row.token_ids[p] for p in row.positions] == [STEP, STEP]


def test_a_written_separator_becomes_plain_text_and_is_reported():
    rendered = renderer()(trace_of(PROBLEM, ["1+1=3 <|step|><|step|>\n", "2+2=4\n"]))
    (row,) = rendered.rows
    assert rendered.flags == ("neutralised-separator",)
    assert row.token_ids.count(STEP) == 2 == len(row.positions)
    assert "<|step|>" in TOKENIZER.decode([i for i in row.token_ids if i != STEP])


def test_another_special_token_in_a_step_is_neutralised_and_reported():
    rendered = renderer()(trace_of(PROBLEM, ["1+1=3<|end|>\n"]))
    assert rendered.flags == ("neutralised-special-token",)
    assert TOKENIZER.eos_token_id not in rendered.rows[0].token_ids


def test_a_written_separator_that_the_tokenizer_would_not_split_is_left_out():
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["[SEP]"])  # added but not special: `split_special_tokens` does not touch it
    separator = tokenizer.convert_tokens_to_ids("[SEP]")
    rendered = renderer("[SEP]", tokenizer=tokenizer)(trace_of(PROBLEM, ["1[SEP]2[SEP]\n"]))
    assert rendered.rows[0].token_ids.count(separator) == 1
    assert rendered.flags == ("neutralised-separator",)


def test_an_ordinary_separator_inside_a_step_does_not_move_the_readout():
    (newline,) = text_ids(TOKENIZER, "\n")
    steps = ["line one\nline two\n", "\n\n", "last"]
    (row,) = renderer("\n")(trace_of(PROBLEM, steps)).rows
    assert len(row.positions) == 3
    assert row.token_ids.count(newline) > 3
    first = len(prompt_ids(TOKENIZER, PROBLEM)) + len(text_ids(TOKENIZER, "line one\nline two"))
    assert row.positions == (first, first + 1, len(row.token_ids) - 1)


def test_empty_steps_and_traces_without_steps_keep_their_number():
    assert renderer()(trace_of(PROBLEM, [])).rows == ()
    (row,) = renderer()(trace_of(PROBLEM, ["", "\n", "x"])).rows
    assert len(row.positions) == 3


def test_an_observation_stands_after_the_readout_of_its_step():
    trace = Trace(PROBLEM, "look\nanswer", (Step(0, 5, "action", "it is <|step|> blue"), Step(5, 11)))
    (row,) = renderer()(trace).rows
    seen = text_ids(TOKENIZER, "it is <|step|> blue")
    at = row.positions[0] + 1
    assert list(row.token_ids[at : at + len(seen)]) == seen
    assert row.token_ids.count(STEP) == 2


def test_a_trace_of_five_thousand_steps_is_read_through_windows_once_each():
    rendered = renderer(max_length=512)(trace_of(PROBLEM, [f"{i}+1={i + 1}\n" for i in range(5000)]))
    assert [t for row in rendered.rows for t in row.steps] == list(range(5000))
    assert max(len(row.token_ids) for row in rendered.rows) <= 512
    prompt = tuple(prompt_ids(TOKENIZER, PROBLEM))
    assert all(row.token_ids[: len(prompt)] == prompt for row in rendered.rows)
    assert rendered.flags == ("windowed",)
    assert rendered.error is None


def test_a_step_larger_than_the_context_is_a_typed_error_and_the_others_are_read():
    rendered = renderer(max_length=120)(trace_of(PROBLEM, ["1+1=2\n", "9" * 500 + "\n", "2+2=4\n"]))
    assert [t for row in rendered.rows for t in row.steps] == [0, 2]
    assert rendered.error is not None
    assert rendered.error.kind == "too-long"
    assert "[1]" in rendered.error.message


def test_a_prompt_larger_than_the_context_is_a_typed_error():
    rendered = renderer(max_length=4)(trace_of(PROBLEM, ["1+1=2\n"]))
    assert rendered.rows == ()
    assert rendered.error is not None
    assert rendered.error.kind == "too-long"


sizes = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 9)), max_size=40)


@given(sizes, st.integers(-2, 30))
def test_windows_read_every_step_that_fits_exactly_once_and_never_exceed_the_room(pairs, room):
    heads, tails = [h for h, _ in pairs], [t for _, t in pairs]
    spans = windows(heads, tails, room)
    read = [t for s in spans for t in range(s.first, s.end)]
    assert read == [t for t, head in enumerate(heads) if head <= room]
    for s in spans:
        assert s.start <= s.first < s.end
        assert sum(heads[s.start : s.end]) + sum(tails[s.start : s.end - 1]) <= room


@settings(max_examples=60)
@given(sizes, st.integers(1, 30))
def test_the_window_of_a_step_does_not_depend_on_later_steps(pairs, room):
    heads, tails = [h for h, _ in pairs], [t for _, t in pairs]

    def start_of(n: int) -> dict[int, int]:
        return {t: s.start for s in windows(heads[:n], tails[:n], room) for t in range(s.first, s.end)}

    whole = start_of(len(heads))
    for n in range(len(heads)):
        assert start_of(n) == {t: start for t, start in whole.items() if t < n}


def test_real_solutions_keep_one_readout_per_step(shared_data):
    rows = json.loads((shared_data / "processbench" / "gsm8k.json").read_text())
    render, windowed = renderer(max_length=2048), 0
    for row in rows:
        rendered = render(trace_of(Problem(row["problem"]), [step + "\n\n" for step in row["steps"]]))
        assert rendered.error is None
        assert [t for r in rendered.rows for t in r.steps] == list(range(len(row["steps"])))
        assert all(r.token_ids[p] == STEP for r in rendered.rows for p in r.positions)
        windowed += "windowed" in rendered.flags
    assert windowed > 0


@pytest.mark.parametrize("text", ["a", "tabs\tand  spaces", "ünïcode ✓", "<|pad|>"])
def test_what_a_step_says_survives_rendering(text):
    (row,) = renderer()(trace_of(PROBLEM, [text])).rows
    start = len(prompt_ids(TOKENIZER, PROBLEM))
    assert TOKENIZER.decode(row.token_ids[start:-1]) == text
