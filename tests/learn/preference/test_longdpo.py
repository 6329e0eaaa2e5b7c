"""Specifies LongDPO's pairs: siblings behind one prefix, memory, rewriting below the threshold."""

from __future__ import annotations

import pytest

from preceptor.errors import InputError
from preceptor.learn.preference import LongDPO
from preceptor.learn.preference.longdpo import overall
from tests.learn.preference.toys import END, Book, continuation, problem

PAGES = {
    "": ["fair. ", "good. ", "poor. "],
    "good. ": ["fair! ", "poor! ", "good! "],
    "fair. ": ["poor! "],
    "poor. ": ["poor! "],
    "good. good! ": ["end"],
}
MARKS = {"good": 5.0, "fair": 3.0, "poor": 1.0, "end": 4.0}


class Chunks(Book):
    """Chunks are cut by the limit, all but the last."""

    def _one(self, request):
        text = self.pages[request.prefix][request.draw % len(self.pages[request.prefix])]
        from preceptor.trace import Finish

        return continuation(text, Finish.STOP if text == "end" else Finish.LENGTH)


def rate(asked, before, chunk):
    return {"style": MARKS[chunk.strip(" .!")]}


def build(pages=PAGES, **more):
    settings = {"depth": 2, "simulations": 4, "threshold": 0.0, **more}
    return LongDPO(Chunks(pages), rate, ["style"], **settings).build([problem()])


def test_best_and_worst_sibling_at_each_depth_share_an_identical_prefix() -> None:
    built = build()
    found = [(p.prefix.text, p.chosen.text, p.rejected.text) for p in built.records]
    assert found == [("", "good. ", "poor. "), ("good. ", "good! ", "poor! ")]
    assert built.records[1].prefix.ids == built.records[0].chosen.ids
    assert all(END not in (*p.chosen.ids, *p.rejected.ids) for p in built.records)


def test_a_missing_criterion_counts_two_and_a_half() -> None:
    assert overall({"a": 5.0, "b": None}, ["a", "b"]) == 3.75
    assert overall({}, ["a"]) == 2.5


def test_a_child_that_contradicts_the_memory_is_rejected() -> None:
    def contradicts(memory, chunk):
        return "stated: good. " in memory and chunk == "good! "

    built = build(facts=lambda chunk: [f"stated: {chunk}"], contradicts=contradicts)
    assert built.records[1].chosen.text == "fair! "
    assert built.dropped["contradiction"] >= 1


def test_a_chosen_chunk_below_the_threshold_is_rewritten_and_has_no_sampled_ids() -> None:
    built = build(threshold=5.5, rewrite=lambda asked, before, chunk: chunk.upper())
    assert [(p.chosen.text, p.chosen.ids) for p in built.records] == [("GOOD. ", None), ("GOOD! ", None)]
    # what comes after goes on from the chunk that was sampled
    assert built.records[1].prefix.text == "good. "
    kept = build(threshold=5.0, rewrite=lambda *_: "never asked")
    assert not any(p.meta["rewritten"] for p in kept.records)


def test_a_rewriting_that_contradicts_the_memory_makes_no_pair() -> None:
    built = build(
        threshold=5.5,
        facts=lambda chunk: [chunk],
        contradicts=lambda memory, chunk: chunk.isupper() and bool(memory),
        rewrite=lambda asked, before, chunk: chunk.upper(),
    )
    assert [p.chosen.text for p in built.records] == ["GOOD. "]
    assert built.dropped["rewriting-contradicts"] == 1


def test_siblings_of_equal_reward_make_no_pair() -> None:
    built = build({"": ["good. ", "good! "]}, depth=1)
    assert len(built) == 0
    assert built.dropped["tie"] == 1


def test_settings_that_cannot_make_pairs_are_refused() -> None:
    with pytest.raises(InputError, match="expected at least"):
        build(children=1)
