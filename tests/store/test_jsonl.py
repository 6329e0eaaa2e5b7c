"""JSON lines are read strictly, every complaint names file, line and field, and files appear whole."""

from __future__ import annotations

import gzip
import os
import random
from pathlib import Path

import pytest

from preceptor.errors import InputError, RecordError, StoreError
from preceptor.store import read_jsonl, unique_ids, write_jsonl

GOOD = b'{"id": "a", "n": 1}\n'


def read(path: Path, content: bytes, **required):
    path.write_bytes(content)
    return list(read_jsonl(path, required))


def test_objects_come_with_their_line_numbers_and_blank_lines_are_passed_over(tmp_path: Path):
    content = b"\xef\xbb\xbf" + GOOD + b"\n  \r\n" + '{"id": "é\\ud800 \u2028", "n": -2.5e3}'.encode()
    assert read(tmp_path / "a.jsonl", content, id=str, n=float) == [
        (1, {"id": "a", "n": 1}),
        (4, {"id": "é\ud800 \u2028", "n": -2500.0}),
    ]


@pytest.mark.parametrize(
    "line, field, said",
    [
        (b"{", None, "expected one JSON object"),
        (b'{"id": "b"} trailing', None, "Extra data"),
        (b"[1, 2]", None, "got a JSON list, expected an object"),
        (b"null", None, "got a JSON NoneType"),
        (b'"text"', None, "got a JSON str"),
        (b'{"id": "b", "n": NaN}', None, "the number NaN"),
        (b'{"id": "b", "n": -Infinity}', None, "the number -Infinity"),
        (b'{"id": "b", "n": 1e999}', None, "the number 1e999, which overflows"),
        (b'{"id": "b", "n": ' + b"9" * 5000 + b"}", None, "expected one JSON object"),
        (b'{"id": "b\xff", "n": 1}', None, "got byte 0xff at column 10, expected UTF-8"),
        (GOOD.decode().strip().encode("utf-16"), None, "expected UTF-8"),
        (b'{"n": 1}', "id", "got nothing, expected str"),
        (b'{"id": "b"}', "n", "got nothing, expected int or null"),
        (b'{"id": 7, "n": 1}', "id", "got 7, expected str"),
        (b'{"id": null, "n": 1}', "id", "got null, expected str"),
        (b'{"id": "b", "n": "1"}', "n", 'got "1", expected int or null'),
        (b'{"id": "b", "n": true}', "n", "got true, expected int"),
        (b'{"id": "b", "n": 1.5}', "n", "got 1.5, expected int"),
        (b"[" * 100_000, None, "nested too deeply"),
        (b'{"id": "b", "n": 1', None, "expected one JSON object"),
    ],
)
def test_a_bad_line_is_named_by_file_line_and_field(tmp_path: Path, line: bytes, field, said: str):
    path = tmp_path / "a.jsonl"
    with pytest.raises(RecordError) as caught:
        read(path, GOOD + line + b"\n" + GOOD, id=str, n=(int, type(None)))
    assert (caught.value.path, caught.value.line, caught.value.field) == (str(path), 2, field)
    assert str(caught.value).startswith(f"{path}:2: ")
    assert said in str(caught.value)
    assert len(str(caught.value)) < 600


