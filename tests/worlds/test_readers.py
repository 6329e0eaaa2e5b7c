"""Specifies the readers of labelled public data: counts, offsets and labels on the real files.

Broken files are in tests/test_bad_input.py. Run: python -m pytest tests/worlds/test_readers.py
"""

from __future__ import annotations

import gzip
import json
from collections import Counter

import pytest

from preceptor.judgement import NO_ERROR, Judgement, Question
from preceptor.trace import Finish, Problem, Trace
from preceptor.worlds.readers import (
    first_error_scores,
    joined,
    read_bigbench_mistake,
    read_bon_pool,
    read_gsm8k_solutions,
    read_prmbench,
    read_processbench,
)


def rows(path):
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as file:
        return json.load(file) if path.suffix == ".json" else [json.loads(line) for line in file]


def assert_tiles(trace, steps):
    """The steps, delimiters taken off, are the data's own; joined, they are the text."""
    assert "".join(trace.step_texts) == trace.text == "\n\n".join(steps)
    assert trace.step_texts == [s + "\n\n" for s in steps[:-1]] + [steps[-1]]
    assert trace.prefix(len(steps)) == trace.text


@pytest.mark.parametrize(
    ("steps", "ends"),
    [(["a"], [1]), (["a", "b"], [3, 4]), (["", "b"], [2, 3]), (["a", ""], [3, 3]), (["a\n\nb", "c"], [6, 7])],
)
def test_each_delimiter_belongs_to_the_step_it_ends(steps, ends):
    trace = joined(Problem("p"), steps)
    assert [s.end for s in trace.steps] == ends
    assert_tiles(trace, steps)


def test_only_what_the_first_error_mark_says_becomes_a_score():
    assert first_error_scores(NO_ERROR, 3) == (1.0, 1.0, 1.0)
    assert first_error_scores(0, 3) == (0.0, None, None)
    assert first_error_scores(2, 3) == (1.0, 1.0, 0.0)


# ProcessBench


@pytest.mark.parametrize(
    ("subset", "rows_", "sound", "right_but_flawed", "problems", "mean_steps"),
    [("gsm8k", 400, 193, 7, 375, 5.2), ("math", 1000, 406, 94, 955, 6.5)],
)
def test_processbench_has_the_counts_of_its_paper(
    shared_data, subset, rows_, sound, right_but_flawed, problems, mean_steps
):
    items = read_processbench(shared_data / "processbench" / f"{subset}.json")
    assert len(items) == rows_
    assert sum(i.judgement.first_error == NO_ERROR for i in items) == sound
    assert (
        sum(i.trace.grade.correct and i.judgement.first_error != NO_ERROR for i in items) == right_but_flawed
    )
    assert not any(not i.trace.grade.correct and i.judgement.first_error == NO_ERROR for i in items)
    assert round(sum(len(i.trace.steps) for i in items) / rows_, 1) == mean_steps
    assert len({i.trace.problem.id for i in items}) == problems
    assert len({i.trace.id for i in items}) == rows_
    assert {i.category for i in items} == {subset}


def test_processbench_rows_arrive_whole_and_in_order(shared_data):
    path = shared_data / "processbench" / "gsm8k.json"
    for row, item in zip(rows(path), read_processbench(path), strict=True):
        trace, truth = item
        assert isinstance(trace, Trace)
        assert isinstance(truth, Judgement)
        assert_tiles(trace, row["steps"])
        assert (item.id, trace.policy, trace.problem.prompt) == (row["id"], row["generator"], row["problem"])
        assert trace.grade.correct is row["final_answer_correct"]
        assert trace.grade.decided
        assert (truth.trace, truth.question) == (trace.id, Question.VALIDITY)
        assert truth.source.name == "human/processbench"
        assert truth.first_error == row["label"]
        assert truth.scores == first_error_scores(row["label"], len(row["steps"]))


