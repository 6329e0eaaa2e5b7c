"""HRM: every step is also judged together with the steps before it."""

from __future__ import annotations

import pytest

from preceptor.errors import InputError
from preceptor.reward.combine import Windows
from preceptor.reward.combine.windows import merged, tiled
from preceptor.trace import Finish, Trace
from tests.reward.combine.scorers import Rule, attempts, reading, trace_of

LINES = ("a\n", "b\n", "c\n", "d\n", "e")


def by_hand(trace: Trace, t: int, width: int) -> float:
    """The coarse score of step t: earlier steps as they are, the window as one step, nothing after."""
    texts = trace.step_texts
    window = "".join(texts[t - width + 1 : t + 1])
    return reading(trace_of(*texts[: t - width + 1], window))[-1]


def last_line_wins(trace: Trace) -> list[float]:
    """A merged step is as good as its last line; a lone `wrong` is bad."""
    return [0.0 if text.strip().endswith("wrong") else 1.0 for text in trace.step_texts]


@pytest.mark.parametrize("width", [2, 3, 5])
def test_coarse_scores_equal_those_of_the_window_alone(width: int):
    trace = trace_of(*LINES)
    (judged,) = Windows(Rule(), width, "coarse").score([trace])
    fine = reading(trace)
    expected = [fine[t] if t < width - 1 else by_hand(trace, t, width) for t in range(5)]
    assert judged.scores == pytest.approx(expected)
    assert judged.trace == trace.id


def test_a_chain_of_T_steps_costs_T_minus_width_plus_1_further_rows_in_one_call():
    member = Rule()
    Windows(member, 2).score([trace_of(*LINES), trace_of("x\n", "y\n")])
    assert [len(rows) for rows in member.calls] == [(1 + 4) + (1 + 1)]


@pytest.mark.parametrize("width", [2, 3, 4, 5])
def test_tilings_cover_every_window_once_and_all_tile_the_text(width: int):
    trace = trace_of(*LINES)
    member = Rule()
    Windows(member, width, layout="tiled").score([trace])
    rows = member.calls[0][1:]
    assert len(rows) == min(width, 5 - width + 1)
    assert all(row.text == trace.text for row in rows)
    ends = [t for offset in range(len(rows)) for t in tiled(trace, width, offset)[1]]
    assert sorted(ends) == list(range(width - 1, 5))
    windows = {text for row in rows for text in row.step_texts}
    assert {"".join(LINES[t - width + 1 : t + 1]) for t in ends} <= windows


def test_both_layouts_agree_for_a_scorer_that_reads_text_and_not_boundaries():
    def text_so_far(trace: Trace) -> list[float]:
        return [len(trace.text[: s.end]) / 100 + (s.end - s.start) / 1000 for s in trace.steps]

    traces = attempts()
    for width in (2, 3):
        alone = Windows(Rule(text_so_far), width).score(traces)
        tiles = Windows(Rule(text_so_far), width, layout="tiled").score(traces)
        for one, other in zip(alone, tiles):
            assert one.scores == pytest.approx(other.scores)


def test_a_wrong_step_followed_by_its_repair_passes_as_a_pair():
    trace = trace_of("fine\n", "wrong\n", "repair\n")
    for join, expected in {
        "coarse": (1.0, 0.0, 1.0),
        "max": (1.0, 0.0, 1.0),
        "mean": (1.0, 0.0, 1.0),
        "min": (1.0, 0.0, 1.0),
    }.items():
        assert Windows(Rule(last_line_wins), 2, join).score([trace])[0].scores == expected


@pytest.mark.parametrize("join, expected", [("mean", 0.4), ("max", 0.6), ("min", 0.2), ("coarse", 0.6)])
def test_how_fine_and_coarse_become_one(join: str, expected: float):
    fine_then_coarse = Rule(lambda trace: [0.6 if "\n" in x.strip() else 0.2 for x in trace.step_texts])
    (judged,) = Windows(fine_then_coarse, 2, join).score([trace_of("a\n", "b\n")])
    assert judged.scores == pytest.approx((0.2, expected))


def test_without_merges_it_is_the_plain_scorer():
    traces = [trace_of("a"), trace_of(), trace_of(*LINES)]
    plain = [tuple(reading(t)) for t in traces]
    member = Rule()
    assert [j.scores for j in Windows(member, 1).score(traces)] == plain
    assert len(member.calls[0]) == 3
    assert [j.scores for j in Windows(Rule(), 9).score(traces)] == plain
    assert [j.scores for j in Windows(Rule(), 2).score(traces[:2])] == plain[:2]


def test_merging_moves_no_text_and_keeps_tokens_of_a_whole_trace():
    trace = attempts(1, 1)[0]
    last = len(trace.steps) - 1
    whole = merged(trace, last - 1, last)
    assert (whole.text, whole.token_ids, whole.finish) == (trace.text, trace.token_ids, trace.finish)
    part = merged(trace, 0, 1)
    assert part.text == trace.prefix(2)
    assert (part.finish, part.grade, part.token_ids) == (Finish.BOUNDARY, None, None)


def test_a_window_that_could_not_be_judged_leaves_only_its_step_without_score():
    fails = Rule(lambda trace: "broken" if "b\nc" in trace.step_texts[-1] else reading(trace))
    (judged,) = Windows(fails).score([trace_of("a\n", "b\n", "c\n", "d\n")])
    assert [s is None for s in judged.scores] == [False, False, True, False]
    assert judged.error.kind == "broken"
    assert judged.usage.scorer.calls == 4


def test_settings_that_mean_nothing_are_refused():
    with pytest.raises(InputError, match="at least 1 step"):
        Windows(Rule(), 0)
    with pytest.raises(InputError, match="expected a join"):
        Windows(Rule(), 2, "sum")
