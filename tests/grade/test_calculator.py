"""Arithmetic is read exactly, without `eval` and within bounds; calculator notes become step labels."""

from __future__ import annotations

import json
import time
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.grade import ExpressionError, calculator_notes, evaluate, parse, strip_calculator


@st.composite
def expressions(draw: st.DrawFn, depth: int = 3) -> str:
    if depth == 0 or draw(st.booleans()):
        return draw(st.sampled_from(["0", "1", "2.5", ".25", "7", "12", "100."]))
    left, right = draw(expressions(depth=depth - 1)), draw(expressions(depth=depth - 1))
    whole = left + draw(st.sampled_from(["+", "-", "*", "/", " - ", " / "])) + right
    return draw(st.sampled_from([whole, f"({whole})", f"-({whole})"]))


@given(text=expressions())
def test_value_agrees_with_python_on_fractions(text: str) -> None:
    import re

    as_fractions = re.sub(r"[0-9]*\.?[0-9]+\.?", lambda m: f"Fraction('{m[0]}')", text)
    try:
        expected = eval(as_fractions, {"Fraction": Fraction})
    except ZeroDivisionError:
        with pytest.raises(ExpressionError, match="division by zero"):
            evaluate(parse(text))
    else:
        assert evaluate(parse(text)) == expected


@pytest.mark.parametrize(
    "text",
    ["", "1+", "(1", "1)", "1 2", "2**3", "2^3", "2//3", "x", "1e5", "__import__('os')", "1;2", "1,2", "²",
     "٣", "1.2.3", "(" * 150 + "1" + ")" * 150, "-" * 200 + "1", "1+" * 200 + "1", "9" * 301, "\x00", "\ud800", "()"],
)  # fmt: skip
def test_anything_but_bounded_plain_arithmetic_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse(text)


@pytest.mark.parametrize(
    "text", ["9^9^9", "9^(9^9)", "((9^64)^64)^64", "2^0.5", "0^-1", "x", "sqrt(4)", "1/(1-1)"]
)
def test_values_that_are_huge_or_not_rational_are_refused_at_once(text: str) -> None:
    tree = parse(text, symbols=True)
    started = time.process_time()
    with pytest.raises(ExpressionError):
        evaluate(tree)
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    "text, value",
    [
        ("2^10", 1024),
        ("-2^2", -4),
        ("2(3+4)", 14),
        ("2^3^2", 512),
        ("(1+1)(1+2)", 6),
        ("1/2(4)", 2),
        ("2^-1", Fraction(1, 2)),
    ],
)
def test_powers_and_products_side_by_side(text: str, value: Fraction) -> None:
    assert evaluate(parse(text, symbols=True)) == value


@pytest.mark.parametrize(
    "note, right",
    [
        ("48/2=24", True),
        ("48/2=25", False),
        ("2/3=0.67", True),
        ("2/3=0.66", True),
        ("2/3=.67", True),
        ("2/3=0.68", False),
        ("20/3=7", False),  # a whole number must be exact
        ("0.5-0.4=0.09999999999999998", True),  # binary floating point
        ("1000*1.1=1,100", True),
        ("$5*2=$10", True),
        ("3-5=-2", True),
        ("(1+2)*3=9", True),
        ("1/0=0", False),
        ("x+1=2", None),
        ("5*2/5=2.0=2.0", None),
        ("5+5", None),
        ("5%*20=1", None),
        ("", None),
        ("9" * 400 + "=1", None),
    ],
)
def test_a_note_is_right_wrong_or_unreadable(note: str, right: bool | None) -> None:
    (found,) = calculator_notes(f"so <<{note}>>x")
    assert found.is_right is right


def test_notes_keep_their_place_and_can_be_removed() -> None:
    text = "She has 48/2 = <<48/2=24>>24 and 24+1 = <<24+1=25>>25. <<open"
    assert [text[n.start : n.end] for n in calculator_notes(text)] == ["<<48/2=24>>", "<<24+1=25>>"]
    assert strip_calculator(text) == "She has 48/2 = 24 and 24+1 = 25. <<open"


@given(text=st.text(alphabet="<>=1+ ", max_size=40))
def test_stripping_leaves_no_closed_note_it_could_read_first(text: str) -> None:
    kept = strip_calculator(text)
    assert len(kept) == len(text) - sum(n.end - n.start for n in calculator_notes(text))


@pytest.mark.parametrize("unit", ["<<", ">>", "<<1=1>>", "<<(", "<"])
def test_a_megabyte_of_brackets_is_read_in_linear_time(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    started = time.process_time()
    assert sum(n.end - n.start for n in calculator_notes(text)) + len(strip_calculator(text)) == len(text)
    assert time.process_time() - started < 15


def test_the_notes_of_gsm8k_gold_solutions_are_right(shared_data: Path) -> None:
    """27,995 of 27,998 notes are right and none is wrong; three use `//` or state a fraction."""
    counts: dict[bool | None, int] = {}
    for part in ("train", "test"):
        for line in (shared_data / "gsm8k" / f"{part}.jsonl").open(encoding="utf-8"):
            for note in calculator_notes(json.loads(line)["answer"]):
                counts[note.is_right] = counts.get(note.is_right, 0) + 1
    assert counts == {True: 27_995, None: 3}


def test_wrong_notes_in_model_solutions_go_with_wrong_answers(shared_data: Path) -> None:
    """Real solutions of four models: a solution with a wrong note is far less often correct."""
    tally = {True: [0, 0], False: [0, 0]}
    for line in (shared_data / "gsm8k" / "example_model_solutions.jsonl").open(encoding="utf-8"):
        row = json.loads(line)
        for model in set(row) - {"question", "ground_truth"}:
            slips = any(n.is_right is False for n in calculator_notes(row[model]["solution"]))
            tally[slips][row[model]["is_correct"]] += 1
    rate = {slips: right / (wrong + right) for slips, (wrong, right) in tally.items()}
    assert sum(tally[True]) > 30
    assert rate[True] < 0.5 * rate[False]
