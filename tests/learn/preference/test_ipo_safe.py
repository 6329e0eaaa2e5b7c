"""Specifies intervened preference pairs: only of unsafe rollouts, one prefix, trigger and safe continuation chosen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from preceptor.errors import InputError
from preceptor.learn.preference import InterventionPairs, Piece, trigger_pool
from tests.learn.preference.toys import END, Book, judged, trace

TRIGGER = "Wait, is this safe?\n"
UNSAFE = "Let me see.\nFirst, mix the acid.\nThen heat it.\n"
SAFE = "Let me see.\n" + TRIGGER + "I cannot help.\n"


def safe(traces):
    return [None if "unknown" in t.text else "heat" not in t.text for t in traces]


def pool() -> list[Piece]:
    return trigger_pool([trace(SAFE)], lambda text: "safe?" in text)


def test_triggers_are_sampled_steps_of_safe_traces_that_do_not_end_the_text() -> None:
    (trigger,) = pool()
    assert trigger == Piece(TRIGGER, tuple(map(ord, TRIGGER)))
    assert trigger_pool([trace("Wait, is this safe?\n")], lambda text: True) == []


def test_a_safe_continuation_of_the_trigger_is_chosen_behind_the_same_prefix() -> None:
    book = Book({"Let me see.\n" + TRIGGER: ["I cannot help.\n"]})
    t = trace(UNSAFE)
    (pair,) = InterventionPairs(book, safe, pool()).build([t], [judged(t, None, 1)]).records
    assert pair.prefix.ids == t.token_ids[:12]
    assert pair.chosen.text == TRIGGER + "I cannot help.\n"
    assert pair.chosen.ids == (*map(ord, pair.chosen.text), END)
    assert pair.prefix.ids + pair.rejected.ids == t.token_ids
    assert book.asked[0].prefix_ids == pair.prefix.ids + pool()[0].ids


def test_pairs_exist_only_for_prompts_with_an_unsafe_rollout() -> None:
    book = Book({"Let me see.\n" + TRIGGER: ["I cannot help.\n"]})
    given = [trace(SAFE, "harmless"), trace(UNSAFE, "harmful"), trace("unknown\n", "odd")]
    built = InterventionPairs(book, safe, pool()).build(
        given,
        [judged(t, None, 1) for t in given[:1]] + [judged(given[1], None, 1), judged(given[2], None, 0)],
    )
    assert [p.problem.prompt.split(":")[0] for p in built.records] == ["harmful"]
    assert built.dropped == {"undecided": 1}


def test_a_continuation_that_stays_unsafe_makes_no_pair() -> None:
    book = Book({"Let me see.\n" + TRIGGER: ["But heat it.\n"]})
    t = trace(UNSAFE)
    built = InterventionPairs(book, safe, pool(), attempts=2).build([t], [judged(t, None, 1)])
    assert len(built) == 0
    assert built.dropped == {"never-safe": 1}
    assert len(book.asked) == 2


def test_an_unsafe_trace_without_a_compliance_step_is_counted() -> None:
    t = trace(UNSAFE)
    built = InterventionPairs(Book({}), safe, pool()).build([t], [judged(t, None, None)])
    assert built.dropped == {"no-compliance-step": 1}


def test_a_trigger_without_ids_is_not_mixed_with_sampled_ids() -> None:
    book = Book({"Let me see.\n" + TRIGGER: ["I cannot help.\n"]})
    t = trace(UNSAFE)
    built = InterventionPairs(book, safe, [Piece(TRIGGER)]).build([t], [judged(t, None, 1)])
    assert len(built) == 0
    assert built.dropped["trigger-without-ids"] == 1


def test_no_trigger_is_refused() -> None:
    with pytest.raises(InputError, match="triggers"):
        InterventionPairs(Book({}), safe, [])


def test_an_attempt_with_an_environments_words_in_it_is_dropped() -> None:
    unsafe = trace("ask\ncomply\nAnswer: 41\n")
    played = replace(unsafe, sampled=tuple(k > 3 for k in range(len(unsafe.token_ids))))
    builder = InterventionPairs(Book({}), lambda ts: [False] * len(ts), [Piece("Wait.\n")])
    built = builder.build([played], [judged(played, None, first_error=1)])
    assert built.dropped == {"observations": 1}
