"""Specifies `load_problems`: worlds, files of problems and folders of known data sets.

Run: python -m pytest tests/worlds/test_load.py
"""

from __future__ import annotations

import json

import pytest

from preceptor.errors import InputError, RecordError
from preceptor.trace import Problem
from preceptor.worlds.load import GOLDS, PROMPTS, load_problems
from preceptor.worlds.readers import read_bon_pool, read_gsm8k_solutions, read_processbench


def written(path, records):
    path.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
    return str(path)


def numbered(n):
    return [{"question": f"What is {i}+1?", "answer": str(i + 1)} for i in range(n)]


# Worlds


def test_a_world_is_named_with_its_options():
    from preceptor.worlds import WORLDS

    spec = "world:arithmetic?split=dev&operations=[2,3]&largest=50"
    expected = WORLDS["arithmetic"].problems("dev", 5, 7, operations=(2, 3), largest=50)
    assert load_problems(spec, n=5, seed=7) == expected
    assert len(load_problems("world:arithmetic")) == 64


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("world:nope", r"got 'nope', expected one of \['arithmetic'"),
        ("world:arithmetic?spilt=dev", r"got options \['spilt'\], expected some of .*'split'"),
        ("world:arithmetic?split=tset", "split: got 'tset', expected one of"),
        ("world:arithmetic?operations=7", "operations"),
        ("world:arithmetic?n=5", r"got options \['n'\]"),
    ],
)
def test_an_unknown_world_or_option_names_the_known_ones(spec, says):
    with pytest.raises(InputError, match=says):
        load_problems(spec)


# Files


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("gold", GOLDS)
def test_the_usual_field_names_are_understood(tmp_path, prompt, gold):
    (problem,) = load_problems(written(tmp_path / "p.jsonl", [{prompt: "1+1?", gold: 2, "source": "x"}]))
    assert (problem.prompt, problem.gold, problem.grader, problem.world) == ("1+1?", "2", "math", "")


def test_our_own_records_come_back_as_they_were(tmp_path):
    problems = [
        Problem("1+1?", "2", "a", "w", "numeric", "blank_line", ("1+1=2\n",), {"givens": [1, 1]}),
        Problem("Prove it."),
        *load_problems("world:arithmetic", n=2),
    ]
    assert load_problems(written(tmp_path / "p.jsonl", [p.to_record() for p in problems])) == problems


def test_a_json_list_is_read_like_json_lines(tmp_path):
    (tmp_path / "p.json").write_text(json.dumps(numbered(5), indent=1))
    assert load_problems(str(tmp_path / "p.json")) == load_problems(
        written(tmp_path / "p.jsonl", numbered(5))
    )


def test_a_smaller_draw_is_a_subset_in_file_order_that_depends_on_the_seed_only(tmp_path):
    whole = load_problems(spec := written(tmp_path / "p.jsonl", numbered(200)))
    ten, fifty = load_problems(spec, 10), load_problems(spec, 50)
    assert {p.id for p in ten} < {p.id for p in fifty}
    assert fifty == [p for p in whole if p in fifty]
    assert load_problems(spec, 50, seed=1) != fifty
    shuffled = load_problems(written(tmp_path / "q.jsonl", numbered(200)[::-1]), 50)
    assert {p.id for p in shuffled} == {p.id for p in fifty}


def test_fewer_problems_than_asked_for_is_an_error_not_a_short_list(tmp_path):
    spec = written(tmp_path / "p.jsonl", numbered(5))
    assert len(load_problems(spec, 5)) == 5
    with pytest.raises(InputError, match=r"n=6, but it has 5"):
        load_problems(spec, 6)
    with pytest.raises(InputError, match="at least 1"):
        load_problems(spec, 0)


@pytest.mark.parametrize(
    ("record", "field", "expected"),
    [
        ({"question": 3, "answer": "4"}, "question", "text"),
        ({"question": "  ", "answer": "4"}, "question", "text"),
        ({"question": "q", "answer": None}, "answer", "text or a number"),
        ({"question": "q", "answer": True}, "answer", "text or a number or null"),
        ({"question": "q", "answer": ["4"]}, "answer", "text or a number or null"),
        ({"question": "q", "answer": ""}, "answer", "text"),
        ({"question": "q", "answer": "4", "grader": "vibes"}, "grader", "one of .*math"),
        ({"question": "q", "answer": "4", "segmenter": "os:remove"}, "segmenter", "one of .*line"),
        ({"question": "q", "answer": "4", "id": 1.5}, "id", "text or an integer"),
        ({"question": "q", "answer": "4", "meta": []}, "meta", "an object"),
        ({"question": "q\ud800", "answer": "4"}, "question", "UTF-8"),
        ({"question": "q"}, "answer", "the fields of the first record: question, answer"),
        ({"problem": "q", "answer": "4"}, "question", "the fields of the first record: question, answer"),
    ],
)
def test_a_bad_record_names_file_line_and_field(tmp_path, record, field, expected):
    path = written(tmp_path / "p.jsonl", [*numbered(2), record])
    with pytest.raises(RecordError, match=expected) as caught:
        load_problems(path)
    assert str(caught.value).startswith(f"{path}:3: field {field!r}: got ")
    assert caught.value.line == 3