def test_processbench_reads_json_lines_and_gzip_too(shared_data, tmp_path):
    path = shared_data / "processbench" / "gsm8k.json"
    lines = tmp_path / "gsm8k.jsonl.gz"
    with gzip.open(lines, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows(path))
    assert read_processbench(lines) == read_processbench(path)


# BIG-Bench Mistake


@pytest.mark.parametrize(
    ("task", "rows_", "mistakes", "right"),
    [
        ("dyck_languages", 986, 650, 482),
        ("multistep_arithmetic", 300, 238, 45),
        ("tracking_shuffled_objects", 300, 260, 45),  # two answers differ in blanks only
        ("word_sorting", 300, 266, 45),
    ],
)
def test_bigbench_mistake_has_the_counts_of_its_paper(shared_data, task, rows_, mistakes, right):
    path = shared_data / "bigbench_mistake" / f"{task}.jsonl"
    items = read_bigbench_mistake(path)
    assert len(items) == len({i.trace.id for i in items}) == rows_
    assert sum(i.judgement.first_error != NO_ERROR for i in items) == mistakes
    assert sum(i.trace.grade.correct for i in items) == right
    for row, item in zip(rows(path), items, strict=True):
        assert_tiles(item.trace, row["steps"])
        assert item.judgement.first_error == (
            NO_ERROR if row["mistake_index"] is None else row["mistake_index"]
        )
        assert item.trace.answer == row["answer"]


def test_an_empty_step_of_the_real_data_is_kept_in_its_place(shared_data):
    items = read_bigbench_mistake(shared_data / "bigbench_mistake" / "dyck_languages.jsonl")
    (odd,) = [i for i in items if "\n\n" in i.trace.step_texts]
    assert (odd.id, len(odd.trace.steps)) == ("dyck_languages-539", 57)
    assert odd.trace.step_texts[54] == "\n\n"


# PRMBench


def test_prmbench_marks_every_error_step_and_counts_from_one_in_the_file_only(shared_data):
    path = shared_data / "prmbench" / "subset400_target_data.jsonl.gz"
    items = read_prmbench(path)
    assert Counter(i.category for i in items) == dict.fromkeys(
        (
            "confidence",
            "step_contradiction",
            "circular",
            "domain_inconsistency",
            "counterfactual",
            "redundency",
            "deception",
            "missing_condition",
        ),
        48,
    ) | {"multi_solutions": 10}
    for row, item in zip(rows(path), items, strict=True):
        trace, truth = item
        assert_tiles(trace, row["modified_process"])
        inside = [e for e in row["error_steps"] if e <= len(trace.steps)]
        assert [t + 1 for t, s in enumerate(truth.scores) if s == 0.0] == inside
        assert truth.first_error == (min(inside) - 1 if inside else NO_ERROR)
        assert ("error-step-beyond-end" in truth.flags) == (inside != row["error_steps"])
        assert None not in truth.scores
    assert sum(bool(i.judgement.flags) for i in items) == 11
    assert all(i.judgement.first_error == NO_ERROR for i in items if i.category == "multi_solutions")


def prm_row(**fields):
    row = {
        "modified_question": "q",
        "modified_process": ["a", "b"],
        "error_steps": [2],
        "idx": "i",
        "classification": "c",
    }
    return row | fields


def written(path, records):
    path.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
    return path


def test_prmbench_rows_without_a_usable_mark_are_items_without_scores(tmp_path):
    (item,) = read_prmbench(written(tmp_path / "p.jsonl", [prm_row(error_steps=[3, 4])]))
    assert item.judgement.scores is None
    assert item.judgement.first_error is None
    assert item.judgement.error.kind == "label-out-of-range"


def test_prmbench_rows_that_repeat_class_and_idx_count_once_and_are_flagged(tmp_path):
    repeated = [prm_row(), prm_row(error_steps=[1]), prm_row(classification="d")]
    items = read_prmbench(written(tmp_path / "p.jsonl", repeated))
    assert [(i.id, i.judgement.first_error, i.judgement.flags) for i in items] == [
        ("c/i", 1, ("repeated-row",)),
        ("d/i", 1, ()),
    ]


