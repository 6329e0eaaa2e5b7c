"""Labelling with several processes: each takes every n-th unit, all write to one store.

A trace's labels depend on its own rollouts, which depend on (seed, problem, prefix, draw) alone, so the labels are
those of one process. What a process that died left undone is done by the caller. Methods that judge all traces
together cannot be split: one process labels them. Left out: several machines (servers and stores are shared by
address).
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from preceptor.annotate.label import Labels, label, units
from preceptor.errors import InputError
from preceptor.judgement import Scorer
from preceptor.progress import Progress, silent
from preceptor.store import Store
from preceptor.trace import Trace
from preceptor.usage import Ledger

Make = Callable[[Store], Scorer]
"""Builds the scorer over a store; a function of a module, or a `functools.partial` of one."""


def label_with_workers(
    make: Make,
    traces: Sequence[Trace],
    store: Store,
    workers: int,
    *,
    unit: int = 64,
    progress: Progress = silent,
) -> Labels:
    """`label(make(store), traces, store)`, the units shared among `workers` processes.

    The usage of the result is what all of them spent. InputError for a method that cannot be split.
    """
    scorer = make(store)
    if workers > 1 and getattr(scorer, "pool", "trace") == "all":
        raise InputError(
            f"workers: got {workers}, but {scorer.source.name} judges all traces together. Give 1."
        )
    if workers <= 1:
        return label(scorer, traces, store, unit=unit, progress=progress)
    store.put_traces(traces)
    distinct = list({trace.id: trace for trace in traces}.values())
    parts = units(scorer, distinct, unit)
    known = {j.trace for j in store.judgements(scorer.source, traces=[t.id for t in distinct])}
    context = multiprocessing.get_context("spawn")
    shares = [[[t.id for t in part] for part in parts[k::workers]] for k in range(workers)]
    started = [context.Process(target=_work, args=(make, store.path, share)) for share in shares if share]
    for process in started:
        process.start()
    try:
        _watch(started, scorer, distinct, store, progress)
    finally:
        for process in started:
            process.terminate()
            process.join()
    done = label(scorer, traces, store, unit=unit, progress=progress)
    spent = sum((j.usage for j in done.judgements if j.trace not in known), Ledger())
    skipped = sum(j.trace in known for j in done.judgements)
    return Labels(done.traces, done.judgements, done.labelled, done.failed, skipped, spent)


def _watch(
    started: Sequence[multiprocessing.process.BaseProcess],
    scorer: Scorer,
    traces: Sequence[Trace],
    store: Store,
    progress: Progress,
) -> None:
    while any(process.is_alive() for process in started):
        for process in started:
            process.join(timeout=0.5 / len(started))
        done = len(store.judged(scorer.source))
        progress(min(done, len(traces)), len(traces), f"{len(started)} workers")


def _work(make: Make, path: Path, share: Sequence[Sequence[str]]) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with Store(path) as store:
        scorer = make(store)
        traces = {trace.id: trace for trace in store.traces()}
        for ids in share:
            part = [traces[i] for i in ids]
            label(scorer, part, store, unit=len(part))
