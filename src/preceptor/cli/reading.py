"""Files that hold traces and labels: what they are is told by their content, not by their name."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.errors import InputError

if TYPE_CHECKING:
    from preceptor.annotate import Labels
    from preceptor.judgement import Judgement
    from preceptor.trace import Trace

SQLITE = b"SQLite format 3\0"
KINDS = (
    "a store, its JSONL export, a file or folder of step labels (ProcessBench, PRM800K, TRL and the others that "
    "`store import` knows), or a file of BIG-Bench Mistake or GSM8K solutions"
)


def labels_of(path: Path, source: str | None = None) -> Labels:
    """Traces with their labels. `source`: the beginning of the name of whose, where a store has several.

    GSM8K's solutions have none; they get those of their calculator notes.
    """
    from preceptor.annotate import CalculatorNotes, label
    from preceptor.annotate.formats import known
    from preceptor.worlds.readers import read_bigbench_mistake

    if not path.exists():
        raise InputError(f"labels: no such file {path}, expected {KINDS}")
    if path.is_dir():
        return _labels([pair for file in _json_files(path) for pair in labels_of(file)])
    if _is_store(path):
        return _from_store(path, source)
    if (format := known(path)) is not None:
        own = _own_readers().get(format.name)
        return _labels([(t, j) for t, j in (own(path) if own else format.read(path, strict=True))])
    fields = _fields(path)
    if "type" in fields:
        return _from_export(path, source)
    if "mistake_index" in fields:
        return _labels([(item.trace, item.judgement) for item in read_bigbench_mistake(path)])
    return label(CalculatorNotes(), _gsm8k(path, fields))


def traces_of(path: Path) -> list[Trace]:
    """The traces of a file or folder, whether labelled or not."""
    if path.is_file() and _is_store(path):
        from preceptor.store import Store

        with Store(path) as store:
            return list(store.traces())
    from preceptor.annotate.formats import known

    if path.is_file() and known(path) is None and not {"type", "mistake_index"} & (fields := _fields(path)):
        return list(_gsm8k(path, fields))
    return list(labels_of(path).traces)


def _own_readers() -> dict[str, Callable[[Path], Iterable[Any]]]:
    """Data sets whose whole file is checked: ids that differ, repeated rows dropped."""
    from preceptor.worlds import readers

    return {"processbench": readers.read_processbench, "prmbench": readers.read_prmbench}


def _fields(path: Path) -> set[str]:
    from preceptor.worlds.records import read_rows

    return set(next(iter(read_rows(path))).fields)


def _gsm8k(path: Path, fields: set[str]) -> list[Trace]:
    from preceptor.worlds.readers import read_gsm8k_solutions

    if "question" not in fields:
        raise InputError(f"{path}: got the fields {sorted(fields)[:12]}, expected {KINDS}")
    return list(read_gsm8k_solutions(path))


def _is_store(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(SQLITE)) == SQLITE


def _json_files(path: Path) -> list[Path]:
    files = sorted(f for f in path.iterdir() if f.name.endswith((".json", ".jsonl", ".jsonl.gz", ".parquet")))
    if not files:
        raise InputError(f"labels: got {path} without any .json, .jsonl or .parquet file, expected {KINDS}")
    return files


def _from_export(path: Path, source: str | None) -> Labels:
    from preceptor.store import Store

    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "traces.db"
        with Store(copy) as store:
            store.load(path)
        return _from_store(copy, source)


def _from_store(path: Path, source: str | None) -> Labels:
    from preceptor.store import Store

    with Store(path) as store:
        sources = sorted({str(j.source) for j in store.judgements()})
        chosen = [s for s in sources if s.startswith(source or "")]
        if len(chosen) != 1:
            raise InputError(
                f"--source: got {source!r}, which names {len(chosen)} of the label sources {sources} in {path}; "
                "expected exactly one"
            )
        judgements = [j for j in store.judgements() if str(j.source) == chosen[0]]
        traces = {t.id: t for t in store.traces()}
    return _labels([(traces[j.trace], j) for j in judgements])


def _labels(pairs: Sequence[tuple[Trace, Judgement]]) -> Labels:
    from preceptor.annotate import Labels

    return Labels(
        traces=tuple(t for t, _ in pairs),
        judgements=tuple(j for _, j in pairs),
        labelled=sum(j.scores is not None for _, j in pairs),
        failed=sum(j.scores is None for _, j in pairs),
        skipped=0,
    )