def test_an_unknown_form_lists_the_known_ones(shared_data):
    with pytest.raises(
        RecordError, match=r"math-shepherd.jsonl:1: got a record with the fields .*processbench"
    ):
        load_problems(str(shared_data / "format_samples" / "samples_math-shepherd.jsonl"))


# Known data sets


@pytest.mark.parametrize(
    ("spec", "count", "world", "grader", "golds"),
    [
        ("gsm8k", 1319, "gsm8k", "gsm8k", 1319),
        ("gsm8k?split=train", 7473, "gsm8k", "gsm8k", 7473),
        ("gsm8k/test.jsonl", 1319, "gsm8k", "gsm8k", 1319),
        ("math500", 500, "math", "math", 500),
        ("processbench", 375 + 955, "processbench", "math", 0),
        ("processbench?split=math", 955, "processbench", "math", 0),
        ("bigbench_mistake", 1886, "bigbench_mistake", "exact", 1886),
        ("prmbench", 244, "prmbench", "math", 0),
        ("bon_pools", 250, "bon_pools", "math", 250),
        ("sampled_math", 100, "", "math", 100),
    ],
)
def test_a_known_data_set_is_read_from_its_folder(shared_data, spec, count, world, grader, golds):
    problems = load_problems(str(shared_data / spec))
    assert len(problems) == len({p.id for p in problems}) == count
    assert {(p.world, p.grader) for p in problems} == {(world, grader)}
    assert sum(p.gold is not None for p in problems) == golds


def test_gsm8k_gold_and_reference_steps_come_from_the_worked_solution(shared_data):
    first = load_problems(str(shared_data / "gsm8k"))[0]
    assert first.gold == "18"
    assert first.reference == (
        "Janet sells 16 - 3 - 4 = <<16-3-4=9>>9 duck eggs a day.\n",
        "She makes 9 * 2 = $<<9*2=18>>18 every day at the farmer’s market.\n",
    )


def test_math500_keeps_its_own_id_level_and_subject(shared_data):
    first = load_problems(str(shared_data / "math500"))[0]
    assert (first.id, first.gold) == ("test/precalculus/807.json", "\\left( 3, \\frac{\\pi}{2} \\right)")
    assert first.meta == {"level": "Level 2", "subject": "Precalculus"}


def test_problems_and_traces_of_one_data_set_share_their_ids(shared_data):
    def ids(spec):
        return {p.id for p in load_problems(str(shared_data / spec))}

    solved = read_gsm8k_solutions(shared_data / "gsm8k" / "example_model_solutions.jsonl")
    assert {t.problem.id for t in solved} == ids("gsm8k?split=test")
    marked = read_processbench(shared_data / "processbench" / "gsm8k.json")
    assert {i.trace.problem.id for i in marked} == ids("processbench?split=gsm8k")
    pools = read_bon_pool(shared_data / "bon_pools" / "gsm8k_250x32.jsonl.gz")
    assert {p.problem.id for p in pools} == ids("bon_pools")


def test_game24_puzzles_are_those_of_the_world(shared_data, tmp_path):
    lines = (shared_data / "game24" / "24.csv").read_text().splitlines()
    assert len(lines) == 1363
    some = tmp_path / "24.csv"
    some.write_text("\n".join([lines[0], *lines[901:921]]))
    problems = load_problems(str(tmp_path))
    assert (len(problems), problems[0].meta["numbers"]) == (20, [4, 5, 6, 10])
    assert {p.grader for p in problems} == {"countdown"}


def test_a_folder_without_the_split_names_those_it_has(shared_data):
    with pytest.raises(
        InputError, match=r"split dev, expected one of \['example_model_solutions', 'test', 'train'\]"
    ):
        load_problems(str(shared_data / "gsm8k?split=dev"))


def test_a_path_that_is_not_there_says_what_may_stand_there(tmp_path):
    with pytest.raises(InputError, match="expected world:NAME, a file or a folder"):
        load_problems(str(tmp_path / "nope.jsonl"))
    with pytest.raises(InputError, match="expected one of"):
        load_problems(str(tmp_path))
