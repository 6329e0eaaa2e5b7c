"""Specifies that files of labels come out as they went in, and that a change of format loses nothing in silence.

Run: python -m pytest tests/annotate/formats
"""

from __future__ import annotations

import pytest

from preceptor.annotate.formats import FORMATS, WriteOptions, guess, read, write
from preceptor.annotate.formats.pieces import texts_of
from preceptor.store import Store
from tests.annotate.formats.samples import RECORDS, rows, same, written

PUBLISHED = {
    "prm800k": ("prm800k", "format_samples/samples_prm800k.jsonl", 6, 30),
    "math-shepherd": ("math-shepherd", "format_samples/samples_math-shepherd.jsonl", 7, 7),
    "math-aps flat": ("math-aps", "format_samples/samples_math-aps.jsonl", 3, 134),
    "math-aps tree": ("math-aps", "format_samples/samples_math-aps-tree.jsonl", 3, 242),
    "processbench": ("processbench", "processbench/gsm8k.json", 400, 400),
    "prmbench": ("prmbench", "prmbench/subset400_target_data.jsonl.gz", 394, 394),
}
"""Name -> (format, file, records, items)."""


@pytest.fixture(params=sorted(PUBLISHED))
def published(request, shared_data):
    name, file, records, items = PUBLISHED[request.param]
    return name, shared_data / file, records, items


def test_a_published_file_is_known_by_its_looks_and_written_again_as_it_was(published, tmp_path):
    name, path, records, items = published
    assert guess(path).name == name
    reading = read(path, strict=True)
    report = write(reading, tmp_path / "again.jsonl", name)
    assert (reading.report.records, reading.report.items) == (records, items)
    assert (report.records, report.items) == (records, items)
    assert not report.left_out
    assert not report.lost
    assert same(rows(path), rows(tmp_path / "again.jsonl"))


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_a_small_file_is_written_again_as_it_was(name, tmp_path):
    path = written(tmp_path / "in.jsonl", RECORDS[name])
    assert guess(path).name == ("trl-stepwise" if name == "axolotl-stepwise" else name)
    report = write(read(path, name, strict=True), tmp_path / "out.jsonl", name)
    assert not report.left_out
    assert not report.lost
    assert same(RECORDS[name], rows(tmp_path / "out.jsonl"))


@pytest.mark.parametrize("name", ["jsonl", "parquet"])
def test_the_fullest_formats_carry_every_other_unchanged(name, published, tmp_path):
    own, path, _, _ = published
    items = list(read(path))
    write(items, tmp_path / "full", name)
    back = list(read(tmp_path / "full", name, strict=True))
    assert [(t.to_record(), t.problem) for t, _ in back] == [(t.to_record(), t.problem) for t, _ in items]
    if name == "parquet":
        assert [j.to_record() for _, j in back] == [j.to_record() for _, j in items]
    write(back, tmp_path / "again.jsonl", own)
    assert same(rows(path), rows(tmp_path / "again.jsonl"))


def test_a_file_passes_through_a_store_unchanged(published, tmp_path):
    """Where several items share trace and source the store keeps the first; PRMBench has such rows."""
    name, path, records, _ = published
    with Store(tmp_path / "s.db") as store:
        for trace, judgement in read(path):
            store.put_traces([trace])
            store.put_judgements([judgement])
        traces = {t.id: t for t in store.traces()}
        items = [(traces[j.trace], j) for j in store.judgements()]
        assert store.verify() == []
    write(items, tmp_path / "again.jsonl", name)
    back = rows(tmp_path / "again.jsonl")
    if name != "prmbench":
        assert same(rows(path), back)
    assert len(back) > records * 0.9


LABEL_FORMATS = sorted(name for name, f in FORMATS.items() if f.writes and name not in ("jsonl", "parquet"))


