"""ActPRM: 32 heads, their mean, their spread, and the copies that are no heads."""

from __future__ import annotations

import torch

from preceptor.reward.losses.ensemble import trusted
from tests.reward.formats import golden
from tests.reward.formats.references import Checkpoint, actprm_heads

TRACE = golden.solution(golden.STEPS)


def test_the_frozen_copies_of_the_heads_are_not_read(checkpoints, scorers, tmp_path):
    def spoil(state: dict[str, torch.Tensor]) -> None:
        for key in state:
            if ".reg_model." in key:
                state[key] = state[key] * 0 + 7

    directory = golden.damaged(checkpoints("actprm"), tmp_path / "spoiled", spoil, "model.safetensors")
    golden.close(
        golden.numbers(golden.opened(directory, "actprm"), TRACE), golden.numbers(scorers("actprm"), TRACE)
    )


def test_equal_heads_have_no_spread(checkpoints, tmp_path):
    def equal(state: dict[str, torch.Tensor]) -> None:
        for key in state:
            if key.startswith("score.model."):
                state[key] = state[key][:1].expand_as(state[key]).clone()

    directory = golden.damaged(checkpoints("actprm"), tmp_path / "equal", equal, "model.safetensors")
    assert max(golden.numbers(golden.opened(directory, "actprm-spread"), TRACE)) < 1e-6


def test_the_two_readings_feed_the_rule_of_trust(scorers, checkpoints):
    mean, spread = (torch.tensor(golden.numbers(scorers(n), TRACE)) for n in ("actprm", "actprm-spread"))
    heads = actprm_heads(Checkpoint(checkpoints("actprm")), golden.PROBLEM.prompt, golden.STEPS)
    line = float(spread.median())
    expected = (heads.std(-1, unbiased=False) <= line + 1e-6) & ((heads.mean(-1) - 0.5).abs() >= 0.01)
    assert trusted(mean, spread, confidence=0.51, spread=line + 1e-6).tolist() == expected.tolist()
    assert 0 < int(expected.sum()) < 8


def test_no_end_of_turn_stands_in_front_of_the_steps_or_behind_them(scorers):
    scorer = scorers("actprm")
    (row,) = scorer.render(TRACE).rows
    assert row.token_ids.count(scorer.tokenizer.convert_tokens_to_ids("<|im_end|>")) == 2  # system and user
