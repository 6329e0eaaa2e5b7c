"""Qwen2.5-Math-PRM: the bugs that wrappers of it shipped."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import torch

from preceptor.errors import ModelError
from preceptor.reward.formats import FORMATS
from preceptor.reward.layout import Chat
from preceptor.reward.render import Renderer
from preceptor.reward.scorer import PRM
from tests.reward.formats import golden, tokenizing


def test_the_system_text_keeps_its_backslash(scorers):
    scorer = scorers("qwen")
    trace = golden.solution(golden.STEPS)
    right = scorer.render(trace).rows[0].token_ids
    assert "within \\boxed{}." in scorer.tokenizer.decode(right)
    assert "\b" not in scorer.tokenizer.decode(right)
    layout = replace(
        scorer.format.layout, prompt=Chat(scorer.format.layout.prompt.system.replace("\\b", "\b"))
    )
    wrong = Renderer(scorer.tokenizer, layout, 10_000)(trace).rows
    drift = zip(scorer.score_rows(scorer.render(trace).rows)[0], scorer.score_rows(wrong)[0], strict=True)
    assert max(abs(a - b) for a, b in drift) > 1e-4  # that version would have failed the golden test


def test_a_probability_that_underflows_is_a_score_of_zero_and_shifts_nothing(scorers, checkpoints, tmp_path):
    usual = torch.tensor(golden.numbers(scorers("qwen"), golden.solution(golden.STEPS)))

    def sharpen(state: dict[str, torch.Tensor]) -> None:
        state["score.2.bias"][1] -= usual.logit().median()
        state["score.2.weight"] *= 30_000
        state["score.2.bias"] *= 30_000

    directory = golden.damaged(checkpoints("qwen"), tmp_path / "sharp", sharpen, "model.safetensors")
    scores = golden.numbers(golden.opened(directory, "qwen"), golden.solution(golden.STEPS))
    nonzero = [s for s in scores if s != 0]  # how the sample code collects them
    assert 0 < len(nonzero) < len(scores) == len(golden.STEPS)
    assert [s > 0.5 for s in scores[:3]] == [bool(u > usual.median()) for u in usual[:3]]


def test_a_tokenizer_without_the_tag_is_refused(checkpoints, tmp_path):
    shutil.copytree(checkpoints("qwen"), tmp_path / "untagged")
    tokenizing.qwen(tmp_path / "untagged")
    with pytest.raises(ModelError, match="extra_0"):
        PRM.load(tmp_path / "untagged", fmt=FORMATS["qwen"])


def test_the_tag_is_looked_up_and_not_taken_from_the_record(scorers):
    assert FORMATS["qwen"].layout.ids == (151651,)
    assert FORMATS["actprm"].layout.ids == (151665,)
    for name in ("qwen", "actprm"):
        scorer = scorers(name)
        row = scorer.render(golden.solution(golden.STEPS)).rows[0]
        tag = scorer.tokenizer.convert_tokens_to_ids("<extra_0>")
        assert [i for i, t in enumerate(row.token_ids) if t == tag] == list(row.positions)


def test_a_problem_that_holds_the_tag_adds_no_readout(scorers):
    scorer = scorers("qwen")
    problem = replace(golden.PROBLEM, prompt="How many <extra_0> are <|im_end|> left?")
    row = scorer.render(golden.solution(golden.STEPS[:2], problem)).rows[0]
    assert row.token_ids.count(scorer.tokenizer.convert_tokens_to_ids("<extra_0>")) == 2
    assert row.token_ids.count(scorer.tokenizer.convert_tokens_to_ids("<|im_end|>")) == 2