@pytest.mark.parametrize("name", LABEL_FORMATS)
def test_what_another_format_carries_comes_back_and_what_it_does_not_is_counted(name, published, tmp_path):
    _, path, _, _ = published
    items = list(read(path))
    report = write(items, tmp_path / "x", name)
    assert report.items + sum(report.left_out.values()) == len(items)
    if not report.records:
        assert sum(report.left_out.values()) == len(items)
        return
    back = read(tmp_path / "x", name, strict=True)
    by_problem: dict[str, list] = {}
    for trace, judgement in items:
        by_problem.setdefault(trace.problem.prompt.rstrip(), []).append((trace, judgement))
    changed = dict.fromkeys(("steps", "scores", "first error", "answer"), 0)
    for trace, judgement in back:
        before = by_problem[trace.problem.prompt.rstrip()]
        changed["steps"] += all(texts_of(trace)[0] != texts_of(t)[0] for t, _ in before)
        known = [(texts_of(t)[0], j.scores) for t, j in before]
        changed["scores"] += (texts_of(trace)[0], judgement.scores) not in known
        changed["first error"] += all(judgement.first_error != j.first_error for _, j in before)
        changed["answer"] += all(t.answer not in (None, trace.answer) for t, _ in before)
    lost = report.lost
    trimmed = lost["steps without numbers"] + lost["space around steps"]
    assert changed["steps"] <= lost["unjudged steps at the end"] + trimmed
    assert changed["scores"] <= sum(
        lost[k]
        for k in (
            "unjudged steps at the end", "steps without numbers", "space around steps", "labels after the first error",
            "labels beside the first error", "ratings",
        )
    )  # fmt: skip
    assert changed["first error"] <= lost["first error"]
    assert changed["answer"] <= lost["answer"]


def test_soft_labels_need_a_threshold_where_only_marks_fit(tmp_path):
    path = written(tmp_path / "scan.jsonl", RECORDS["scan"])
    for name in (
        "axolotl-stepwise",
        "unprm",
        "fover",
        "prmbench",
        "math-shepherd",
        "rlhflow-chat",
        "prm800k",
    ):
        report = write(read(path), tmp_path / "hard", name)
        assert report.left_out == {"soft label and no threshold": 1}, name
        report = write(read(path), tmp_path / "hard", name, WriteOptions(threshold=0.7))
        assert report.lost["soft labels"] == 1
        ((_, judgement),) = read(tmp_path / "hard", name)
        assert judgement.scores in ((1.0, 0.0, 0.0), (1.0, 0.0, None)), name


def test_a_file_of_marks_stays_a_file_of_marks(tmp_path):
    mixed = [RECORDS["jsonl"][2], {"problem": "s", "steps": ["a"], "scores": [0.5]}]
    path = written(tmp_path / "mixed.jsonl", mixed)
    report = write(read(path), tmp_path / "trl.jsonl", "trl-stepwise", WriteOptions(labels="bool"))
    assert report.left_out == {"soft label and no threshold": 1}
    write(read(path), tmp_path / "trl.jsonl", "trl-stepwise", WriteOptions(labels="float"))
    assert [r["labels"] for r in rows(tmp_path / "trl.jsonl")] == [[1.0, 0.0], [0.5]]


def test_formats_without_nulls_take_the_judged_beginning_and_refuse_a_hole(tmp_path):
    holes = [
        {"problem": "p", "steps": ["a", "b", "c"], "labels": [True, False, None]},
        {"problem": "p", "steps": ["a", "b", "c"], "labels": [True, None, False]},
    ]
    report = write(read(written(tmp_path / "in.jsonl", holes)), tmp_path / "trl.jsonl", "trl-stepwise")
    assert rows(tmp_path / "trl.jsonl") == [
        {"prompt": "p", "completions": ["a", "b"], "labels": [True, False]}
    ]
    assert report.left_out == {"unjudged step before a judged one": 1}
    assert report.lost["unjudged steps at the end"] == 1


def test_parquet_of_other_writers_is_read_by_its_columns(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(RECORDS["trl-stepwise"]), tmp_path / "hub.parquet")
    assert guess(tmp_path / "hub.parquet").name == "trl-stepwise"
    write(read(tmp_path / "hub.parquet", strict=True), tmp_path / "out.jsonl", "trl-stepwise")
    assert same(RECORDS["trl-stepwise"], rows(tmp_path / "out.jsonl"))
