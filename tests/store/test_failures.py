"""Whatever is wrong with the file, the directory or the disk is a `StoreError` that says what to do, and what
was committed before stays readable."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from preceptor.errors import StoreError
from preceptor.store import Store
from tests.store.things import trace

ROOT = Path(__file__).resolve().parents[2]


def test_a_file_that_is_not_a_store_is_refused_and_left_as_it_was(tmp_path: Path):
    text = tmp_path / "notes.txt"
    text.write_text("not a database, but long enough to be one\n" * 100)
    before = text.read_bytes()
    with pytest.raises(StoreError, match=r"not a database.*expected a store.*another path"):
        Store(text)
    assert text.read_bytes() == before

    other = tmp_path / "other.db"
    with sqlite3.connect(other) as raw:
        raw.execute("CREATE TABLE mine (x)")
    with pytest.raises(StoreError, match="some other program"):
        Store(other)
    assert sqlite3.connect(other).execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_another_schema_version_is_refused_with_both_versions(tmp_path: Path):
    Store(tmp_path / "a.store").close()
    with sqlite3.connect(tmp_path / "a.store") as raw:
        raw.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match=r"got schema version 99, expected 1\. Export it with"):
        Store(tmp_path / "a.store")


def test_a_missing_directory_and_a_directory_are_refused(tmp_path: Path):
    with pytest.raises(StoreError, match=r"got no directory .*expected one\. Create it"):
        Store(tmp_path / "absent" / "a.store")
    with pytest.raises(StoreError, match="got a directory, expected a file"):
        Store(tmp_path)


def test_a_closed_store_says_so(tmp_path: Path):
    store = Store(tmp_path / "a.store")
    store.close()
    with pytest.raises(StoreError, match=r"expected an open store\. Open it again"):
        store.stats()


def test_an_empty_file_becomes_a_store(tmp_path: Path):
    (tmp_path / "a.store").touch()
    with Store(tmp_path / "a.store") as store:
        assert store.put_traces([trace(1)]) == 1


def test_a_damaged_file_is_a_typed_error(tmp_path: Path):
    path = tmp_path / "a.store"
    with Store(path) as store:
        store.put_traces([trace(n) for n in range(300)])
    raw = bytearray(path.read_bytes())
    raw[4096:] = os.urandom(len(raw) - 4096)
    path.write_bytes(raw)
    with pytest.raises(StoreError, match="expected an undamaged file"), Store(path) as store:
        list(store.traces())


def test_a_store_that_another_process_holds_is_a_typed_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("preceptor.store.sqlite.BUSY_SECONDS", 0.2)
    with Store(tmp_path / "a.store") as store:
        holder = sqlite3.connect(store.path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"store traces: got database is locked.*Stop the process"):
            store.put_traces([trace(1)])
        holder.close()
        assert store.put_traces([trace(1)]) == 1


def in_child(
    code: str, *, before: str = "", launch: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, for limits and mounts that must not outlive it."""
    return subprocess.run(
        [*launch, sys.executable, "-c", before + code], cwd=ROOT, capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}, check=False,
    )  # fmt: skip


FILL = """
import sys
from preceptor.store import Store
from preceptor.errors import StoreError
from tests.store.things import trace
path = sys.argv[1] if len(sys.argv) > 1 else PATH
store = Store(path)
kept = 0
try:
    for n in range(10_000):
        store.put_traces([trace(10 * n + i) for i in range(10)])
        kept += 10
except StoreError as e:
    assert "store traces" in str(e), e
    print(type(e).__name__, e, file=sys.stderr)
else:
    sys.exit("the disk never filled")
assert kept > 0
assert [t.id for t in store.traces()] == [trace(n).id for n in range(kept)]
assert store.verify() == []
try:
    store.export(str(path) + ".jsonl")
except StoreError as e:
    assert "nothing was changed" in str(e), e
    import os
    assert sorted(f for f in os.listdir(os.path.dirname(path)) if "jsonl" in f) == []
store.close()
with Store(path) as still_full:
    assert [t.id for t in still_full.traces()] == [trace(n).id for n in range(kept)]
MORE()
store = Store(path)
assert [t.id for t in store.traces()] == [trace(n).id for n in range(kept)]
store.put_traces([trace(10**6)])
assert store.verify() == []
print("kept", kept)
"""


def test_a_full_disk_is_a_typed_error_and_all_that_was_committed_stays():
    """A real one: a file system of 1 MB in a mount namespace of its own."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("no mount namespaces here; the file size limit below stands in")
    before = """
import subprocess, tempfile
top = tempfile.mkdtemp()
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", top], check=True)
PATH = top + "/a.store"
def MORE(): subprocess.run(["mount", "-o", "remount,size=4m", top], check=True)
"""
    done = in_child(FILL, before=before, launch=("unshare", "-rm"))
    assert done.returncode == 0, done.stderr
    assert "Free space and start again" in done.stderr
    assert "kept" in done.stdout


def test_a_file_size_limit_is_a_typed_error_and_all_that_was_committed_stays(tmp_path: Path):
    before = f"""
import resource
PATH = {str(tmp_path / "a.store")!r}
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
def MORE(): resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
"""
    assert resource.RLIMIT_FSIZE is not None
    done = in_child(FILL, before=before)
    assert done.returncode == 0, done.stderr
    assert "StoreError" in done.stderr


def test_a_read_only_directory_is_a_typed_error():
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("no mount namespaces here, and permissions do not bind root")
    code = """
import subprocess, sys, tempfile
from preceptor.store import Store
from preceptor.errors import StoreError
from tests.store.things import trace
top = tempfile.mkdtemp()
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", top], check=True)
Store(top + "/old.store").close()
subprocess.run(["mount", "-o", "remount,ro", top], check=True)
for name in ("new.store", "old.store"):
    try:
        store = Store(f"{top}/{name}")
        store.put_traces([trace(1)])
    except StoreError as e:
        assert "expected a writable file" in str(e), e
    else:
        sys.exit(f"{name}: no error")
"""
    done = in_child(code, launch=("unshare", "-rm"))
    assert done.returncode == 0, done.stderr
