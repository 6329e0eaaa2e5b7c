"""ProcessBench (arXiv 2412.06559): does a scorer find the earliest wrong step of a real solution?

Per subset: accuracy on wrong solutions (exact index), accuracy on right ones (no error claimed), and their
harmonic mean, F1; overall the unweighted mean of the subsets' F1. A judgement that states its own
`first_error` is taken at its word, otherwise the first step scored strictly below the threshold is it. A
solution without a prediction never matches and is counted. Several solutions of one problem are resampled
together. Cost: each solution is scored once, whatever the thresholds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from preceptor.bench.discrimination import bootstrap_auroc
from preceptor.bench.first_error import (
    f1_of_sums,
    first_error_rows,
    mean_offset,
    tune_first_error_threshold,
    up_to_first_error,
)
from preceptor.bench.statistics import (
    RESAMPLES,
    Estimate,
    Floats,
    bootstrap_sums,
    cluster_sums,
    percentile_interval,
    resampled_sums,
)
from preceptor.errors import BackendError, InputError
from preceptor.judgement import NO_ERROR, Judgement, Scorer, first_below
from preceptor.progress import Progress, silent
from preceptor.trace import Trace, stream_seed

ORDER = ("gsm8k", "math", "olympiadbench", "omnimath")
"""Published subsets, in the order of the paper; other files come after, by name."""
_CHUNK = 128


@dataclass(frozen=True)
class Item:
    """One solution, its human label and what the scorer said."""

    id: str
    """The data set's own."""
    trace: Trace
    label: int
    judgement: Judgement

    @property
    def stated(self) -> bool:
        """The scorer names the first error itself; thresholds do not matter."""
        return self.judgement.first_error is not None

    def predicted(self, threshold: float) -> int | None:
        if self.stated:
            return self.judgement.first_error
        return first_below(self.judgement.scores or (), threshold)


@dataclass(frozen=True)
class SubsetReport:
    """Figures of one subset at one threshold."""

    name: str
    threshold: float
    threshold_policy: str
    """How the threshold was chosen, seen from this subset."""
    items: int
    problems: int
    errors: int
    """Solutions with a wrong step."""
    error_accuracy: Estimate
    correct_accuracy: Estimate
    f1: Estimate
    auroc: Estimate
    """Of steps up to and including the first error."""
    offset: float | None
    """Mean of predicted minus labelled index where both name a step; negative is too early."""
    stated: int
    """Solutions whose first error the scorer named itself."""
    unscored: int
    """Solutions without a prediction although the scorer did not fail on them (missing scores)."""
    failed: int
    """Solutions without a prediction because the scorer failed on them."""
    unscored_steps: int
    """Steps up to the first error without a score."""
    optimum_threshold: float | None
    """Tuned on this subset itself: an oracle, not a result."""
    optimum_f1: float | None

    def to_record(self) -> dict[str, Any]:
        return {k: v.to_record() if isinstance(v, Estimate) else v for k, v in vars(self).items()}