def test_lines_before_the_bad_one_are_yielded_first(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(GOOD * 3 + b"oops\n")
    lines = read_jsonl(path)
    assert [next(lines)[0] for _ in range(3)] == [1, 2, 3]
    with pytest.raises(RecordError):
        next(lines)


def test_a_float_may_be_written_as_an_integer_but_not_as_a_boolean(tmp_path: Path):
    assert read(tmp_path / "a.jsonl", b'{"x": 1}', x=float)
    assert read(tmp_path / "a.jsonl", b'{"x": true}', x=bool)
    with pytest.raises(RecordError, match="got false, expected float"):
        read(tmp_path / "a.jsonl", b'{"x": false}', x=float)


@pytest.mark.parametrize("content", [b"", b"\n\n  \n"])
def test_a_file_without_records_is_an_input_error(tmp_path: Path, content: bytes):
    with pytest.raises(InputError, match="got an empty file"):
        read(tmp_path / "a.jsonl", content)


def test_a_file_that_cannot_be_opened_is_an_input_error(tmp_path: Path):
    with pytest.raises(InputError, match="No such file"):
        list(read_jsonl(tmp_path / "absent.jsonl"))
    with pytest.raises(InputError, match="Is a directory"):
        list(read_jsonl(tmp_path))


@pytest.mark.parametrize("seed", range(20))
def test_gz_is_read_and_damage_to_it_is_named(tmp_path: Path, seed: int):
    path, rng = tmp_path / "a.jsonl.gz", random.Random(seed)
    rows = [b'{"id": "%d", "x": "%s"}\n' % (i, rng.randbytes(20).hex().encode()) for i in range(999)]
    whole = gzip.compress(b"".join(rows))
    assert [r["id"] for _, r in read(path, whole)] == [str(i) for i in range(999)]
    # Damage in the middle may show as a malformed line first; it is named as what it is.
    for damaged in (whole[: len(whole) // 2], whole[:2000] + b"\0\0\0\0" + whole[2004:], b"not gzip at all"):
        with pytest.raises(RecordError, match="damaged gzip"):
            read(path, damaged)
    with pytest.raises(InputError, match="empty"):
        read(path, gzip.compress(b""))


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_what_is_written_is_read_back_and_equal_records_give_equal_bytes(tmp_path: Path, name: str):
    records = [{"b": "é\ud800\n\u2028", "a": [1, 0.1 + 0.2, None, True]}, {}]
    assert write_jsonl(tmp_path / name, records) == 2
    assert [r for _, r in read_jsonl(tmp_path / name)] == records
    first = (tmp_path / name).read_bytes()
    os.utime(tmp_path / name, (0, 0))
    write_jsonl(tmp_path / name, [dict(reversed(r.items())) for r in records])
    assert (tmp_path / name).read_bytes() == first
    assert os.listdir(tmp_path) == [name]


def test_a_reader_of_the_old_file_is_not_disturbed(tmp_path: Path):
    write_jsonl(tmp_path / "a.jsonl", [{"old": 1}])
    with open(tmp_path / "a.jsonl", "rb") as old:
        write_jsonl(tmp_path / "a.jsonl", [{"new": 1}])
        assert old.read() == b'{"old":1}\n'


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
@pytest.mark.parametrize("problem", [float("nan"), {1}, b"x", ValueError, KeyboardInterrupt])
def test_a_write_that_breaks_off_leaves_what_stood_there(tmp_path: Path, name: str, problem):
    write_jsonl(tmp_path / name, [{"old": 1}])

    def records():
        yield {"new": 1}
        if isinstance(problem, type):
            raise problem("the source broke")
        yield {"new": problem}

    with pytest.raises(problem if isinstance(problem, type) else InputError):
        write_jsonl(tmp_path / name, records())
    assert [r for _, r in read_jsonl(tmp_path / name)] == [{"old": 1}]
    assert os.listdir(tmp_path) == [name]


def test_a_full_disk_is_a_store_error_and_leaves_what_stood_there(tmp_path: Path):
    """`/dev/full` answers every write with ENOSPC, as a full disk does."""
    path = tmp_path / "a.jsonl"
    write_jsonl(path, [{"old": 1}])
    part = tmp_path / f".a.jsonl.{os.getpid()}.part"
    part.symlink_to("/dev/full")
    with pytest.raises(StoreError, match=r"No space left on device after \d+ records.*Free space"):
        write_jsonl(path, ({"n": "x" * 1000} for _ in range(99)))
    assert [r for _, r in read_jsonl(path)] == [{"old": 1}]
    assert os.listdir(tmp_path) == ["a.jsonl"]


def test_a_missing_directory_is_a_store_error(tmp_path: Path):
    with pytest.raises(StoreError, match=r"No such file or directory.*Check path"):
        write_jsonl(tmp_path / "absent" / "a.jsonl", [{}])


def test_the_second_of_two_equal_ids_is_named_with_the_first(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(GOOD + b'{"id": "b"}\n' + GOOD)
    with pytest.raises(RecordError, match=r":3: field 'id': got \"a\" again, first on line 1") as caught:
        list(unique_ids(read_jsonl(path, {"id": str}), path))
    assert caught.value.line == 3


def test_real_data_reads_with_its_required_fields(shared_data: Path):
    files = sorted(p for p in shared_data.rglob("*.jsonl*") if p.stat().st_size < 2_000_000)[:5]
    assert files
    for path in files:
        assert sum(1 for _ in read_jsonl(path)) > 0