# Best-of-n pools


def test_a_pool_holds_32_candidates_with_a_score_per_step_of_7_models(shared_data):
    pools = read_bon_pool(shared_data / "bon_pools" / "gsm8k_250x32.jsonl.gz")
    assert [len(p.candidates) for p in pools] == [32] * 250
    assert len({p.problem.id for p in pools}) == 250
    candidates = [c for p in pools for c in p.candidates]
    assert sum(c.correct for c in candidates) == 6669
    models = "internlm2_1_8b_reward internlm2_7b_reward math_shepherd "
    models += "qwen_prm rlhflow_prm skywork_prm skywork_prm_1_5b"
    for c in candidates:
        assert sorted(c.step_scores) == models.split()
        assert {len(s) for s in c.step_scores.values()} == {len(c.steps)}
        assert c.num_tokens > 0
    assert (pools[0].problem.id, pools[0].problem.gold) == ("gsm8k_000", "18")


def test_pass_and_best_of_n_of_a_pool_can_be_computed_from_what_is_read(shared_data):
    pools = read_bon_pool(shared_data / "bon_pools" / "gsm8k_250x32.jsonl.gz")
    raw = rows(shared_data / "bon_pools" / "gsm8k_250x32.jsonl.gz")

    def best(candidates, score, right):
        return right(max(candidates, key=score))

    ours = sum(
        best(p.candidates, lambda c: c.step_scores["qwen_prm"][-1], lambda c: c.correct) for p in pools
    )
    plain = sum(
        best(r["candidates"], lambda c: c["step_scores"]["qwen_prm"][-1], lambda c: c["is_correct"])
        for r in raw
    )
    assert ours == plain
    assert sum(any(c.correct for c in p.candidates) for p in pools) == sum(
        any(c["is_correct"] for c in r["candidates"]) for r in raw
    )


def test_the_traces_of_a_pool_are_graded_and_distinct(shared_data):
    pool = read_bon_pool(shared_data / "bon_pools" / "gsm8k_250x32.jsonl.gz")[0]
    assert len({t.id for t in pool.traces}) == 32
    for candidate, trace in zip(pool.candidates, pool.traces, strict=True):
        assert_tiles(trace, list(candidate.steps))
        assert (trace.grade.correct, trace.answer) == (candidate.correct, candidate.answer)


# GSM8K model solutions


def test_gsm8k_solutions_are_four_graded_traces_per_problem(shared_data):
    path = shared_data / "gsm8k" / "example_model_solutions.jsonl"
    traces = read_gsm8k_solutions(path)
    assert len(traces) == len({t.id for t in traces}) == 4 * 1319
    right = Counter(t.policy for t in traces if t.grade.correct)
    assert right == {
        "6b_finetuning": 286,
        "6b_verification": 515,
        "175b_finetuning": 458,
        "175b_verification": 742,
    }
    texts = [row[m]["solution"] for row in rows(path) for m in list(row)[2:]]
    assert [t.text for t in traces] == texts
    for trace in traces:
        assert [s.removesuffix("\n") for s in trace.step_texts] == trace.text.split("\n")
        assert "".join(trace.step_texts) == trace.text
        assert trace.problem.grader == "gsm8k"


def test_the_answer_line_is_its_own_step_and_its_absence_is_a_cut_not_an_end(shared_data):
    traces = read_gsm8k_solutions(shared_data / "gsm8k" / "example_model_solutions.jsonl")
    first = traces[0]
    assert first.step_texts[-1] == "A: 26"
    assert (first.answer, first.problem.gold, first.finish) == ("26", "18", Finish.STOP)
    assert "<<16-3=13>>13" in first.text
    cut = [t for t in traces if t.finish is Finish.LENGTH]
    assert len(cut) == 11
    assert all(t.answer is None and not t.grade.correct for t in cut)
