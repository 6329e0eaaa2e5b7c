"""Every segmenter is lossless, gives no empty step, runs in linear time, and cuts where its rule says.

Run with `python -m pytest tests/segment`.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preceptor.errors import InputError
from preceptor.segment import SEGMENTERS, Marker, line, load_segmenter, segment, tile
from preceptor.trace import Problem, Step, Trace

ALL = {
    **SEGMENTERS,
    "qwen": Marker("<extra_0>"),
    "openr": Marker("\n\n\n\n\n"),
    "skipping": Marker("ки", skip=2),
}

# What segmenters care about, mixed with anything at all, lone surrogates and control characters too.
PIECES = st.sampled_from(
    [
        "\n",
        "\n\n",
        "\r\n",
        "\r\n\r\n",
        " ",
        "\t",
        "\x85",
        "\u2028",
        "\x0c",
        "\x00",
        "\ud800",
        "Step 1:",
        "Step 2 is",
        "ки",
    ]
    + [
        "**Step 3:**",
        "<extra_0>",
        "\n\n\n\n\n",
        ". ",
        "Dr. ",
        "3.14",
        "1. ",
        "!",
        "。",
        "a",
        "A",
        "I. ",
        '."',
        "...",
    ]
)
ANYTHING = st.text(st.characters(codec=None, exclude_categories=()), max_size=8)
TEXTS = st.lists(PIECES | ANYTHING, max_size=30).map("".join)


def cut(name: str, text: str) -> list[str]:
    return [text[s.start : s.end] for s in ALL[name](text)]


@pytest.mark.parametrize("name", ALL)
@given(text=TEXTS)
@settings(max_examples=300, deadline=None)
def test_steps_tile_any_text_and_none_is_blank(name: str, text: str) -> None:
    steps = cut(name, text)
    assert "".join(steps) == text
    Trace(Problem("p"), text, ALL[name](text))  # refuses steps that do not tile
    if text.strip():
        assert all(step.strip() for step in steps)
    else:
        assert len(steps) == (1 if text else 0)


@given(text=TEXTS)
@settings(max_examples=300, deadline=None)
def test_a_step_of_line_is_one_line_and_segments_to_itself(text: str) -> None:
    for i, step in enumerate(cut("line", text)):
        assert cut("line", step) == [step]
        body = step.strip() if i == 0 else step.rstrip()
        assert "\n" not in body
        assert i == 0 or not step.startswith("\n")


@given(parts=st.lists(st.text(st.characters(codec=None, exclude_characters="\n"), min_size=1), min_size=1))
@settings(deadline=None)
def test_line_agrees_with_split_where_no_line_is_blank(parts: list[str]) -> None:
    parts = ["x" + p for p in parts]
    assert [s.removesuffix("\n") for s in cut("line", "\n".join(parts))] == parts
    assert [s.removesuffix("\n") for s in cut("line", "\n".join(parts) + "\n")] == parts


@pytest.mark.parametrize("name", ALL)
@given(texts=st.lists(TEXTS, min_size=2, max_size=4))
@settings(max_examples=100, deadline=None)
def test_tile_ignores_cuts_that_are_out_of_order_or_repeated(name: str, texts: list[str]) -> None:
    text = "".join(texts)
    ends = [s.end for s in ALL[name](text)]
    assert [s.end for s in tile(text, [0, *[e for e in ends for _ in range(2)]])] == ends


def test_only_newline_ends_a_line() -> None:
    text = "a\x0bb\x0cc\x1cd\x85e\u2028f\u2029g\rh\r\ni"
    assert cut("line", text) == ["a\x0bb\x0cc\x1cd\x85e\u2028f\u2029g\rh\r\n", "i"]
    assert len(text.splitlines()) > 2


@pytest.mark.parametrize(
    "name, text, expected",
    [
        ("line", "a\nb\n", ["a\n", "b\n"]),
        ("line", "\n  \na\n \n\nb", ["\n  \na\n \n\n", "b"]),
        ("line", "16-3=13\n#### 13", ["16-3=13\n", "#### 13"]),
        ("blank_line", "a\nb\n\nc\n\n\n\nd\n\n", ["a\nb\n\n", "c\n\n\n\n", "d\n\n"]),
        ("blank_line", "a\r\n\r\nb\n \t\nc", ["a\r\n\r\n", "b\n \t\n", "c"]),
        ("blank_line", "\n\na", ["\n\na"]),
        ("numbered", "Step 1: x, see Step 2: y\nStep 2: z", ["Step 1: x, see Step 2: y\n", "Step 2: z"]),
        (
            "numbered",
            "Intro.\n\nStep 1: a\nStep 2 shows it\nStep 10: b",
            ["Intro.\n\n", "Step 1: a\nStep 2 shows it\n", "Step 10: b"],
        ),
        (
            "numbered",
            "**Step 1:** a\n### Step 2. b\n  Step 3) c\nStep 4\nd",
            ["**Step 1:** a\n", "### Step 2. b\n", "  Step 3) c\n", "Step 4\nd"],
        ),
        ("numbered", "\n\nStep 1: a", ["\n\nStep 1: a"]),
        ("numbered", "no heading\nat all", ["no heading\nat all"]),
        ("marker", "Step 1: a ки\nStep 2: b ки\n", ["Step 1: a ки\n", "Step 2: b ки\n"]),
        ("marker", "a кики b", ["a кики", " b"]),
        ("marker", "a ки \n b", ["a ки \n", " b"]),
        ("qwen", "a<extra_0>b<extra_0>", ["a<extra_0>", "b<extra_0>"]),
        ("openr", "a\n\nb\n\n\n\n\nc", ["a\n\nb\n\n\n\n\n", "c"]),
        ("skipping", "ки and ки?\na ки\nb ки", ["ки and ки?\na ки\n", "b ки"]),
        (
            "sentence",
            "It costs $3.50. Then 2+2=4! So?\nNo. 5",
            ["It costs $3.50. ", "Then 2+2=4! ", "So?\n", "No. 5"],
        ),
        (
            "sentence",
            "Use e.g. Eq. 3. J. Wu (1999) did.\n1. Add\n2. Multiply.",
            ["Use e.g. Eq. 3. ", "J. Wu (1999) did.\n", "1. Add\n2. Multiply."],
        ),
        (
            "sentence",
            'He said "stop." Then approx. five left... and so on.',
            ['He said "stop." ', "Then approx. five left... and so on."],
        ),
        ("sentence", "The result is 5. Then x\n\ny", ["The result is 5. ", "Then x\n\n", "y"]),
        ("sentence", "一共有五个。所以答案是五。", ["一共有五个。", "所以答案是五。"]),
    ],
)
def test_cuts_where_the_rule_says(name: str, text: str, expected: list[str]) -> None:
    assert cut(name, text) == expected


def test_a_marker_in_the_quoted_problem_does_not_cut() -> None:
    problem, solution = "Count the ки in ки ки.", "There are 3. ки\nAnswer: 3 ки"
    steps = Marker("ки").after(problem)(problem + "\n" + solution)
    assert [(problem + "\n" + solution)[s.start : s.end] for s in steps] == [
        "Count the ки in ки ки.\nThere are 3. ки\n",
        "Answer: 3 ки",
    ]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "unit",
    [
        "a\n",
        "a\n\n",
        "Step 1: a\n",
        "a ки\n",
        "Go. ",
        " ",
        "\n",
        "    \n",
        ".",
        '"',
        "\t x",
        "Step ",
        "#",
        ". a",
        "\r",
    ],
)
def test_time_is_linear_in_the_text(name: str, unit: str) -> None:
    """400,000 characters of a repeated pattern; a quadratic rule would need minutes."""
    text = unit * (400_000 // len(unit))
    started = time.process_time()
    steps = ALL[name](text)
    assert time.process_time() - started < 4
    assert steps[-1].end == len(text)


def test_five_thousand_steps_keep_their_offsets() -> None:
    text = "".join(f"Step {i}: {i}+{i}={2 * i}\n" for i in range(5_000))
    for name in ("line", "numbered"):
        steps = ALL[name](text)
        assert len(steps) == 5_000
        assert all(text[s.start : s.end] == f"Step {i}: {i}+{i}={2 * i}\n" for i, s in enumerate(steps))


def test_blank_line_gives_back_the_human_segmented_steps_of_processbench(shared_data: Path) -> None:
    """A step of ProcessBench may hold a blank line itself; those rows are counted, not skipped in silence."""
    rows = json.loads((shared_data / "processbench" / "gsm8k.json").read_text("utf-8"))
    plain = [r for r in rows if all("\n\n" not in s and s.strip() for s in r["steps"])]
    assert len(plain) >= 0.9 * len(rows)
    for row in plain:
        assert [s.rstrip("\n") for s in cut("blank_line", "\n\n".join(row["steps"]))] == [
            s.rstrip("\n") for s in row["steps"]
        ]


def test_line_gives_the_solution_lines_of_gsm8k(shared_data: Path) -> None:
    for row in map(json.loads, (shared_data / "gsm8k" / "test.jsonl").open(encoding="utf-8")):
        expected = [x for x in row["answer"].split("\n") if x.strip()]
        assert [s.strip() for s in cut("line", row["answer"])] == [x.strip() for x in expected]


def test_problems_name_their_segmenter_and_names_take_markers() -> None:
    assert segment(Problem("p"), "a\nb") == line("a\nb")
    assert len(segment(Problem("p", segmenter="blank_line"), "a\nb")) == 1
    assert len(segment("marker:<prm>", "a<prm>b")) == 2
    assert load_segmenter("line") is line


def halves(text: str) -> tuple[Step, ...]:
    return tile(text, [len(text) // 2])


def test_a_user_segmenter_loads_by_import_path(monkeypatch: pytest.MonkeyPatch) -> None:
    own = load_segmenter("tests.segment.test_segmenters:halves")
    assert [(s.start, s.end) for s in own("abcd")] == [(0, 2), (2, 4)]
    monkeypatch.setitem(SEGMENTERS, "halves", own)
    assert len(segment(Problem("p", segmenter="halves"), "abcd")) == 2


def test_a_problem_cannot_name_code_to_import() -> None:
    """Problems are read from files: a record that says `os:system` must not run anything."""
    with pytest.raises(InputError, match="expected one of"):
        segment(Problem("p", segmenter="os:system"), "true")
    with pytest.raises(InputError, match="expected one of"):
        segment("os:system", "true")


@pytest.mark.parametrize("name", ["lines", "no_such_module:fn", "math:no_such", "math:pi"])
def test_a_wrong_name_says_what_to_do(name: str) -> None:
    with pytest.raises(InputError, match=r"expected|Expected"):
        load_segmenter(name)


@pytest.mark.parametrize("marker, skip", [("", 0), ("x", -1)])
def test_a_marker_needs_text(marker: str, skip: int) -> None:
    with pytest.raises(InputError, match="non-empty"):
        Marker(marker, skip)
