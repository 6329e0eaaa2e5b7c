"""Specifies AlphaMath's step-level beam: places that finished solutions take with them."""

from __future__ import annotations

import pytest

from preceptor.search import solve
from preceptor.search.beams import AlphaMathBeam
from tests.search.beams.tables import asked, best_of_m, paths, run
from tests.search.toy import Oracle, TreePolicy, problems


@pytest.mark.parametrize("m", [1, 2, 5])
def test_one_place_is_step_level_best_of_m(m: int) -> None:
    result = solve(TreePolicy(), problems(25), AlphaMathBeam(1, m), Oracle())
    for s in result.solutions:
        assert s.chosen is not None
        assert s.chosen.text == best_of_m(s.problem.id, m)


def test_the_root_gets_as_many_steps_as_any_other_prefix() -> None:
    for s in solve(TreePolicy(), problems(4), AlphaMathBeam(3, 5), Oracle()).solutions:
        assert len(s.tree.children(s.tree.root)) == 5


OPTIONS = {
    "": ["!1", "a", "b", "c"],
    "a": ["!2", "d", "e", "f"],
    "ad": ["!3", "g", "h", "i"],
    "b": ["!4", "!5", "d", "e"],
}
MARKS = {"!1": 0.8, "a": 0.9, "b": 0.7, "c": 0.6, "a!2": 0.5, "ad": 0.6, "ae": 0.4, "af": 0.3, "ad!3": 0.2} | {
    "adg": 0.1, "adh": 0.1, "adi": 0.1, "b!4": 0.95, "b!5": 0.9, "bd": 0.1, "be": 0.1,
}  # fmt: skip


def test_finished_solutions_use_up_the_beam() -> None:
    s = run(AlphaMathBeam(2, 4), OPTIONS, MARKS)
    assert asked(s) == {"": 4, "a": 4, "ad": 4}, "!1 took one of two places, so b is never continued"
    assert [c.answer for c in s.candidates] == ["1", "3"]
    assert s.answer == "1"
    assert paths(s)["a!2"] == "done"
    wide = run(AlphaMathBeam(3, 4), OPTIONS, MARKS)
    assert asked(wide) == {"": 4, "a": 4, "b": 4}, "!1, then b!4 and b!5 take all three"
    assert [c.answer for c in wide.candidates] == ["1", "4", "5"]
    assert wide.answer == "4"


def test_a_finished_one_without_an_answer_takes_its_place_too_and_others_stand_in() -> None:
    options = {"": ["?", "!7", "a", "b"]}
    s = run(AlphaMathBeam(1, 4), options, {"?": 0.9, "!7": 0.5, "a": 0.4, "b": 0.3})
    assert asked(s) == {"": 4}
    assert s.answer == "7"


def test_unscored_candidates_rank_last() -> None:
    s = run(AlphaMathBeam(1, 2), {"": ["a", "b"], "b": ["!1", "!2"], "a": ["!3"]}, {"b": -0.9, "b!2": 0.1})
    assert s.answer == "2"


def test_depth_ends_the_search_and_an_unfinished_prefix_is_no_solution() -> None:
    s = run(
        AlphaMathBeam(1, 2, max_steps=2),
        {"": ["a", "b"], "a": ["c", "d"]},
        dict.fromkeys(["a", "b", "ac"], 0.5),
    )
    assert (s.answer, paths(s)["ac"]) == (None, "cut")
