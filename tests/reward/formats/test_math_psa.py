"""Math-psa: an adapter that is not applied would give the base model's scores in silence."""

from __future__ import annotations

import json
import shutil

import pytest

from preceptor.errors import ModelError
from tests.reward.formats import golden, tokenizing


def test_the_adapter_changes_the_scores(scorers, checkpoints):
    trace = golden.solution(golden.STEPS)
    adapted = golden.numbers(scorers("math-psa"), trace)
    base = golden.numbers(golden.opened(checkpoints("math-psa") / "base", "math-psa"), trace)
    assert max(abs(a - b) for a, b in zip(adapted, base, strict=True)) > 1e-3


@pytest.mark.parametrize("layer", [0, 1])
def test_half_an_adapter_is_refused(layer, checkpoints, tmp_path):
    def lose(state):
        for key in [k for k in state if f"layers.{layer}." in k]:
            del state[key]

    broken = golden.damaged(checkpoints("math-psa"), tmp_path / "half", lose, "adapter_model.safetensors")
    with pytest.raises(ModelError, match="missing"):
        golden.opened(broken, "math-psa")


def test_an_adapter_names_its_base_model(checkpoints, tmp_path):
    shutil.copytree(checkpoints("math-psa"), tmp_path / "lost")
    file = tmp_path / "lost" / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"base_model_name_or_path": None}))
    with pytest.raises(ModelError, match="base_model_name_or_path"):
        golden.opened(tmp_path / "lost", "math-psa")


def test_a_tokenizer_that_cuts_the_tag_is_refused(checkpoints, tmp_path):
    shutil.copytree(checkpoints("math-psa"), tmp_path / "cut")
    tokenizing.pieces(tmp_path / "cut")
    with pytest.raises(ModelError, match="tag"):
        golden.opened(tmp_path / "cut", "math-psa")
