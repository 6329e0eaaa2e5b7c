"""The verb `label`: any scorer over any traces, resumable.

A killed run loses at most the unit in flight; the next one loads what is stored and goes on. Judgements that
failed are tried again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from preceptor.errors import BackendError
from preceptor.judgement import NO_ERROR, Judgement, Scorer
from preceptor.progress import Progress, silent
from preceptor.store import Store
from preceptor.trace import Trace
from preceptor.usage import Ledger


@dataclass(frozen=True, repr=False)
class Labels:
    """Traces and their judgements, in the order of the traces; iterating gives pairs."""

    traces: tuple[Trace, ...]
    judgements: tuple[Judgement, ...]
    labelled: int
    """Traces with scores."""
    failed: int
    """Traces without, each with an error on its judgement."""
    skipped: int
    """Traces whose judgement came from the store or from an equal trace before them."""
    usage: Ledger = field(default_factory=Ledger)
    """What this call spent; skipped traces cost nothing."""

    def __len__(self) -> int:
        return len(self.traces)

    def __iter__(self) -> Iterator[tuple[Trace, Judgement]]:
        return zip(self.traces, self.judgements, strict=True)

    @property
    def errors(self) -> dict[str, int]:
        """Kind of failure -> how many."""
        return dict(Counter(j.error.kind for j in self.judgements if j.error is not None))

    def __repr__(self) -> str:
        who = (
            f"{self.judgements[0].source.name} {self.judgements[0].question.value}: "
            if self.judgements
            else ""
        )
        firsts = [j.first_error for j in self.judgements if j.scores is not None]
        clean, unknown = firsts.count(NO_ERROR), firsts.count(None)
        return (
            f"<Labels {who}{self.labelled} labelled, {self.failed} failed, {self.skipped} skipped; "
            f"first error found in {len(firsts) - clean - unknown}, none in {clean}, unknown in {unknown}; "
            f"{self.usage.policy.generated} tokens generated, {self.usage.policy.reused} reused, "
            f"{self.usage.scorer.scored} scored>"
        )


def label(
    scorer: Scorer,
    traces: Sequence[Trace],
    store: Store | None = None,
    *,
    unit: int = 64,
    progress: Progress = silent,
) -> Labels:
    """Judge every trace once.

    The distinct traces are cut into units by position, whatever the store holds (see `units`). Of each unit, what
    this source has judged before is loaded; the rest goes to `scorer.score` in one call and is stored in one
    transaction. Raises `BackendError` when the scorer does not answer in order; what was stored before stays.
    """
    if unit < 1:
        raise ValueError(f"unit: got {unit}, expected at least 1 trace")
    distinct = list({trace.id: trace for trace in traces}.values())
    if store is not None:
        store.put_traces(distinct)
    judged: dict[str, Judgement] = {}
    loaded = failed = 0
    usage = Ledger()
    done, start = 0, time.monotonic()
    for part in units(scorer, distinct, unit):
        stored = {} if store is None else _stored(scorer, part, store)
        missing = [trace for trace in part if trace.id not in stored]
        fresh = _score(scorer, missing) if missing else []
        if store is not None and fresh:
            store.put_judgements(fresh)
        judged |= stored | {j.trace: j for j in fresh}
        loaded += len(stored)
        failed += sum(j.scores is None for j in fresh)
        usage = sum((j.usage for j in fresh), usage)
        done += len(part)
        progress(done, len(distinct), _said(judged.values(), loaded, failed, usage, time.monotonic() - start))
    judgements = tuple(judged[trace.id] for trace in traces)
    return Labels(
        traces=tuple(traces),
        judgements=judgements,
        labelled=sum(j.scores is not None for j in judgements),
        failed=sum(j.scores is None for j in judgements),
        skipped=loaded + len(judgements) - len(distinct),
        usage=usage,
    )


def units(scorer: Scorer, traces: Sequence[Trace], unit: int) -> list[list[Trace]]:
    """Traces that are judged in one call: `unit` of them; whole problems for a scorer whose `pool` is "problem"
    (consecutive traces of one problem stay together), all for one whose `pool` is "all"."""
    pool = getattr(scorer, "pool", "trace")
    if pool == "all":
        return [list(traces)] if traces else []
    found: list[list[Trace]] = []
    for trace in traces:
        full = not found or len(found[-1]) >= unit
        if full and not (pool == "problem" and found and found[-1][-1].problem.id == trace.problem.id):
            found.append([])
        found[-1].append(trace)
    return found


def _said(judged: Iterable[Judgement], loaded: int, failed: int, usage: Ledger, seconds: float) -> str:
    labels = sum(s is not None for j in judged for s in j.scores or ())
    tokens = usage.policy.generated + usage.scorer.generated
    return (
        f"{labels} labels, {labels / max(seconds, 1e-9):.0f}/s, {tokens / max(labels, 1):.1f} tok/label, "
        f"{usage.policy.reused} reused, {loaded} loaded, {failed} failed"
    )


def _stored(scorer: Scorer, traces: Sequence[Trace], store: Store) -> dict[str, Judgement]:
    found = store.judgements(scorer.source, question=scorer.question, traces=[t.id for t in traces])
    return {j.trace: j for j in found if j.scores is not None}


def _score(scorer: Scorer, traces: Sequence[Trace]) -> list[Judgement]:
    judgements = scorer.score(traces)
    if [j.trace for j in judgements] != [t.id for t in traces]:
        raise BackendError(
            f"{scorer.source}: got {len(judgements)} judgements, expected one for each of {len(traces)} "
            "traces, in their order. `score` must answer for every trace, failures included."
        )
    for trace, judgement in zip(traces, judgements, strict=True):
        if judgement.scores is not None and len(judgement.scores) != len(trace.steps):
            raise BackendError(
                f"{scorer.source}: got {len(judgement.scores)} scores for trace {trace.id}, expected one "
                f"for each of its {len(trace.steps)} steps. Use None for a step that was not judged."
            )
    return judgements
