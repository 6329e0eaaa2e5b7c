"""Specifies strategies on stored samples: the same choice as the formulas, at the stored cost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from preceptor.bench.paired import paired_results
from preceptor.bench.pool_files import read_pools
from preceptor.bench.replay import Replay
from preceptor.errors import InputError, RecordError
from preceptor.generation import Request, Sampling
from preceptor.search import BestOfN, Majority, SolveResult, WeightedVote, solve
from preceptor.search.voting.adaptive_consistency import AdaptiveConsistency
from preceptor.search.voting.omegaprm_vote import OmegaPRMVote
from preceptor.trace import Finish, Problem
from preceptor.usage import Budget
from preceptor.worlds.readers import Candidate, Pool

LONG = Sampling(temperature=0.8, max_tokens=10_000)


def candidate(answer: str, tokens: int, *scores: float) -> Candidate:
    steps = tuple(f"step {t}" for t in range(len(scores) - 1)) + (f"so \\boxed{{{answer}}}",)
    return Candidate(steps, answer, answer == "7", tokens, {"rm": scores})


POOLS = (
    Pool(
        Problem("a?", "7", id="a", segmenter="blank_line"),
        (candidate("8", 10, 0.9, 0.2), candidate("7", 20, 0.3, 0.8), candidate("8", 30, 0.5)),
    ),
    Pool(
        Problem("b?", "7", id="b", segmenter="blank_line"), (candidate("7", 5, 0.1), candidate("8", 5, 0.2))
    ),
)


def run(strategy, pools=POOLS, model: str = "rm", seed: int | None = None, **settings) -> SolveResult:  # type: ignore[no-untyped-def]
    replay = Replay(tuple(pools), model, seed)
    return solve(replay, replay.problems, strategy, replay, **settings)


def test_a_strategy_reads_the_stored_samples_their_scores_and_their_cost() -> None:
    result = run(BestOfN(3, sampling=LONG))
    first, second = result.solutions
    assert [c.scores for c in first.candidates] == [(0.9, 0.2), (0.3, 0.8), (0.5,)]
    assert (first.answer, first.ledger.policy.generated) == ("7", 60)
    assert (second.answer, second.finished) == ("8", 2)
    assert [n.error.kind for n in second.tree.nodes if n.error] == ["pool-empty"]
    assert run(Majority(3, sampling=LONG)).solutions[0].answer == "8"
    assert run(BestOfN(2, "first", sampling=LONG)).solutions[0].answer == "8"


def test_limits_cut_and_budgets_hold() -> None:
    cut = run(Majority(3, sampling=Sampling(max_tokens=20))).solutions[0]
    assert [n.finish for n in cut.tree.nodes[1:]] == [Finish.STOP, Finish.STOP, Finish.LENGTH]
    tight = run(Majority(3, sampling=LONG), budget=Budget(tokens=29)).solutions[0]
    assert tight.ledger.policy.generated <= 29
    assert tight.finished == 1
    replay = Replay(POOLS)
    assert replay.generate([Request(POOLS[0].problem, prefix="step 0")])[0].error is not None
    assert replay.score([run(Majority(1)).solutions[0].candidates[0].trace])[0].scores is None


def test_a_seed_shuffles_the_pool_and_changes_no_full_vote() -> None:
    orders = {
        tuple(c.trace.text for c in run(Majority(3, sampling=LONG), seed=s).solutions[0].candidates)
        for s in range(8)
    }
    assert len(orders) > 2
    assert {frozenset(o) for o in orders} == {frozenset(next(iter(orders)))}


def test_strategies_on_real_pools_side_by_side(shared_data: Path) -> None:
    pools = tuple(read_pools(shared_data / "bon_pools/gsm8k_250x32.jsonl.gz")[:8])
    long = Sampling(temperature=0.8, max_tokens=100_000)
    strategies = {
        "majority": Majority(32, sampling=long),
        "adaptive": AdaptiveConsistency(32, sampling=long),
        "omegaprm": OmegaPRMVote(32, sampling=long),
    }
    results = {name: run(s, pools, "qwen_prm") for name, s in strategies.items()}
    for solution, pool in zip(results["majority"].solutions, pools, strict=True):
        assert [c.answer for c in solution.candidates] == [c.answer for c in pool.candidates]
    stored = sum(c.num_tokens for p in pools for c in p.candidates)
    assert results["majority"].ledger.policy.generated == stored
    assert results["adaptive"].ledger.policy.generated < 0.5 * stored
    report = paired_results(results, "majority", resamples=200)
    assert report.problems == 8
    by_name = {r.name: r for r in report.rows}
    assert (by_name["majority"].minus_base.value, by_name["majority"].test.p) == (0.0, 1.0)
    assert by_name["majority"].samples == 32
    assert by_name["adaptive"].samples < 12
    assert by_name["omegaprm"].accuracy.value == results["omegaprm"].accuracy
    assert "paired differences to majority" in report.table()
    json.dumps(report.to_record())


def test_comparisons_are_paired_on_the_same_problems_in_any_order() -> None:
    results = {
        "bon": run(BestOfN(3, sampling=LONG)),
        "vote": run(WeightedVote(3, sampling=LONG), POOLS[::-1]),
    }
    rows = paired_results(results, "bon").rows
    assert [r.accuracy.value for r in rows] == [results["bon"].accuracy, results["vote"].accuracy]
    with pytest.raises(InputError, match="different problems"):
        paired_results({"all": results["bon"], "one": run(Majority(1), POOLS[:1])}, "all")
    with pytest.raises(InputError, match="expected one of"):
        paired_results(results, "greedy")
    unknown = run(
        Majority(3, sampling=LONG),
        [Pool(Problem("a?", None, id="a", segmenter="blank_line"), POOLS[0].candidates), POOLS[1]],
    )
    left = paired_results({"bon": results["bon"], "unknown": unknown}, "bon")
    assert (left.problems, left.left_out) == (1, 1)


def test_unreadable_pools_are_refused_with_the_place(tmp_path: Path) -> None:
    def written(*rows: object) -> Path:
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(r) + "\n" for r in rows))
        return path

    good = {
        "question": "?",
        "gt": "7",
        "response": ["a"],
        "pred": ["7"],
        "score": [True],
        "pred_score": [[0.5]],
    }
    assert read_pools(written(good))[0].candidates[0].step_scores == {"reward": (0.5,)}
    for change, message in (
        ({"score": [True, False]}, "as many as"),
        ({"pred_score": [0.5]}, "a list of one number"),
    ):
        with pytest.raises(RecordError, match=message):
            read_pools(written({**good, **change}))
    with pytest.raises(InputError, match="expected pools"):
        read_pools(written({"prompt": "?"}))
    (tmp_path / "empty.json").write_text("[]")
    with pytest.raises(InputError):
        read_pools(tmp_path / "empty.json")
    with pytest.raises(InputError, match="empty file"):
        read_pools(written())
    log = {"idx": 0, "ys": ["1 + 1 = 2\nAnswer: 1"], "infos": [{"r": 0}]}
    with pytest.raises(InputError, match="not beside it"):
        read_pools(written(log))
    (tmp_path / "24.csv").write_text("Rank,Puzzles\n1,1 1 4 6\n")
    only = read_pools(written(log))[0]
    assert only.problem.meta["numbers"] == [1, 1, 4, 6]
    assert (only.candidates[0].answer, only.candidates[0].correct) == ("1", False)
    with pytest.raises(RecordError, match="one of 1 puzzles"):
        read_pools(written({**log, "idx": 3}))
