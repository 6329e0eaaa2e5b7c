"""Specifies re-ranking: known figures on real pools, honest halves, and what noise does to long solutions."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from preceptor.bench.by_difficulty import halves, two_fold
from preceptor.bench.estimators import bon_at_k, maj_at_k
from preceptor.bench.pool_files import read_pools
from preceptor.bench.pools import bench_votes, classes_of, report_pools
from preceptor.bench.rerank import FITTED, RULES, Key, rerank
from preceptor.errors import InputError
from preceptor.search.vote import VOTES
from preceptor.trace import Problem
from preceptor.worlds.readers import Candidate, Pool

GSM8K = "bon_pools/gsm8k_250x32.jsonl.gz"


def candidate(answer: str | None, correct: bool, *scores: float) -> Candidate:
    return Candidate(("step",) * len(scores), answer, correct, 5, {"rm": scores})


def pool(name: str, *candidates: Candidate) -> Pool:
    return Pool(Problem("?", "7", id=name, grader="numeric"), candidates)


def value(report, *key) -> float:  # type: ignore[no-untyped-def]
    found = report.accuracy(Key(*key)).value
    assert found is not None
    return float(found)


def test_known_figures_of_the_real_pools(shared_data: Path) -> None:
    pools = read_pools(shared_data / GSM8K)
    report = rerank(pools, "gsm8k", models=["qwen_prm"], aggregators=["prod"], resamples=200)
    n = 32
    exact = [(maj_at_k(classes_of(p), [c.correct for c in p.candidates], n)) for p in pools]
    assert np.mean(exact) == pytest.approx(0.8380, abs=5e-5)
    assert value(report, "majority") == pytest.approx(0.8380, abs=0.003)  # ties by 8 orders
    assert value(report, "bon", "qwen_prm", "prod") == pytest.approx(0.8871, abs=0.003)
    assert value(report, "pass") == 0.96
    for key in report.outcomes:
        low, high = report.accuracy(key).low, report.accuracy(key).high
        assert low is not None
        assert high is not None
        assert low <= value(report, *key) <= high
        assert key.vote == "pass" or value(report, *key) <= 0.96
    assert {k.vote for k in report.outcomes if k.model} == {*RULES, FITTED}
    gap = report.minus(Key("bon", "qwen_prm", "prod"), Key("majority"))
    assert gap.low is not None
    assert gap.low > 0
    assert "bon qwen_prm prod" in report.table()
    json.dumps(report.to_record())
    # the votes at k of a pool are its first k in random orders: they agree with the exact formulas
    at4 = rerank(
        pools[:60],
        "gsm8k",
        models=["qwen_prm"],
        aggregators=["prod"],
        rules={"bon": VOTES["bon"]},
        k=4,
        orders=40,
    )
    assert value(at4, "majority") == pytest.approx(
        np.mean([maj_at_k(classes_of(p), [c.correct for c in p.candidates], 4) for p in pools[:60]]), abs=0.01
    )


def test_real_pools_of_other_forms(shared_data: Path) -> None:
    maths = bench_votes(
        shared_data / "sampled_math/math_cot_100.jsonl", resamples=50, aggregators=["last", "prod"]
    )
    assert value(maths, "mean") == 0.91
    assert value(maths, "pass") == 0.96
    assert "log_odds reward last" in maths.skipped  # logits are no probabilities
    assert "reward prod" in maths.skipped
    assert value(maths, FITTED, "reward", "last") >= value(maths, "mean")
    tree = bench_votes(shared_data / "game24/tot_propose_value.json", resamples=50, aggregators=["last"])
    assert value(tree, "mean") == pytest.approx(0.238)
    assert value(tree, "pass") == 0.69
    # stored best first: a majority that took the first of ties would read the values in the order
    assert value(tree, "majority") == pytest.approx(0.588, abs=0.03)
    assert value(tree, "bon", "gpt4_value", "last") == pytest.approx(0.652, abs=0.01)
    free = bench_votes(shared_data / "game24/cot_sample_100.json", resamples=50)
    assert value(free, "mean") == pytest.approx(0.0403)
    assert value(free, "pass") == 0.49
    assert {k.model for k in free.outcomes} == {None}


def test_choices_on_small_pools_by_hand() -> None:
    pools = [
        pool("a", candidate("7", True, 0.9), candidate("8", False, 0.2), candidate("8", False, 0.3)),
        pool("b", candidate("7", True, 0.1), candidate("8", False, 0.9), candidate("7", True, 0.2)),
        pool("c", candidate(None, False, 1.0), candidate("7", True, 0.1)),
    ]
    report = rerank(pools, "x", aggregators=["last"], resamples=20)
    assert report.outcomes[Key("majority")].tolist() == [0.0, 1.0, 1.0]
    assert report.outcomes[Key("bon", "rm", "last")].tolist() == [1.0, 0.0, 1.0]
    assert report.outcomes[Key("weighted", "rm", "last")].tolist() == [1.0, 0.0, 1.0]
    assert report.outcomes[Key("mean")].tolist() == pytest.approx([1 / 3, 2 / 3, 1 / 2])
    gap = report.minus(Key("bon", "rm", "last"), Key("majority"))
    assert gap.value == 0.0
    assert gap.low is not None
    assert gap.low < 0  # paired over problems, two of which differ
    same = report.minus(Key("majority"), Key("majority"))
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    with pytest.raises(InputError, match="k=9"):
        rerank(pools, "x", k=9)


def test_difficulty_is_chosen_on_one_half_and_measured_on_the_other() -> None:
    names = [f"p{i}" for i in range(200)]
    side = halves(names)
    assert sorted(np.bincount(side)) == [100, 100]
    assert halves(names[::-1]).tolist() == side[::-1].tolist()
    # method 0 is right on easy problems, method 1 on hard ones
    hard = [i / 200 for i in range(200)]
    table = [[float(h >= 0.5), float(h < 0.5)] for h in hard]
    found = two_fold(table, hard, names, bins=4)
    assert found.by_bin.mean() > 0.95
    assert found.single.mean() == pytest.approx(0.5, abs=0.1)
    assert found.chosen == ((0, 0, 1, 1), (0, 0, 1, 1))
    # where methods are noise, choosing on the same problems would look better than chance; halves do not
    rng = np.random.default_rng(0)
    noise = (rng.random((200, 30)) < 0.5).astype(float)
    assert noise.mean(axis=0).max() > 0.56
    assert two_fold(noise, hard, names).by_bin.mean() == pytest.approx(0.5, abs=0.08)
    assert two_fold(noise[:, :1], hard, names).by_bin.tolist() == noise[:, 0].tolist()


def test_noise_in_step_labels_costs_long_solutions_more() -> None:
    """Multi-RM: a right solution of T steps survives product or minimum with probability (1 - eps)^T."""
    rng, eps, pools = random.Random(0), 0.1, []
    for i in range(400):
        steps = 2 + i % 20
        marks = [tuple(0.05 if rng.random() < eps else 0.95 for _ in range(steps)) for _ in range(4)]
        broken = tuple(0.05 if t == steps // 2 else 0.95 for t in range(steps))
        right = [candidate("7", True, *m) for m in marks[:2]]
        wrong = [candidate(str(k), False, *broken) for k in range(2)]
        pools.append(pool(f"p{i}", *right, *wrong))
    for how in ("min", "prod"):
        report = rerank(pools, "x", aggregators=[how], rules={"bon": VOTES["bon"]}, resamples=20)
        rows = report.strata(Key("bon", "rm", how), report.steps, bins=5)
        assert [r[1] for r in rows] == [80] * 5
        assert [r[0] for r in rows] == pytest.approx([19.5, 15.5, 11.5, 7.5, 3.5])
        assert rows[0][2] < rows[2][2] < rows[4][2]
    survived: dict[int, list[bool]] = {}
    for p in pools:
        for c in p.candidates[:2]:
            survived.setdefault(len(c.steps), []).append(min(c.step_scores["rm"]) > 0.5)
    for steps in (2, 11, 21):
        assert np.mean(survived[steps]) == pytest.approx((1 - eps) ** steps, abs=0.15)


def test_a_calibrated_scorer_makes_the_fitted_log_odds_no_worse_than_majority() -> None:
    rng, pools = random.Random(3), []
    for i in range(300):
        own = []
        for _ in range(7):
            good = rng.random() < 0.4
            p = 0.7 if good == (rng.random() < 0.7) else 0.3
            own.append(candidate("7" if good else str(rng.randint(1, 3)), good, p))
        pools.append(pool(f"p{i}", *own))
    report = rerank(pools, "x", aggregators=["last"], resamples=200)
    gap = report.minus(Key(FITTED, "rm", "last"), Key("majority"))
    assert gap.low is not None
    assert gap.low > 0
    assert value(report, FITTED, "rm", "last") >= value(report, "weighted", "rm", "last")


def test_paired_best_of_k_of_two_scorers_is_what_the_report_pairs() -> None:
    rng = random.Random(1)
    pools = [
        pool(
            f"p{i}",
            *[candidate("7" if g else "8", g, rng.random()) for g in (rng.random() < 0.5 for _ in range(4))],
        )
        for i in range(40)
    ]
    report = report_pools(pools, "x", aggregators=["last"], resamples=50)
    by_hand = [
        bon_at_k([c.step_scores["rm"][0] for c in p.candidates], [c.correct for c in p.candidates], 4)
        - maj_at_k([c.answer for c in p.candidates], [c.correct for c in p.candidates], 4)
        for p in pools
    ]
    assert report.curve("bon", "rm", "last").minus_majority[4].value == pytest.approx(np.mean(by_hand))
