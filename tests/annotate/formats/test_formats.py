"""Specifies what each published format says: ratings, paths, alternatives, markers, trees; and broken files."""

from __future__ import annotations

import json

import pytest

from preceptor.annotate.formats import FORMATS, ReadOptions, guess, read, write
from preceptor.errors import InputError, RecordError
from preceptor.judgement import NO_ERROR, Question
from tests.annotate.formats.samples import MARKED, RECORDS, rows, same, written

# PRM800K


@pytest.fixture(scope="module")
def prm800k(shared_data):
    return shared_data / "format_samples" / "samples_prm800k.jsonl"


def mains(path, **options):
    found = read(path, "prm800k", ReadOptions(**options))
    return [(t, j) for t, j in found if "alternative" not in j.flags]


def test_phase_2_covers_the_whole_solution_and_is_judged_to_its_first_error(prm800k):
    trace, judgement = mains(prm800k)[1]
    before = rows(prm800k)[1]["question"]["pre_generated_steps"]
    assert trace.text == "\n\n".join(before)
    assert judgement.extra["ratings"][:7] == [1, 0, 1, 1, 1, 1, -1]
    assert judgement.scores == (1.0,) * 6 + (0.0,) + (None,) * 6
    assert judgement.first_error == 6


def test_the_neutral_rule_decides_the_score_of_a_zero_and_keeps_the_rating(prm800k):
    for rule, score in (("positive", 1.0), ("negative", 0.0), ("ignored", None)):
        _, judgement = mains(prm800k, neutral=rule)[1]
        assert judgement.scores[1] == score
        assert judgement.extra["ratings"][1] == 0
    sources = {mains(prm800k, neutral=rule)[1][1].source for rule in ("positive", "negative", "ignored")}
    assert len(sources) == 3


def test_phase_1_goes_on_with_the_human_step_which_nobody_rated(prm800k):
    trace, judgement = mains(prm800k)[0]
    assert trace.step_texts[1] == "We have $3p+e=1.24$ and $5p+e=1.82$.\n\n"
    assert judgement.scores == (1.0, None, 1.0, 1.0, 1.0, 1.0)
    assert judgement.first_error == NO_ERROR
    assert (trace.answer, trace.problem.gold) == ("29", "29")
    assert "human-step" in judgement.flags
    assert mains(prm800k, human="right")[0][1].scores == (1.0,) * 6


def test_every_other_rated_completion_is_a_prefix_of_its_own(prm800k):
    items = list(read(prm800k))
    first = [(t, j) for t, j in items[1:] if j.extra["prm800k"].get("of") == items[0][0].id]
    assert [j.extra["prm800k"]["alternative"] for _, j in first] == [
        *([1, k] for k in range(5)),
        *([5, k] for k in range(4)),
    ]
    trace, judgement = first[0]
    assert [len(t.steps) for t, _ in first] == [2] * 5 + [6] * 4
    assert trace.step_texts[0] == items[0][0].step_texts[0]
    assert (judgement.scores, judgement.first_error) == ((1.0, 0.0), 1)
    # The path before an alternative holds the human step, which stays unjudged.
    assert first[-1][1].scores == (1.0, None, 1.0, 1.0, 1.0, 1.0)


def test_a_line_given_up_has_an_error_and_no_scores(prm800k):
    (_, judgement), *_ = [(t, j) for t, j in mains(prm800k) if j.scores is None]
    assert judgement.error.kind == "given-up"
    assert judgement.extra["ratings"].count(1) == 7
    assert judgement.first_error is None


def test_a_human_completion_may_be_plain_text(prm800k, tmp_path):
    line = rows(prm800k)[0]
    line["label"]["steps"][1]["human_completion"] = "By hand."
    path = written(tmp_path / "in.jsonl", [line])
    assert mains(path)[0][0].step_texts[1] == "By hand.\n\n"
    write(read(path), tmp_path / "out.jsonl", "prm800k")
    assert same([line], rows(tmp_path / "out.jsonl"))


def test_an_alternative_without_its_line_is_left_out_and_counted(prm800k, tmp_path):
    items = [(t, j) for t, j in read(prm800k) if "alternative" in j.flags]
    report = write(items, tmp_path / "out.jsonl", "prm800k")
    assert (report.records, report.left_out) == (0, {"alternative apart from its line": len(items)})


# Math-Shepherd


def test_the_marker_has_two_characters_and_its_label_one(tmp_path):
    ((trace, judgement),) = read(written(tmp_path / "in.jsonl", RECORDS["math-shepherd"][:1]))
    assert trace.problem.prompt == "Is 2+3=5?"
    assert trace.step_texts == ["Step 1: 2+3=5.\n", "Step 2: So yes. The answer is: yes"]
    assert (judgement.scores, judgement.first_error, trace.answer) == ((1.0, 0.0), 1, "yes")
    assert judgement.question is Question.VALUE


def test_a_marker_in_the_problem_has_no_step(tmp_path):
    """Taken as a step's, its minus would shift all labels by one."""
    ((trace, judgement),) = read(written(tmp_path / "in.jsonl", RECORDS["math-shepherd"][1:2]))
    assert trace.problem.prompt == "У сутки?"
    assert (judgement.scores, judgement.flags) == ((1.0, 1.0), ("stray-marker",))


def test_text_with_the_marker_from_elsewhere_does_not_fit(tmp_path):
    path = written(tmp_path / "in.jsonl", [{"problem": "Сутки?", "steps": ["a"], "labels": [True]}])
    assert write(read(path), tmp_path / "out", "math-shepherd").left_out == {"marker in the text": 1}