@dataclass(frozen=True)
class ProcessBenchReport:
    """All subsets, and the items for those who want to look."""

    scorer: str
    question: str
    subsets: tuple[SubsetReport, ...]
    mean_f1: Estimate
    """Unweighted mean over the subsets; each subset is resampled on its own."""
    resamples: int
    seed: int
    items: Mapping[str, tuple[Item, ...]]

    def __repr__(self) -> str:
        return f"<ProcessBenchReport {self.scorer}: mean F1 {self.mean_f1} over {len(self.subsets)} subsets>"

    def table(self) -> str:
        """The figures as aligned text, per cent."""
        head = ("subset", "n", "error acc", "correct acc", "F1", "AUROC", "no score", "failed", "threshold")
        rows = [
            (
                s.name,
                str(s.items),
                _percent(s.error_accuracy),
                _percent(s.correct_accuracy),
                _percent(s.f1),
                _percent(s.auroc),
                str(s.unscored),
                str(s.failed),
                "stated by the scorer"
                if s.stated == s.items
                else f"{s.threshold:.4g} ({s.threshold_policy})",
            )
            for s in self.subsets
        ]
        total = sum(s.items for s in self.subsets)
        rows.append(("mean", str(total), "", "", _percent(self.mean_f1), "", "", "", ""))
        widths = [max(len(r[i]) for r in (head, *rows)) for i in range(len(head))]
        lines = [f"ProcessBench, {self.scorer} ({self.question})"]
        for row in (head, *rows):
            cells = [c.rjust(w) if 0 < i < 8 else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths))]
            lines.append("  ".join(cells).rstrip())
        lines.append(f"95% intervals: bootstrap over problems, {self.resamples} resamples, seed {self.seed}.")
        best = [
            f"{s.name} {100 * s.optimum_f1:.1f} at {s.optimum_threshold:.4g}"
            for s in self.subsets
            if s.optimum_f1 is not None and s.optimum_threshold is not None
        ]
        if best:
            lines.append(f"Oracle (threshold tuned on the subset itself, not a result): {', '.join(best)}.")
        return "\n".join(lines)

    def to_record(self) -> dict[str, Any]:
        return {
            "benchmark": "processbench",
            "scorer": self.scorer,
            "question": self.question,
            "mean_f1": self.mean_f1.to_record(),
            "subsets": [s.to_record() for s in self.subsets],
            "resamples": self.resamples,
            "seed": self.seed,
        }

    def item_records(self) -> list[dict[str, Any]]:
        """One JSON object per solution."""
        return [
            {
                "subset": s.name,
                "id": item.id,
                "trace": item.trace.id,
                "problem": item.trace.problem.id,
                "label": item.label,
                "predicted": item.predicted(s.threshold),
                "scores": None if item.judgement.scores is None else list(item.judgement.scores),
                "stated": item.stated,
                "error": None if item.judgement.error is None else item.judgement.error.to_record(),
            }
            for s in self.subsets
            for item in self.items[s.name]
        ]

    def write_items(self, path: str | Path) -> None:
        """`item_records` as JSONL."""
        lines = [json.dumps(r, ensure_ascii=True) + "\n" for r in self.item_records()]
        Path(path).write_text("".join(lines), encoding="ascii")


def bench_processbench(
    path: str | Path,
    scorer: Scorer,
    *,
    threshold: float | Literal["tuned"] = 0.5,
    tune_on: str = "gsm8k",
    resamples: int = RESAMPLES,
    seed: int = 0,
    progress: Progress = silent,
) -> ProcessBenchReport:
    """Score every subset file under `path` (a folder of `NAME.json`, or one file).

    `threshold="tuned"` picks the threshold with the best F1 on `tune_on` and uses it on all subsets.
    """
    files = _subset_files(Path(path))
    if threshold == "tuned" and tune_on not in files:
        raise InputError(
            f"ProcessBench: got tune_on={tune_on!r}, expected one of {sorted(files)} (the files in {path}). "
            "Name a subset that is there, or give a fixed threshold."
        )
    items = {name: _judge(name, file, scorer, progress) for name, file in files.items()}
    if threshold == "tuned":
        chosen = _tuned(items[tune_on])
        cut = 0.5 if chosen is None else chosen
        how = {n: f"tuned on {tune_on}, " + ("in sample" if n == tune_on else "transferred") for n in files}
    else:
        cut, how = float(threshold), dict.fromkeys(files, "fixed")
    measured = {n: _Subset(n, own, cut, resamples, seed) for n, own in items.items()}
    replicates = np.mean([m.f1_replicates for m in measured.values()], axis=0)
    subsets = tuple(m.report(how[n]) for n, m in measured.items())
    known = [s.f1.value for s in subsets if s.f1.value is not None]
    mean = sum(known) / len(known) if len(known) == len(subsets) else None
    return ProcessBenchReport(
        scorer=str(scorer.source),
        question=scorer.question.value,
        subsets=subsets,
        mean_f1=percentile_interval(mean, replicates, sum(s.problems for s in subsets)),
        resamples=resamples,
        seed=seed,
        items=items,
    )


