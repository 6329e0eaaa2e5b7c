"""Measuring: one file a benchmark, and the statistics they share.

    statistics.py      intervals: Wilson, bootstrap over problems, paired differences, McNemar
    discrimination.py  AUROC, AUPRC of the bad class, step confusion
    calibration.py     Brier, ECE (equal width, equal mass), reliability bins
    first_error.py     first-error accuracies, their harmonic mean, the threshold and how it is chosen
    estimators.py      exact pass@k, best-of-k, majority@k and weighted@k from one pool of n samples

    processbench.py    `bench_processbench`: does a scorer find the first wrong step (human labels)
    pools.py           `bench_pools`: does a scorer pick right answers from pools of candidates
    selection.py       the same question for the graded traces at hand, at one size
    doctor/            `diagnose`: is a scorer to be trusted?

    compare.py         runs strategies at several budgets: cells, differences to the first, frontiers
    paired.py          results at hand (replayed pools), compared on the problems that all of them decided
    by_difficulty.py   the best method of each bin of difficulty, chosen on one half and measured on the other
    flops.py           what a search executed, from its tree
    rerank.py          every vote over every aggregator on stored pools
    replay.py          stored samples as a policy and a scorer, so that a strategy over samples runs on them
    pool_files.py      files of samples as pools, whatever their form

A benchmark is one function `bench_NAME(path, scorer, ...)` that returns a frozen report with `table()` (text),
`to_record()` (one JSON object) and, where items matter, `write_items(path)`. To add one: a file here, a
line in `_LAZY` below, a test on real rows whose figures are known from elsewhere.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from preceptor.bench.calibration import (
    Calibration,
    ReliabilityBin,
    brier,
    calibration_figures,
    equal_mass_bins,
    expected_calibration_error,
    reliability_bins,
)
from preceptor.bench.discrimination import StepConfusion, auprc_bad, auroc, bootstrap_auroc, step_confusion
from preceptor.bench.first_error import (
    FirstErrorCounts,
    best_threshold,
    first_error_accuracy,
    first_error_counts,
    harmonic_mean,
    threshold_candidates,
    tune_first_error_threshold,
)
from preceptor.bench.statistics import (
    Estimate,
    McNemar,
    bootstrap,
    bootstrap_mean,
    bootstrap_sums,
    cluster_sums,
    mcnemar,
    paired_bootstrap,
    wilson,
)

_LAZY = {
    "ProcessBenchReport": "processbench",
    "PoolsReport": "pools",
    "bench_pools": "pools",
    "bench_processbench": "processbench",
    "bon_at_k": "estimators",
    "maj_at_k": "estimators",
    "pass_at_k": "estimators",
}

__all__ = [
    "Calibration",
    "Estimate",
    "FirstErrorCounts",
    "McNemar",
    "PoolsReport",
    "ProcessBenchReport",
    "ReliabilityBin",
    "StepConfusion",
    "auprc_bad",
    "auroc",
    "bench_pools",
    "bench_processbench",
    "best_threshold",
    "bon_at_k",
    "bootstrap",
    "bootstrap_auroc",
    "bootstrap_mean",
    "bootstrap_sums",
    "brier",
    "calibration_figures",
    "cluster_sums",
    "equal_mass_bins",
    "expected_calibration_error",
    "first_error_accuracy",
    "first_error_counts",
    "harmonic_mean",
    "maj_at_k",
    "mcnemar",
    "paired_bootstrap",
    "pass_at_k",
    "reliability_bins",
    "step_confusion",
    "threshold_candidates",
    "tune_first_error_threshold",
    "wilson",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"preceptor.bench.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'preceptor.bench' has no attribute {name!r}")
