"""Specifies Step-DPO's pairs: at the first error, behind the same prefix, without an end that was not sampled."""

from __future__ import annotations

from preceptor.learn.preference import step_dpo_pairs
from preceptor.store import Store
from tests.learn.preference.toys import END, Book, judged, rolled, trace

WRONG = "6*7=41\n41-1=40\nAnswer: 40\n"
SOUND = "5+1=6\n6*7=41\nAnswer: 41\n"


def build(text: str, first_error: int | None, pages: dict[str, list[str]], **more):
    t = trace(text)
    return t, step_dpo_pairs([t], [judged(t, None, first_error)], rolled(pages), **more)


def test_chosen_are_the_first_steps_of_continuations_that_reach_the_answer_once_each() -> None:
    pages = {
        "5+1=6\n": ["6*7=42\nAnswer: 42\n", "6*7=43\nAnswer: 43\n", "6*7=42\nAnswer: 42\n", "7*6=42\n42\n"]
    }
    t, built = build(SOUND, 1, pages)
    assert [p.chosen.text for p in built.records] == ["6*7=42\n", "7*6=42\n"]
    assert {p.rejected.text for p in built.records} == {"6*7=41\n"}
    assert [p.meta["draw"] for p in built.records] == [0, 3]
    assert built.records[0].meta["trace"] == t.id


def test_both_sides_share_the_sampled_prefix_and_no_partial_step_ends_the_text() -> None:
    t, built = build(SOUND, 1, {"5+1=6\n": ["6*7=42\nAnswer: 42\n"]})
    (pair,) = built.records
    assert pair.prefix.ids == t.token_ids[:6]
    assert pair.prefix.ids + pair.rejected.ids == t.token_ids[:13]
    assert END not in pair.prefix.ids + pair.chosen.ids + pair.rejected.ids


def test_a_first_step_that_is_the_whole_answer_keeps_the_end_that_was_sampled() -> None:
    _, built = build("41\n", 0, {"": ["42\n"]})
    (pair,) = built.records
    assert pair.prefix.ids == ()
    assert pair.chosen.ids == (*map(ord, "42\n"), END)
    assert pair.rejected.ids == (*map(ord, "41\n"), END)


def test_right_traces_and_traces_without_a_located_error_ask_for_no_rollout() -> None:
    monte_carlo = rolled({"": ["42\n"]})
    right, unknown, none = trace("Answer: 42\n"), trace("Answer: 1\n"), trace("Answer: 2\n")
    given = [judged(right, None, 0), judged(unknown, None, None), judged(none, None, -1)]
    built = step_dpo_pairs([right, unknown, none], given, monte_carlo)
    assert len(built) == 0
    assert built.dropped == {"no-first-error": 2}
    assert isinstance(monte_carlo.policy, Book)
    assert monte_carlo.policy.asked == []


def test_a_state_from_which_nothing_reaches_the_answer_is_counted() -> None:
    _, built = build(SOUND, 1, {"5+1=6\n": ["6*7=43\nAnswer: 43\n"]})
    assert len(built) == 0
    assert built.dropped == {"no-right-continuation": 1}


def test_a_chosen_step_equal_to_the_rejected_one_is_a_tie() -> None:
    _, built = build(WRONG, 0, {"": ["6*7=41\nAnswer: 42\n"]})
    assert len(built) == 0
    assert built.dropped["same"] == 1


def test_the_number_of_pairs_a_state_can_be_limited() -> None:
    pages = {"5+1=6\n": ["6*7=42\n42\n", "7*6=42\n42\n"]}
    assert len(build(SOUND, 1, pages, per_state=1)[1]) == 1


def test_continuations_that_the_store_holds_are_not_sampled_again(tmp_path) -> None:
    from dataclasses import replace

    pages = {"5+1=6\n": ["6*7=42\nAnswer: 42\n"]}
    t = trace(SOUND)
    with Store(tmp_path / "s") as store:
        first = replace(rolled(pages), store=store)
        one = step_dpo_pairs([t], [judged(t, None, 1)], first)
        second = replace(rolled(pages), store=store)
        assert step_dpo_pairs([t], [judged(t, None, 1)], second).records == one.records
        assert len(first.policy.asked) == 4
        assert second.policy.asked == []
