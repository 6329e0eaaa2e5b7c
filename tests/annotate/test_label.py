"""`label` judges every trace once, keeps what it has paid for, and counts what failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from preceptor.annotate import ANNOTATORS, Labels, MathShepherd, annotator, label
from preceptor.errors import BackendError, ItemError
from preceptor.judgement import Judgement, Question, Source
from preceptor.store import Store
from preceptor.trace import Trace
from preceptor.usage import Ledger, Usage
from tests.annotate.scripted import Scripted, trace


@dataclass
class Counter:
    """Scores every step 1; fails on traces whose draw is in `fails`; breaks after `breaks` batches."""

    fails: set[int] = field(default_factory=set)
    breaks: int | None = None
    batches: list[list[Trace]] = field(default_factory=list)
    source = Source.of("counter")
    question = Question.QUALITY

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        if self.breaks is not None and len(self.batches) >= self.breaks:
            raise KeyboardInterrupt
        self.batches.append(list(traces))
        return [self._one(t) for t in traces]

    def _one(self, t: Trace) -> Judgement:
        usage = Ledger(scorer=Usage(scored=10, calls=1))
        if t.draw in self.fails:
            return Judgement(t.id, self.question, self.source, None, error=ItemError("boom", "scripted"))
        return Judgement(t.id, self.question, self.source, (1.0,) * len(t.steps), first_error=-1, usage=usage)


TRACES = [trace(3, draw=d) for d in range(10)]


def test_labels_pair_every_trace_with_its_judgement_and_say_what_they_are():
    labels = label(Counter(fails={2, 5}), TRACES, unit=4)
    assert isinstance(labels, Labels)
    assert [(t.id, j.trace) for t, j in labels] == [(t.id, t.id) for t in TRACES]
    assert (len(labels), labels.labelled, labels.failed, labels.skipped) == (10, 8, 2, 0)
    assert labels.errors == {"boom": 2}
    assert labels.usage.scorer == Usage(scored=80, calls=8)
    assert repr(labels) == (
        "<Labels counter quality: 8 labelled, 2 failed, 0 skipped; first error found in 0, none in 8, "
        "unknown in 0; 0 tokens generated, 0 reused, 80 scored>"
    )
    assert repr(label(Counter(), [])).startswith("<Labels 0 labelled")


def test_units_are_cut_by_position_and_progress_is_told():
    scorer, told = Counter(), []
    label(scorer, TRACES, unit=4, progress=lambda *a: told.append(a))
    assert [len(b) for b in scorer.batches] == [4, 4, 2]
    assert [(done, total) for done, total, _ in told] == [(4, 10), (8, 10), (10, 10)]
    steps = sum(len(t.steps) for t in TRACES)
    assert told[-1][2].startswith(f"{steps} labels, ")
    assert told[-1][2].endswith("/s, 0.0 tok/label, 0 reused, 0 loaded, 0 failed")


def test_equal_traces_are_judged_once():
    scorer = Counter()
    labels = label(scorer, [TRACES[0], TRACES[1], TRACES[0]])
    assert sum(map(len, scorer.batches)) == 2
    assert (len(labels), labels.skipped, labels.judgements[0]) == (3, 1, labels.judgements[2])


def test_a_second_start_loads_what_is_stored_and_tries_only_failures_again(tmp_path: Path):
    with Store(tmp_path / "a.store") as store:
        first = label(Counter(fails={2, 5}), TRACES, store, unit=4)
        scorer = Counter(fails={5})
        again = label(scorer, TRACES, store, unit=4)
        assert [t.draw for b in scorer.batches for t in b] == [2, 5]
        assert (again.labelled, again.failed, again.skipped) == (9, 1, 8)
        assert again.usage.scorer.scored == 10
        assert again.judgements[0] == first.judgements[0]
        assert store.stats()["failed"]["judgements"] == 1
        assert store.verify() == []


def test_an_interrupt_keeps_whole_units_and_the_next_start_goes_on(tmp_path: Path):
    with Store(tmp_path / "a.store") as store:
        with pytest.raises(KeyboardInterrupt):
            label(Counter(breaks=2), TRACES, store, unit=4)
        assert len(store.judged(Counter.source)) == 8
        assert store.verify() == []
        scorer = Counter()
        assert label(scorer, TRACES, store, unit=4).skipped == 8
        assert [len(b) for b in scorer.batches] == [2]


def test_the_same_traces_under_another_source_are_judged_anew(tmp_path: Path):
    with Store(tmp_path / "a.store") as store:
        label(Counter(), TRACES, store)
        policy = Scripted(lambda t: 1.0)
        labels = label(MathShepherd(policy, rollouts=2, store=store), TRACES, store)
        assert labels.skipped == 0
        assert labels.usage.policy.calls == len(policy.asked) == 10 * 2 * 2
        assert [s["judged"] for s in store.stats()["judgements"]] == [10, 10]


def test_a_scorer_that_loses_a_trace_or_a_step_is_refused_before_anything_is_stored(tmp_path: Path):
    class Loses(Counter):
        def score(self, traces):
            return super().score(traces)[:-1]

    class Shortens(Counter):
        def _one(self, t):
            return Judgement(t.id, self.question, self.source, (1.0,))

    with Store(tmp_path / "a.store") as store:
        with pytest.raises(BackendError, match="got 9 judgements, expected one for each of 10"):
            label(Loses(), TRACES, store)
        with pytest.raises(BackendError, match="got 1 scores for trace"):
            label(Shortens(), TRACES, store)
        assert list(store.judgements()) == []
        with pytest.raises(ValueError, match="unit"):
            label(Counter(), TRACES, store, unit=0)


def test_every_annotator_has_a_name():
    assert sorted(ANNOTATORS) == list(ANNOTATORS)
    assert annotator("math-shepherd") is MathShepherd
