"""ProcessBench on real solutions: known figures of rule predictors, thresholds, failures and clusters."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from preceptor.bench import bench_processbench, first_error_counts
from preceptor.errors import BackendError, InputError, ItemError
from preceptor.judgement import NO_ERROR, Judgement, Question, Source, first_below
from preceptor.trace import Trace, stream_seed
from preceptor.worlds.readers import read_processbench

RULE = Source("rule")
Rule = Callable[[Trace], Judgement]


@dataclass(frozen=True)
class RuleScorer:
    """A scorer that applies one function to each trace."""

    rule: Rule
    question: Question = Question.VALIDITY
    source: Source = RULE

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        return [self.rule(trace) for trace in traces]


def stating(first_error: Callable[[Trace], int | None]) -> RuleScorer:
    return RuleScorer(lambda t: Judgement(t.id, Question.VALIDITY, RULE, None, first_error=first_error(t)))


def scoring(scores: Callable[[Trace], tuple[float | None, ...] | None]) -> RuleScorer:
    return RuleScorer(lambda t: Judgement(t.id, Question.VALIDITY, RULE, scores(t)))


def noisy(trace: Trace) -> tuple[float | None, ...]:
    """Scores that know nothing but look like a reward model's: fixed by the content."""
    return tuple(stream_seed(trace.text, t) % 997 / 997 for t in range(len(trace.steps)))


def wrong_answer(trace: Trace) -> bool:
    assert trace.grade is not None
    return not trace.grade.correct


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    return shared_data / "processbench"


def test_rule_predictors_get_the_published_figures(folder: Path):
    """The catalogue's check: 'wrong answer: step 0' and 'wrong answer: last step'."""
    first = bench_processbench(folder, stating(lambda t: 0 if wrong_answer(t) else NO_ERROR), resamples=50)
    last = bench_processbench(
        folder, stating(lambda t: len(t.steps) - 1 if wrong_answer(t) else NO_ERROR), resamples=50
    )
    assert [s.name for s in first.subsets[:2]] == ["gsm8k", "math"]
    figures = {s.name: s for s in first.subsets}
    assert [round(100 * figures[n].f1.value, 1) for n in ("gsm8k", "math")] == [27.5, 27.1]
    assert [round(100 * s.f1.value, 1) for s in last.subsets[:2]] == [13.5, 9.3]
    assert {s.correct_accuracy.value for s in (*first.subsets, *last.subsets)} == {1.0}
    assert (figures["gsm8k"].errors, figures["math"].errors) == (207, 594)


def test_a_constant_predictor_earns_nothing_because_the_mean_is_harmonic(folder: Path):
    report = bench_processbench(folder, stating(lambda t: NO_ERROR), resamples=50)
    for subset in report.subsets:
        assert (subset.error_accuracy.value, subset.correct_accuracy.value) == (0.0, 1.0)
        assert subset.f1.value == 0.0
        assert subset.auroc.value is None
        assert subset.stated == subset.items
    assert report.mean_f1.value == 0.0
    assert "stated by the scorer" in report.table()


def test_the_mean_is_over_subsets_and_not_over_items(folder: Path):
    report = bench_processbench(folder, stating(lambda t: 0 if wrong_answer(t) else NO_ERROR), resamples=200)
    values = [s.f1.value for s in report.subsets]
    assert report.mean_f1.value == pytest.approx(sum(values) / len(values))
    assert report.mean_f1.low < report.mean_f1.value < report.mean_f1.high


def test_solutions_of_one_problem_are_resampled_together(folder: Path):
    report = bench_processbench(folder / "gsm8k.json", scoring(noisy), resamples=50)
    (gsm8k,) = report.subsets
    rows = json.loads((folder / "gsm8k.json").read_text(encoding="utf-8"))
    assert gsm8k.items == len(rows)
    assert gsm8k.problems == len({r["problem"] for r in rows}) < len(rows)
    assert gsm8k.f1.n == gsm8k.problems


def test_perfect_scores_are_perfect_and_the_worst_ones_are_not(folder: Path):
    truth = {i.trace.id: i.judgement for i in read_processbench(folder / "gsm8k.json")}
    perfect = bench_processbench(
        folder / "gsm8k.json", scoring(lambda t: tuple(1.0 if s is None else s for s in truth[t.id].scores))
    )
    assert (perfect.subsets[0].f1.value, perfect.subsets[0].auroc.value) == (1.0, 1.0)
    assert perfect.subsets[0].offset == 0.0


