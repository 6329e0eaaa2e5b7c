"""Specifies a run over several processes: same samples, same advantages, same rows as in one.

Three prompts of four completions over two processes of six rows: the second group straddles them.
Run with `python -m pytest tests/learn/test_processes.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from preceptor.policy import TransformersPolicy
from tests.learn import two_processes

ROOT = Path(__file__).resolve().parents[2]


def launch(policy: Path, out: Path, *, dies: bool = False, **options) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]
    command += ["-m", "tests.learn.two_processes", str(policy), str(out), json.dumps(options)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        timeout=120,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode != 0) == dies, done.stderr[-3000:]


def rows(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def weights(out: Path) -> torch.Tensor:
    model = TransformersPolicy.load(out / "model").model
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.fixture(scope="module")
def runs(tiny_policy_dir, tmp_path_factory) -> tuple[Path, Path]:
    one, two = (tmp_path_factory.mktemp(name) for name in ("one", "two"))
    two_processes.main(str(tiny_policy_dir), one)
    launch(tiny_policy_dir, two)
    return one, two


def test_two_processes_give_the_advantages_of_one(runs) -> None:
    one, two = (json.loads((out / "advantages.json").read_text()) for out in runs)
    assert len(one) == len(two) == 3
    assert one[0] == two[0], "same weights, same samples, same advantages"
    assert any(a for row in one[0] for a in row)


def test_two_processes_write_the_rows_of_one(runs) -> None:
    """Sums over the batch are split differently, so the weights part in the last digits after a step."""
    one, two = map(rows, runs)
    assert [r["step"] for r in one] == [r["step"] for r in two] == [0, 1, 2, 2, 3, 3]
    for name in ("held_out_accuracy", "held_out_n", "generated_tokens"):
        assert one[0][name] == two[0][name]
    for name in ("accuracy", "trained_tokens", "generated_tokens", "length_mean", "cut", "credit", "watched"):
        assert one[1][name] == pytest.approx(two[1][name], rel=1e-3, abs=1e-5)
    assert one[1]["loss"] == pytest.approx(two[1]["loss"], abs=1e-4)
    assert one[1]["grad_norm"] == pytest.approx(two[1]["grad_norm"], rel=1e-3)


def test_two_processes_train_the_model_of_one(runs, tiny_policy_dir) -> None:
    start = torch.cat(
        [p.detach().flatten() for p in TransformersPolicy.load(tiny_policy_dir).model.parameters()]
    )
    one, two = (weights(out) - start for out in runs)
    assert one.abs().max() > 1e-3
    assert torch.nn.functional.cosine_similarity(one, two, dim=0) > 0.95


@pytest.mark.slow
def test_a_run_of_two_processes_of_which_one_is_killed_is_resumed(tiny_policy_dir, tmp_path) -> None:
    launch(tiny_policy_dir, tmp_path / "whole", save_every=2)
    cut = tmp_path / "cut"
    launch(tiny_policy_dir, cut, save_every=2, dies_at=3, dies=True)
    assert (cut / "checkpoints" / "checkpoint-2" / "session-1.pt").is_file()
    launch(tiny_policy_dir, cut, save_every=2, resume=True)
    assert torch.equal(weights(cut), weights(tmp_path / "whole"))
