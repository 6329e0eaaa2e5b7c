"""ReasonFlux-PRM: 7B is Qwen's model without Qwen's system text; 1.5B's head is a file that may hold code."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from preceptor.errors import ModelError
from preceptor.reward.formats import for_architecture, for_hub_id
from tests.reward.formats import golden

TRACE = golden.solution(golden.STEPS)


def test_the_hub_id_decides_between_two_families_of_one_architecture(scorers):
    assert for_hub_id("Gen-Verse/ReasonFlux-PRM-7B").name == "reasonflux-7b"
    assert for_architecture("Qwen2ForProcessRewardModel").name == "qwen"
    both = zip(*(golden.numbers(scorers(n), TRACE) for n in ("qwen", "reasonflux-7b")), strict=True)
    assert max(abs(a - b) for a, b in both) > 1e-4


@pytest.fixture
def pickled(checkpoints, tmp_path) -> Path:
    """As published: the head as a pickled file."""
    shutil.copytree(checkpoints("reasonflux-1.5b"), tmp_path / "pickled")
    file = tmp_path / "pickled" / "reward_head.safetensors"
    torch.save(load_file(file), file.with_suffix(".pt"))
    file.unlink()
    return tmp_path / "pickled"


def test_a_pickled_head_is_read_only_when_asked_for(pickled, scorers):
    with pytest.raises(ModelError, match="allow_pickle"):
        golden.opened(pickled, "reasonflux-1.5b")
    asked = golden.opened(pickled, "reasonflux-1.5b", allow_pickle=True)
    golden.close(golden.numbers(asked, TRACE), golden.numbers(scorers("reasonflux-1.5b"), TRACE))


class Harmful:
    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_code_in_a_pickled_head_does_not_run(pickled, tmp_path):
    (pickled / "reward_head.pt").write_bytes(pickle.dumps({"weight": Harmful(tmp_path / "ran")}))
    with pytest.raises(ModelError):
        golden.opened(pickled, "reasonflux-1.5b", allow_pickle=True)
    torch.save({"weight": Harmful(tmp_path / "ran")}, pickled / "reward_head.pt")
    with pytest.raises(ModelError):
        golden.opened(pickled, "reasonflux-1.5b", allow_pickle=True)
    assert not (tmp_path / "ran").exists()