def test_a_tuned_threshold_is_chosen_on_one_subset_and_carried_to_the_others(folder: Path):
    report = bench_processbench(folder, scoring(noisy), threshold="tuned", tune_on="gsm8k", resamples=50)
    gsm8k, math = report.subsets[:2]
    assert gsm8k.threshold == math.threshold == gsm8k.optimum_threshold
    assert gsm8k.f1.value == gsm8k.optimum_f1
    assert math.f1.value <= math.optimum_f1
    assert gsm8k.threshold_policy == "tuned on gsm8k, in sample"
    assert math.threshold_policy == "tuned on gsm8k, transferred"
    assert "Oracle (threshold tuned on the subset itself, not a result)" in report.table()

    labelled = read_processbench(folder / "math.json")
    direct = first_error_counts(
        [first_below(noisy(i.trace), gsm8k.threshold) for i in labelled],
        [i.judgement.first_error for i in labelled],
    )
    assert math.f1.value == pytest.approx(direct.f1)


def test_tuning_on_a_subset_that_is_absent_names_those_that_are_there(folder: Path):
    with pytest.raises(InputError, match=r"tune_on='omnimath', expected one of \['gsm8k', 'math'"):
        bench_processbench(folder, scoring(noisy), threshold="tuned", tune_on="omnimath")
    with pytest.raises(InputError, match=r"without any \.json file"):
        bench_processbench(folder / "nothing-here", scoring(noisy))


def test_failed_and_unscored_solutions_never_match_and_are_counted_apart(folder: Path):
    def rule(trace: Trace) -> Judgement:
        kind = stream_seed(trace.id) % 4
        base = (trace.id, Question.VALIDITY, RULE)
        if kind == 0:
            return Judgement(*base, None, error=ItemError("too-long", "9,000 tokens, limit 4,096"))
        if kind == 1:
            return Judgement(*base, (None,) + (0.0,) * (len(trace.steps) - 1))
        return Judgement(*base, (1.0,) * len(trace.steps))

    (subset,) = bench_processbench(folder / "gsm8k.json", RuleScorer(rule), resamples=50).subsets
    kinds = [stream_seed(i.trace.id) % 4 for i in read_processbench(folder / "gsm8k.json")]
    assert (subset.failed, subset.unscored) == (kinds.count(0), kinds.count(1))
    labels = [i.judgement.first_error for i in read_processbench(folder / "gsm8k.json")]
    clean = sum(label == NO_ERROR and kind > 1 for label, kind in zip(labels, kinds, strict=True))
    assert subset.correct_accuracy.value == pytest.approx(clean / labels.count(NO_ERROR))
    assert subset.error_accuracy.value == 0.0
    assert subset.unscored_steps > 0


def test_a_stated_first_error_wins_over_the_scores(folder: Path):
    truth = {i.trace.id: i.judgement for i in read_processbench(folder / "gsm8k.json")}
    scorer = RuleScorer(
        lambda t: Judgement(
            t.id, Question.VALUE, Source("search"), (0.0,) * len(t.steps), first_error=truth[t.id].first_error
        ),
        question=Question.VALUE,
    )
    report = bench_processbench(folder / "gsm8k.json", scorer, resamples=50)
    assert report.subsets[0].f1.value == 1.0
    assert report.subsets[0].optimum_threshold is None
    assert report.question == "value"


def test_a_scorer_that_loses_judgements_is_an_error_and_not_a_shift(folder: Path):
    class Loses(RuleScorer):
        def score(self, traces: Sequence[Trace]) -> list[Judgement]:
            return super().score(traces)[1:]

    with pytest.raises(BackendError, match="127 judgements for 128 traces"):
        bench_processbench(folder / "gsm8k.json", Loses(scoring(noisy).rule))


def test_the_record_is_json_and_the_items_can_be_counted_again(folder: Path, tmp_path: Path):
    told: list[tuple[int, int, str]] = []
    report = bench_processbench(
        folder,
        scoring(noisy),
        threshold=0.1,
        resamples=50,
        progress=lambda done, total, note="": told.append((done, total, note)),
    )
    record = json.loads(json.dumps(report.to_record(), allow_nan=False))
    report.write_items(tmp_path / "items.jsonl")
    items = [json.loads(line) for line in (tmp_path / "items.jsonl").read_text().splitlines()]
    assert len(items) == sum(s["items"] for s in record["subsets"])
    for subset in record["subsets"]:
        own = [i for i in items if i["subset"] == subset["name"]]
        again = first_error_counts([i["predicted"] for i in own], [i["label"] for i in own])
        assert subset["f1"]["value"] == pytest.approx(again.f1)
    assert (400, 400, "gsm8k, 0 scorer errors") in told
    assert report.table().splitlines()[1].split()[:2] == ["subset", "n"]
    again_report = bench_processbench(folder, scoring(noisy), threshold=0.1, resamples=50)
    assert again_report.to_record() == report.to_record()
