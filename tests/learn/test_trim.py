"""Specifies how a batch is split for the update: less padding, the same step.

Run with `python -m pytest tests/learn/test_trim.py`.
"""

from __future__ import annotations

import pytest
import torch

from preceptor.learn.trim import by_length, trimmed
from tests.learn.toys import trainer


def part(lengths: list[tuple[int, int]], width: tuple[int, int] = (5, 5)) -> dict:
    """Rows with so many prompt and completion tokens; every token says whose it is."""
    rows = len(lengths)
    out = {
        "prompt_ids": torch.zeros(rows, width[0], dtype=torch.long),
        "prompt_mask": torch.zeros(rows, width[0], dtype=torch.long),
        "completion_ids": torch.zeros(rows, width[1], dtype=torch.long),
        "completion_mask": torch.zeros(rows, width[1], dtype=torch.long),
        "advantages": torch.zeros(rows, width[1]),
        "clip_low": torch.full((rows, width[1]), 0.2),
        "ratio": torch.ones(rows, 1),
        "name": [f"{p}+{c}" for p, c in lengths],
        "num_items_in_batch": torch.tensor(7),
    }
    for i, (p, c) in enumerate(lengths):
        out["prompt_ids"][i, width[0] - p :] = 10 * p + c
        out["prompt_mask"][i, width[0] - p :] = 1
        out["completion_ids"][i, :c] = 10 * p + c
        out["completion_mask"][i, :c] = 1
        out["advantages"][i, :c] = 10 * p + c
    return out


def test_columns_that_no_row_uses_go_on_both_sides() -> None:
    found = trimmed(part([(2, 1), (3, 2)]))
    assert found["prompt_ids"].tolist() == [[0, 21, 21], [32, 32, 32]]
    assert found["completion_ids"].tolist() == [[21, 0], [32, 32]]
    assert found["advantages"].shape == found["clip_low"].shape == (2, 2)
    assert found["ratio"].shape == (2, 1)
    assert trimmed(part([(1, 0)]))["completion_ids"].shape == (1, 1), "a loss needs a column"


def test_rows_are_ordered_by_length_over_all_parts_with_everything_that_is_theirs() -> None:
    found = by_length([part([(5, 5), (1, 1)]), part([(2, 1), (4, 5)])])
    assert [p["name"] for p in found] == [["1+1", "2+1"], ["4+5", "5+5"]]
    for p in found:
        for i, name in enumerate(p["name"]):
            prompt, completion = map(int, name.split("+"))
            assert p["prompt_mask"][i].sum() == prompt
            assert p["advantages"][i].sum() == completion * (10 * prompt + completion)
        assert p["num_items_in_batch"] == 7
    assert found[0]["prompt_ids"].shape == (2, 2)
    assert found[0]["completion_ids"].shape == (2, 1)


@pytest.mark.parametrize("method", ["outcome", "dr_grpo"])
def test_the_gradient_of_a_step_is_that_of_the_untrimmed_batch(tiny_policy_dir, method) -> None:
    made, inputs = trainer(tiny_policy_dir, method, micro_batch=4)
    made.current_gradient_accumulation_steps = 3

    def gradient(parts: list[dict]) -> torch.Tensor:
        made.model.zero_grad()
        for p in parts:
            made._compute_loss(made.model, p).backward()
        return torch.cat([p.grad.flatten() for p in made.model.parameters()])

    made._prepare_inputs(inputs)
    ours = made._buffered_inputs
    narrow = gradient(ours)
    whole = made._generate_and_score_completions(inputs)
    rows = [
        {k: v if v.ndim == 0 else v[i : i + 4] for k, v in whole.items() if hasattr(v, "ndim")}
        for i in (0, 4, 8)
    ]
    wide = gradient(rows)
    assert wide.abs().max() > 0
    torch.testing.assert_close(narrow, wide, atol=1e-5, rtol=1e-3)