@dataclass(frozen=True)
class _Subset:
    """One subset at one threshold; each problem is one row of sums."""

    name: str
    items: tuple[Item, ...]
    threshold: float
    resamples: int
    seed: int

    @property
    def stream(self) -> int:
        return stream_seed(self.seed, "processbench", self.name)

    @cached_property
    def predicted(self) -> list[int | None]:
        return [i.predicted(self.threshold) for i in self.items]

    @cached_property
    def labels(self) -> list[int]:
        return [i.label for i in self.items]

    @cached_property
    def problems(self) -> list[str]:
        return [i.trace.problem.id for i in self.items]

    @cached_property
    def rows(self) -> Floats:
        return cluster_sums(self.problems, first_error_rows(self.predicted, self.labels))

    @cached_property
    def f1_replicates(self) -> Floats:
        return f1_of_sums(resampled_sums(self.rows, resamples=self.resamples, seed=self.stream))

    def report(self, policy: str) -> SubsetReport:
        sums = self.rows.sum(axis=0)
        best = _tuned(self.items)
        at_best = None if best is None else [i.predicted(best) for i in self.items]
        optimum = None if at_best is None else f1_of_sums(first_error_rows(at_best, self.labels).sum(axis=0))
        area, missing = self._auroc()
        none = [i for i, p in zip(self.items, self.predicted, strict=True) if p is None]
        return SubsetReport(
            name=self.name,
            threshold=self.threshold,
            threshold_policy=policy,
            items=len(self.items),
            problems=len(self.rows),
            errors=int(sums[1]),
            error_accuracy=self._ratio(0, 1),
            correct_accuracy=self._ratio(2, 3),
            f1=percentile_interval(float(f1_of_sums(sums)), self.f1_replicates, len(self.rows)),
            auroc=area,
            offset=mean_offset(self.predicted, self.labels),
            stated=sum(i.stated for i in self.items),
            unscored=sum(i.judgement.error is None for i in none),
            failed=sum(i.judgement.error is not None for i in none),
            unscored_steps=missing,
            optimum_threshold=best,
            optimum_f1=None if optimum is None else float(optimum),
        )

    def _ratio(self, top: int, bottom: int) -> Estimate:
        def ratio(sums: Floats) -> Floats:
            with np.errstate(invalid="ignore"):
                return sums[..., top] / sums[..., bottom]

        return bootstrap_sums(self.rows, ratio, resamples=self.resamples, seed=self.stream)

    def _auroc(self) -> tuple[Estimate, int]:
        """AUROC of the steps whose truth is known, and how many of these have no score."""
        owners: list[str] = []
        scores: list[float] = []
        good: list[bool] = []
        missing = 0
        for item in self.items:
            given = item.judgement.scores
            own, labels, lost = up_to_first_error(
                (None,) * len(item.trace.steps) if given is None else given, item.label
            )
            owners += [item.trace.problem.id] * len(own)
            scores += own
            good += labels
            missing += lost
        return bootstrap_auroc(owners, scores, good, resamples=self.resamples, seed=self.stream), missing


def _tuned(items: Sequence[Item]) -> float | None:
    """The threshold with the best F1 on the items it decides; None where it decides none."""
    decided = [i for i in items if not i.stated and i.judgement.scores]
    return tune_first_error_threshold([i.judgement.scores or () for i in decided], [i.label for i in decided])


def _judge(name: str, file: Path, scorer: Scorer, progress: Progress) -> tuple[Item, ...]:
    from preceptor.worlds.readers import read_processbench

    labelled = read_processbench(file)
    items: list[Item] = []
    for at in range(0, len(labelled), _CHUNK):
        chunk = labelled[at : at + _CHUNK]
        judgements = scorer.score([given.trace for given in chunk])
        if len(judgements) != len(chunk):
            raise BackendError(
                f"{scorer.source}: got {len(judgements)} judgements for {len(chunk)} traces, "
                "expected one per trace, in order."
            )
        for given, judgement in zip(chunk, judgements, strict=True):
            items.append(Item(given.id, given.trace, _label(given.judgement, file), judgement))
        errors = sum(i.judgement.error is not None for i in items)
        progress(len(items), len(labelled), f"{name}, {errors} scorer errors")
    return tuple(items)


def _label(truth: Judgement, file: Path) -> int:
    if truth.first_error is None:
        raise InputError(
            f"{file}: got a solution without a label (trace {truth.trace}), expected the 0-based index of "
            f"the first wrong step or {NO_ERROR}."
        )
    return truth.first_error


def _subset_files(path: Path) -> dict[str, Path]:
    files = [path] if path.is_file() else sorted(path.glob("*.json"))
    if not files:
        raise InputError(
            f"ProcessBench: got {path} without any .json file, expected a folder with gsm8k.json, math.json, ... "
            "Download Qwen/ProcessBench and name its folder."
        )
    rank = {name: i for i, name in enumerate(ORDER)}
    files.sort(key=lambda f: (rank.get(f.stem, len(ORDER)), f.stem))
    return {f.stem: f for f in files}


def _percent(estimate: Estimate) -> str:
    if estimate.value is None:
        return "undefined"
    shown = f"{100 * estimate.value:.1f}"
    if estimate.low is None or estimate.high is None:
        return shown
    return f"{shown} [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"