@pytest.mark.parametrize(
    ("label", "got"), [(MARKED, "characters"), (MARKED.replace("ки", "0"), "at the markers")]
)
def test_labels_that_do_not_match_the_markers_are_bad(label, got, tmp_path):
    path = written(tmp_path / "in.jsonl", [{"input": MARKED, "label": label}])
    with pytest.raises(RecordError, match=got):
        list(read(path, strict=True))


# MATH-APS


def test_flat_prefixes_and_the_tree_give_paths_with_the_values_along_them(shared_data):
    folder = shared_data / "format_samples"
    (first, *_) = rows(folder / "samples_math-aps.jsonl")
    values = {(e["solution_prefix"], e["mc_value"]) for e in first["reasoning_steps"]}
    seen = set()
    for trace, judgement in read(folder / "samples_math-aps.jsonl"):
        if trace.problem.prompt != first["question"]:
            continue
        own = judgement.extra["math-aps"]
        assert len(trace.steps) == len(own["at"])
        for end, score in zip(own["ends"], judgement.scores, strict=True):
            prefix = trace.problem.prompt + own["lead"] + trace.text[:end]
            assert (prefix, score) in values
            seen.add((prefix, score))
    assert seen | {(first["question"], 0.75)} == values
    depths = {len(t.steps) for t, _ in read(folder / "samples_math-aps.jsonl")}
    assert max(depths) >= 3


def test_a_filtered_record_loses_only_the_paths_taken_out(shared_data, tmp_path):
    path = shared_data / "format_samples" / "samples_math-aps-tree.jsonl"
    kept = [(t, j) for t, j in read(path) if len(t.steps) > 1]
    report = write(kept, tmp_path / "out.jsonl", "math-aps")
    assert report.lost["paths of the record"] == report.records
    back = list(read(tmp_path / "out.jsonl"))
    assert [(t.text, j.scores) for t, j in back] == [(t.text, j.scores) for t, j in kept]


# GenPRM, FoVer


def test_genprm_has_several_traces_a_record(tmp_path):
    record = {
        "problem": "p",
        "extracted_groundtruth": "4",
        "steps": [["a", "b"], ["c"]],
        "monte_carlo_scores": [[0.5, 0.0], [1.0]],
    }
    path = written(tmp_path / "in.jsonl", [record])
    assert guess(path).name == "genprm"
    assert [(j.scores, j.first_error) for _, j in read(path)] == [((0.5, 0.0), 1), ((1.0,), NO_ERROR)]
    with pytest.raises(InputError, match="only be read"):
        write(read(path), tmp_path / "out", "genprm")


def test_in_fover_true_means_correct(tmp_path):
    ((_, judgement),) = read(written(tmp_path / "in.jsonl", RECORDS["fover"]))
    assert (judgement.scores, judgement.first_error) == ((0.0, 1.0, None, 1.0), 0)


# broken files


def test_bad_lines_are_counted_with_their_numbers_and_strict_raises(tmp_path):
    good = json.dumps(RECORDS["trl-stepwise"][0])
    uneven = '{"prompt": "p", "completions": ["a", "b"], "labels": [true]}'
    path = tmp_path / "in.jsonl"
    path.write_text("\n".join([good, "{broken", good, uneven, '{"prompt": 3}', good]))
    reading = read(path)
    assert len(list(reading)) == 3
    assert reading.report.bad == {"bad-json": 1, "bad-field": 2}
    assert [bad.line for bad in reading.report.bad_lines] == [2, 4, 5]
    assert "2 steps" in reading.report.bad_lines[1].error.message
    with pytest.raises(RecordError, match=r"in\.jsonl:2"):
        list(read(path, strict=True))


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"parquet", "genprm"}))
def test_no_spoiled_field_crashes_a_reader(name, tmp_path, shared_data):
    """Each field of a good record is replaced by nonsense; a record is read or refused with its line."""
    samples = {"prm800k": "prm800k", "math-aps": "math-aps-tree"}
    if name in samples:
        record = rows(shared_data / "format_samples" / f"samples_{samples[name]}.jsonl")[0]
    elif name == "processbench":
        record = rows(shared_data / "processbench" / "gsm8k.json")[0]
    else:
        record = RECORDS[name][0]
    spoiled = [{**record, field: value} for field in record for value in (None, 7, "", [], {}, [[]], [None])]
    spoiled += [{k: v for k, v in record.items() if k != field} for field in record]
    reading = read(written(tmp_path / "in.jsonl", spoiled), name)
    list(reading)
    assert sum(reading.report.bad.values()) >= len(spoiled) / 4
    assert all(bad.line for bad in reading.report.bad_lines)


def test_an_unknown_file_says_what_it_has_and_what_is_expected(tmp_path):
    with pytest.raises(InputError, match=r"fields \['colour'\].*prm800k"):
        guess(written(tmp_path / "in.jsonl", [{"colour": "red"}]))
    with pytest.raises(InputError, match="expected one of prm800k"):
        read(tmp_path / "in.jsonl", "prm900k")
    with pytest.raises(InputError, match="Check the path"):
        guess(tmp_path / "absent.jsonl")


def test_a_cut_parquet_file_is_damaged_not_empty(tmp_path):
    write(read(written(tmp_path / "in.jsonl", RECORDS["jsonl"])), tmp_path / "x.parquet", "parquet")
    whole = (tmp_path / "x.parquet").read_bytes()
    (tmp_path / "x.parquet").write_bytes(whole[:-20])
    with pytest.raises(RecordError, match="damaged parquet"):
        list(read(tmp_path / "x.parquet", "parquet"))
