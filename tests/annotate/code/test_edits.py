"""Edits change one line, leave a program, and are found for every operator of the method.

Run: python -m pytest tests/annotate/code/test_edits.py
"""

from __future__ import annotations

import ast

import pytest

from preceptor.annotate.code import mutations, refactorings
from preceptor.annotate.code.mutate import draw
from preceptor.annotate.code.source import Program
from preceptor.worlds.programs import Programs
from tests.annotate.code.programs import PROGRAM


@pytest.mark.parametrize(
    "program, operator, mutant",
    [
        ("x = (a) + (b)", "operator", "x = (a) - (b)"),
        ("x = a // b", "operator", "x = a * b"),
        ("x = 'é' + b", "operator", "x = 'é' - b"),
        ("x += 2", "operator", "x -= 2"),
        ("x = a and b and c", "operator", "x = a and b or c"),
        ("x = not a", "operator", "x = a"),
        ("x = -a", "operator", "x = a"),
        ("x = 7", "constant", "x = 8"),
        ("x = True", "constant", "x = False"),
        ("x = a < b < c", "comparison", "x = a < b <= c"),
        ("x = a not in b", "comparison", "x = a in b"),
        ("x = a is None", "comparison", "x = a is not None"),
        ("def f(a, b):\n    return a * 2", "variable", "def f(a, b):\n    return b * 2"),
        ("def f(a):\n    return a", "return", "def f(a):\n    return None"),
    ],
)
def test_each_operator_has_its_mutant(program: str, operator: str, mutant: str):
    found = [(e.operator, Program(program).with_line(e.line, e.text)) for e in mutations(program)]
    assert (operator, mutant) in found


def test_every_edit_changes_exactly_its_line_and_leaves_a_program():
    texts = [PROGRAM] + ["".join(p.reference) for p in Programs().problems(n=9)]
    for text in texts:
        for edit in [*mutations(text), *refactorings(text)]:
            new = Program(text).with_line(edit.line, edit.text)
            ast.parse(new)
            changed = [k for k, (a, b) in enumerate(zip(text.split("\n"), new.split("\n"))) if a != b]
            assert changed == [edit.line]
            assert len(new.split("\n")) == len(text.split("\n"))
        assert {e.line for e in mutations(text)} >= set(range(1, text.count("\n"))) - {
            k for k, line in enumerate(text.split("\n")) if line.strip() in ("else:", "")
        }


@pytest.mark.parametrize(
    "program, never",
    [
        ('def f():\n    """Add 1."""\n    return 1', "Add 1.x"),
        ("x = f'{a + 1} and {b}'", "x = "),
        ("x = print(a)", "= a("),
        ('x = """a\n1 + 1\n"""', "1 - 1"),
    ],
)
def test_what_is_not_the_programs_doing_is_left_alone(program: str, never: str):
    assert not any(never in e.text for e in mutations(program))


@pytest.mark.parametrize("text", ["def f(:", "", "\x00", "x = 1\r\ny = 2", "(" * 500, "not code at all"])
def test_text_that_cannot_be_read_has_no_edits(text: str):
    assert mutations(text) == []
    assert refactorings(text) == []


def test_drawing_depends_on_the_seed_alone_and_more_contain_fewer():
    edits = mutations(PROGRAM)
    assert draw(edits, 3, 1) == draw(edits, 3, 1)
    assert draw(edits, 6, 1)[:3] == draw(edits, 3, 1)
    assert len({tuple(draw(edits, 3, seed)) for seed in range(8)}) > 1
    assert sorted(draw(edits, 999, 1), key=repr) == sorted(edits, key=repr)


@pytest.mark.parametrize(
    "program, operator, new",
    [
        ("n += 1", "augmented", "n = n + (1)"),
        ("n = n * (a + b)", "augmented", "n *= a + b"),
        ("if a <= b: pass", "flipped", "if b >= a: pass"),
        ("x = a, b", "parentheses", "x = (a, b)"),
        ("else_ = 1", "comment", "else_ = 1  # as before"),
    ],
)
def test_refactorings_keep_the_meaning(program: str, operator: str, new: str):
    assert (operator, new) in [(e.operator, e.text) for e in refactorings(program)]


def test_no_comment_is_written_into_a_string():
    assert not any(e.line == 0 and e.operator == "comment" for e in refactorings('x = """a\nb"""'))
