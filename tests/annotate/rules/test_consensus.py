"""Whole-trace consensus removes traces and changes no label; what is unknown is not disagreement."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.annotate import WorldOracle
from preceptor.annotate.rules.consensus import first_error_consensus, label_consensus
from preceptor.annotate.rules.first_error import first_error_targets
from preceptor.errors import InputError
from preceptor.judgement import NO_ERROR
from tests.annotate.judges.oracle import first_error, scripted_traces

ERRORS = st.lists(st.tuples(*[st.none() | st.integers(-1, 4)] * 2), max_size=20)


@given(ERRORS)
def test_filtering_twice_is_filtering_once(pairs):
    ours, theirs = [a for a, _ in pairs], [b for _, b in pairs]
    found = first_error_consensus(ours, theirs)
    again = first_error_consensus([ours[i] for i in found.kept], [theirs[i] for i in found.kept])
    assert again.kept == tuple(range(len(found.kept)))
    assert again.dropped == {}
    assert len(found.kept) + sum(found.dropped.values()) == len(pairs)
    assert found == first_error_consensus(theirs, ours)


def test_identical_annotators_keep_everything():
    errors = [j.first_error for j in WorldOracle().score(scripted_traces())]
    assert len(set(errors)) > 2
    found = first_error_consensus(errors, errors)
    assert (found.kept, found.dropped, found.share) == (tuple(range(len(errors))), {}, 1.0)


def test_a_judge_that_finds_nothing_keeps_exactly_what_monte_carlo_calls_clean():
    errors = [first_error(t) for t in scripted_traces(n=10)]
    found = first_error_consensus(errors, [NO_ERROR] * len(errors))
    assert found.kept == tuple(i for i, e in enumerate(errors) if e == NO_ERROR)
    assert found.dropped == {"disagree": len(errors) - len(found.kept)}
    assert 0 < len(found.kept) < len(errors)


def test_two_unknowns_do_not_agree():
    found = first_error_consensus([None, None, 1, 0], [None, -1, None, 1])
    assert (found.kept, found.dropped) == ((), {"unknown": 3, "disagree": 1})
    assert first_error_consensus([], []).share is None


@pytest.mark.parametrize(
    ("labels", "judge", "kept"),
    [
        ((1, 1, 0, 1), 2, True),  # what comes after the first error does not matter
        ((1, 1, 0, 0), 2, True),
        ((1, 0, 0, 0), 2, False),  # a step before it is wrong
        ((1, 1, 1, 0), 2, False),  # the error itself is called right
        ((0, 1, 1, 1), 0, True),
        ((1, 1, 1, 1), -1, True),
        ((1, 0, 1, 0), -1, False),
        ((0.9, 0.8, 0.4, 0.9), 2, True),
    ],
)
def test_progress_labels_agree_with_a_first_error_up_to_it(labels, judge, kept):
    found = label_consensus([labels], [judge])
    assert found.kept == ((0,) if kept else ())
    assert found.dropped == ({} if kept else {"disagree": 1})


def test_the_rule_by_labels_differs_from_the_rule_by_first_error():
    """Relative progress labels (1, 0, 1, 0): the judge's error at 3 agrees with the last label only."""
    assert first_error_consensus([1], [1]).kept == label_consensus([(1, 0, 1, 0)], [1]).kept == (0,)
    assert label_consensus([(1, 0, 1, 0)], [3]).kept == ()


def test_a_missing_label_matters_only_where_it_is_compared():
    assert label_consensus([(1, 0, None)], [1]).kept == (0,)
    assert label_consensus([(None, 0, 1)], [1]).dropped == {"unknown": 1}
    assert label_consensus([(None, 1, 1)], [1]).dropped == {"disagree": 1}
    assert label_consensus([(1, 0), ()], [None, -1]).dropped == {"unknown": 2}


@given(st.lists(st.integers(-1, 3), max_size=8))
def test_labels_made_from_first_errors_give_the_same_filter(errors):
    labels = [first_error_targets(e, 4, policy="wrong") for e in errors]
    for shift in (0, 1):
        judge = [(e + 1 + shift) % 5 - 1 for e in errors]
        assert label_consensus(labels, judge) == first_error_consensus(errors, judge)


@pytest.mark.parametrize(
    "bad",
    [
        lambda: first_error_consensus([0], []),
        lambda: first_error_consensus([-2], [0]),
        lambda: label_consensus([(1, 1)], [2]),
        lambda: label_consensus([], [0]),
    ],
)
def test_bad_input_is_refused(bad):
    with pytest.raises(InputError, match="expected"):
        bad()
