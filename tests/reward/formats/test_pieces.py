"""Families with a sentencepiece-like tokenizer: Math-Shepherd, MATH-Minos, Llemma."""

from __future__ import annotations

from dataclasses import replace

import pytest

from preceptor.reward.layout import Encoder
from tests.reward.formats import golden

TAGS = {"math-shepherd": "ки", "math-minos": "и"}


@pytest.mark.parametrize("name", sorted(TAGS))
def test_the_tag_is_one_piece_and_nothing_a_text_says_adds_another(name, scorers):
    scorer, tag = scorers(name), TAGS[name]
    piece = scorer.tokenizer.convert_tokens_to_ids(f"▁{tag}")
    problem = replace(golden.PROBLEM, prompt=f"How {tag} many?")
    steps = ["So 54.", f"{tag} first", f"last {tag}\nand {tag}", f"glued{tag}"]
    rendered = scorer.render(golden.solution(steps, problem))
    (row,) = rendered.rows
    assert [i for i, t in enumerate(row.token_ids) if t == piece] == list(row.positions)
    assert len(row.positions) == 4
    assert "neutralised-separator" in rendered.flags
    glued = scorer.tokenizer("glued" + tag, add_special_tokens=False).input_ids
    assert piece not in glued  # what a wrapper gets that appends the tag without a blank


@pytest.mark.parametrize("name", ["math-shepherd", "math-minos", "llemma", "reasoneval-7b", "reasoneval-34b"])
def test_there_is_one_bos_token_and_it_is_the_first(name, scorers):
    scorer = scorers(name)
    row = scorer.render(golden.solution(golden.STEPS)).rows[0]
    assert row.token_ids.count(scorer.tokenizer.bos_token_id) == 1
    assert row.token_ids[0] == scorer.tokenizer.bos_token_id


@pytest.mark.parametrize("name", sorted(TAGS))
def test_a_step_that_numbers_itself_is_not_numbered_again(name, scorers):
    scorer = scorers(name)
    numbered = golden.solution([f"Step {i}: {s}" for i, s in enumerate(golden.STEPS, 1)])
    golden.close(golden.numbers(scorer, numbered), golden.numbers(scorer, golden.solution(golden.STEPS)))


def test_numbers_go_on_in_a_later_window(scorers):
    scorer = scorers("math-shepherd")
    rows = scorer.render(golden.solution([f"{golden.STEPS[i % 8]} {i}" for i in range(60)])).rows
    shown = scorer.tokenizer.decode(rows[-1].token_ids)
    assert "Step 60:" in shown
    assert "Step 1:" not in shown


@pytest.mark.parametrize("name", ["math-shepherd", "reasoneval-34b"])
def test_text_that_goes_on_with_a_blank_gets_no_second_one(name, scorers):
    tokenizer = scorers(name).tokenizer
    whole = tokenizer("left Step", add_special_tokens=False).input_ids
    start = tokenizer("left", add_special_tokens=False).input_ids
    assert [*start, *Encoder(tokenizer).text(" Step")] == whole
