"""Labelling with several processes: each takes whole problems, all write to one store.

A trace's labels depend on its own rollouts, which depend on (seed, problem, prefix, draw) alone, so the labels are
those of one process; and no prefix is shared by two problems, so no rollout is paid for twice. What a process that
died left undone is done by the caller. Methods that judge all traces together cannot be split. Left out: several
machines (servers and stores are shared by address).
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from preceptor.annotate.label import Labels, label
from preceptor.errors import InputError, PreceptorError
from preceptor.judgement import Judgement, Scorer
from preceptor.progress import Progress, silent
from preceptor.store import Store
from preceptor.trace import Trace
from preceptor.usage import Ledger

Make = Callable[[Store], Scorer]
"""Builds the scorer over a store; a function of a module, or a `functools.partial` of one."""
Process = multiprocessing.process.BaseProcess


def label_with_workers(
    make: Make,
    traces: Sequence[Trace],
    store: Store,
    workers: int,
    *,
    unit: int = 64,
    progress: Progress = silent,
) -> Labels:
    """`label(make(store), traces, store)` with the problems shared out among `workers` processes.

    The traces of a problem are judged together, wherever they stand. The usage of the result is what all processes
    spent. Call it under `if __name__ == "__main__":`, for each process reads the calling script anew. InputError for a
    method that cannot be split.
    """
    scorer = make(store)
    if workers > 1 and getattr(scorer, "pool", "trace") == "all":
        raise InputError(
            f"workers: got {workers}, but {scorer.source.name} judges all traces together. Give 1."
        )
    store.put_traces(traces)
    problems: dict[str, dict[str, Trace]] = {}
    for trace in traces:
        problems.setdefault(trace.problem.id, {})[trace.id] = trace
    ids = [i for own in problems.values() for i in own]
    known = {j.trace for j in _judged(scorer, store, ids) if j.scores is not None}
    todo = [name for name, own in problems.items() if not known.issuperset(own)]
    shares = [{name: list(problems[name]) for name in todo[k::workers]} for k in range(workers)]
    shares = [share for share in shares if share] if workers > 1 else []

    def tell() -> None:
        done = len(store.judged(scorer.source, scorer.question) & set(ids))
        progress(done, len(ids), f"{len(shares)} workers")

    if not shares or not _run(make, store, shares, unit, tell):
        whole = [trace for own in problems.values() for trace in own.values()]
        label(scorer, whole, store, unit=unit, progress=progress)
    judged = {j.trace: j for j in _judged(scorer, store, ids)}
    done = tuple(judged[trace.id] for trace in traces)
    labelled = sum(j.scores is not None for j in done)
    return Labels(
        tuple(traces),
        done,
        labelled,
        len(done) - labelled,
        skipped=len(known) + len(done) - len(ids),
        usage=sum((j.usage for i, j in judged.items() if i not in known), Ledger()),
    )


def _judged(scorer: Scorer, store: Store, ids: Sequence[str]) -> list[Judgement]:
    return list(store.judgements(scorer.source, question=scorer.question, traces=ids))


def _run(
    make: Make, store: Store, shares: Sequence[Mapping[str, list[str]]], unit: int, tell: Callable[[], None]
) -> bool:
    """One process for each share; whether all of them came to their end."""
    try:
        pickle.dumps(make)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise InputError(
            f"make: got {make!r}, which another process cannot be given ({error}). Use a function of a module, or a "
            "functools.partial of one."
        ) from error
    context = multiprocessing.get_context("spawn")
    started: list[multiprocessing.process.BaseProcess] = [
        context.Process(target=_work, args=(make, store.path, share, unit), daemon=True) for share in shares
    ]
    try:
        for process in started:
            process.start()
        while any(process.is_alive() for process in started):
            for process in started:
                process.join(timeout=0.5 / len(started))
            tell()
    finally:
        for process in started:
            if process.pid is not None:
                process.terminate()
                process.join()
    return all(process.exitcode == 0 for process in started)


def _work(make: Make, path: Path, share: Mapping[str, list[str]], unit: int) -> None:
    """What one process does: problem id -> ids of traces. Ctrl-C is left to the caller, who ends its processes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        with Store(path) as store:
            found = {trace.id: trace for trace in store.traces(share)}
            label(make(store), [found[i] for ids in share.values() for i in ids], store, unit=unit)
    except PreceptorError:
        sys.exit(1)  # the caller meets the same error, and says it once
