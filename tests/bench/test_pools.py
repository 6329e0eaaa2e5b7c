"""Specifies the benchmark on pools: known figures on real pools, and what becomes of absent scores and answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from preceptor.bench.pools import bench_pools, report_pools
from preceptor.errors import InputError
from preceptor.trace import Problem
from preceptor.worlds.readers import Candidate, Pool

FILE = "bon_pools/gsm8k_250x32.jsonl.gz"


def candidate(answer: str | None, correct: bool, *scores: float) -> Candidate:
    return Candidate(("step",) * len(scores), answer, correct, 5, {"rm": scores})


def pool(name: str, *candidates: Candidate) -> Pool:
    return Pool(Problem("?", "7", id=name, grader="numeric"), candidates)


def test_figures_on_real_pools_equal_those_computed_elsewhere(shared_data: Path) -> None:
    report = bench_pools(shared_data / FILE, aggregators=["prod", "last"], resamples=50)
    assert (report.problems, report.candidates, report.ks) == (250, 8000, (1, 2, 4, 8, 16, 32))
    assert len({m for _, m, _ in report.curves if m}) == 7
    assert f"{report.curve('majority').at[32].value:.4f}" == "0.8380"
    assert f"{report.curve('bon', 'qwen_prm', 'prod').at[32].value:.4f}" == "0.8871"
    mean = report.curve("mean").at[32].value
    for row, curve in report.curves.items():
        assert curve.at[1].value == pytest.approx(mean), row
        for k in report.ks:
            value, top = curve.at[k].value, report.curve("pass").at[k].value
            assert value is not None
            assert top is not None
            assert value <= top + 1e-12
            low, high = curve.at[k].low, curve.at[k].high
            assert low is not None
            assert high is not None
            assert low <= value <= high
    assert report.curve("weighted", "qwen_prm", "prod").exact == {
        1: True,
        2: True,
        4: False,
        8: False,
        16: False,
        32: True,
    }
    assert "0.8380" in report.table()
    json.dumps(report.to_record())


def test_an_aggregator_that_turns_negative_votes_with_softmax_weights_and_prod_agrees_with_sum_log() -> None:
    pools = [
        pool(
            "p",
            candidate("7", True, 0.9, 0.8),
            candidate("8", False, 0.5, 0.5),
            candidate("8", False, 0.4, 0.5),
        )
    ]
    report = report_pools(pools, "x", resamples=10)
    for k in report.ks:
        assert report.curve("bon", "rm", "prod").at[k] == report.curve("bon", "rm", "sum_log").at[k]
        weighted = [report.curve("weighted", "rm", how).at[k].value for how in ("prod", "sum_log")]
        assert weighted[0] == pytest.approx(weighted[1])


def test_candidates_without_answer_or_scores_are_counted_and_do_not_win() -> None:
    pools = [
        pool("a", candidate(None, False, 1.0), candidate("7", True, 0.2), candidate("8", False)),
        pool("b", candidate("7", True), candidate("7", True), candidate("8", False)),
    ]
    report = report_pools(pools, "x", aggregators=["last"], resamples=10)
    assert report.unanswered == 1
    assert report.unscored == {"rm": 4}
    assert report.curve("bon", "rm", "last").at[3].value == 1.0  # "b" is unscored: its majority decides
    assert "unscored candidates: rm 4" in report.table()


def test_scores_an_aggregator_cannot_take_are_reported_and_the_others_stand() -> None:
    pools = [pool("a", candidate("7", True, 2.5), candidate("8", False, -1.0))]
    report = report_pools(pools, "x", aggregators=["last", "prod"], resamples=10)
    assert report.curve("bon", "rm", "last").at[2].value == 1.0
    assert list(report.skipped) == ["rm prod"]
    assert "probability" in report.skipped["rm prod"]
    assert "skipped rm prod" in report.table()


def test_published_strings_or_canonical_answers_decide_what_counts_as_one() -> None:
    pools = [
        pool(
            "a",
            candidate("8", False, 0.1),
            candidate("8", False, 0.1),
            *[candidate(text, True, 0.1) for text in ("7", "7.0", "$7")],
        )
    ]
    apart = report_pools(pools, "x", aggregators=["last"], resamples=10)
    merged = report_pools(pools, "x", aggregators=["last"], answers="canonical", resamples=10)
    assert apart.curve("majority").at[5].value == 0.0
    assert merged.curve("majority").at[5].value == 1.0
    with pytest.raises(InputError, match="canonical"):
        report_pools(pools, "x", answers="numeric")


def test_differences_to_majority_are_paired() -> None:
    pools = [
        pool(f"p{i}", candidate("7", i % 2 == 0, 0.5), candidate("7", i % 2 == 0, 0.5)) for i in range(20)
    ]
    curve = report_pools(pools, "x", aggregators=["last"], resamples=200).curve("bon", "rm", "last")
    gap = curve.minus_majority[2]
    assert (gap.value, gap.low, gap.high) == (0.0, 0.0, 0.0)
    assert curve.at[2].low != curve.at[2].high
