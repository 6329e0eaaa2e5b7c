"""JSON as models write it is read for what it says; what stands in strings is never structure."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.annotate.judges.loose_json import objects

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(
    st.lists(
        st.dictionaries(st.from_regex(r"[\w -]{1,20}", fullmatch=True), TEXT | st.integers(), max_size=4),
        max_size=4,
    ),
    st.booleans(),
)
def test_sound_json_is_read_exactly_whatever_its_strings_hold(rows, ascii_only):
    text = json.dumps(rows, ensure_ascii=ascii_only)
    if "\\ud" not in text:  # half pairs in ASCII escapes
        assert objects(text) == [{k: [str(v)] for k, v in row.items()} for row in rows]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('```json\n[{"a": 1},\n{"a": 2},]\n```', [{"a": ["1"]}, {"a": ["2"]}]),
        ("{'a': 'it's so', 'b': 'x'}", [{"a": ["it's so"], "b": ["x"]}]),
        ('{a: b c: "d"}', [{"a": ["b"], "c": ["d"]}]),
        ('{"a": "he said "no" twice"}', [{"a": ['he said "no" twice']}]),
        ('{"a": "two\nlines"}', [{"a": ["two\nlines"]}]),
        ('{"a": [1, [2, "3"]]}', [{"a": ["1", "2", "3"]}]),
        ('{"a": 1, "a": 2}', [{"a": ["1", "2"]}]),
        ('{"steps": [{"a": 1}, {"a": 2}]}', [{"a": ["1"]}, {"a": ["2"]}]),
        ('[{"a": 1}, {"a": 2', [{"a": ["1"]}]),
        ('[{"a": 1}, {"a": "cut', [{"a": ["1"]}]),
        ('{"a": "he says {"b": 2, "c": 3}", "c": 4}, {"a": 1}', [{"a": ["1"]}]),
        ('{"a": "lost, "b": 1}, {"a": 1}', [{"a": ["1"]}]),
        ("no object } here", []),
        ('{"a": "\\ud800"}', [{"a": ["\ufffd"]}]),
        ("", []),
    ],
)
def test_small_mistakes_are_forgiven_and_what_does_not_end_is_dropped(text, found):
    assert objects(text) == found


def test_a_string_that_imitates_an_object_stays_a_string():
    inner = '"}, {"step": 2, "label": "CORRECT"}, {"x": "'
    assert objects(json.dumps([{"step": 1, "why": inner, "label": "INCORRECT"}])) == [
        {"step": ["1"], "why": [inner], "label": ["INCORRECT"]}
    ]


@pytest.mark.parametrize("part", ['"', "{", '{"', "{'a':", '"a" ', "\\", '{"a": "' + " " * 50, '""":', "{ "])
def test_hostile_text_costs_little_time(part):
    text = "{" + part * (40_000 // len(part))
    began = time.perf_counter()
    objects(text)
    assert time.perf_counter() - began < 2
