"""Skywork-o1-Open-PRM: every line break is a readout, so there may be no other."""

from __future__ import annotations

from tests.reward.formats import golden


def test_the_line_break_stands_at_the_readouts_alone(scorers):
    scorer = scorers("skywork")
    line = scorer.tokenizer.convert_tokens_to_ids("Ċ")
    (row,) = scorer.render(golden.solution(["first\nline\n\nthere", "", "pens.", "x\r\ny"])).rows
    prompt = len(scorer.tokenizer(golden.PROBLEM.prompt + "\n").input_ids)
    assert [i for i, t in enumerate(row.token_ids) if t == line and i >= prompt] == list(row.positions)
    assert scorer.tokenizer.decode(row.token_ids[prompt:]) == "first line there\n\npens.\nx y\n"


def test_a_full_stop_and_the_line_break_do_not_merge(scorers):
    scorer = scorers("skywork")
    joint = scorer.tokenizer("So pens.\n").input_ids
    assert scorer.tokenizer.convert_ids_to_tokens(joint)[-1] == ".Ċ"  # tokenized together the tag is lost
    (row,) = scorer.render(golden.solution(["So pens.", "So pens."])).rows
    assert [row.token_ids[p] for p in row.positions] == [scorer.tokenizer.convert_tokens_to_ids("Ċ")] * 2
