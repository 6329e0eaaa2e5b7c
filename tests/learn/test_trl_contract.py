"""Specifies what this room relies on in TRL's private methods; fails when a new version changes it.

Run with `python -m pytest tests/learn/test_trl_contract.py`.
"""

from __future__ import annotations

import pytest
import torch

from preceptor.learn import CreditGRPOTrainer
from tests.learn.toys import trainer


def gradient(made: CreditGRPOTrainer, batch: dict) -> tuple[float, torch.Tensor]:
    made.model.zero_grad()
    made.current_gradient_accumulation_steps = 1
    loss = made._compute_loss(made.model, batch)
    loss.backward()
    return loss.item(), torch.cat([p.grad.flatten() for p in made.model.parameters() if p.grad is not None])


@pytest.mark.parametrize("loss_type", ["dapo", "grpo", "dr_grpo", "bnpo"])
def test_a_constant_matrix_of_advantages_gives_the_loss_of_the_vector(tiny_policy_dir, loss_type) -> None:
    made, rows = trainer(tiny_policy_dir, "outcome")
    made.loss_type = loss_type
    batch = made._generate_and_score_completions(rows)
    vector = torch.linspace(-1, 1, len(rows))
    matrix = vector[:, None].expand(-1, batch["completion_ids"].shape[1]).clone()
    as_vector, as_matrix = (gradient(made, {**batch, "advantages": a}) for a in (vector, matrix))
    assert as_vector[0] == pytest.approx(as_matrix[0], rel=1e-6)
    torch.testing.assert_close(as_vector[1], as_matrix[1])
    assert as_vector[1].abs().max() > 0


def test_the_output_has_the_keys_that_the_loss_reads(tiny_policy_dir) -> None:
    made, rows = trainer(tiny_policy_dir, "outcome")
    batch = made._generate_and_score_completions(rows)
    needed = {
        "prompt_ids",
        "prompt_mask",
        "completion_ids",
        "completion_mask",
        "advantages",
        "num_items_in_batch",
    }
    assert needed <= set(batch)
    assert batch["advantages"].shape == batch["completion_ids"].shape
    assert batch["num_items_in_batch"] == batch["completion_mask"].sum()
    assert "old_per_token_logps" not in batch  # strictly on-policy: the ratio is 1 by construction


class Marking(CreditGRPOTrainer):
    def _generate_and_score_completions(self, inputs):
        out = super()._generate_and_score_completions(inputs)
        out["marker"] = out["completion_ids"].sum(dim=1)
        out["list_marker"] = out["marker"].tolist()
        return out


def test_extra_keys_are_shuffled_and_split_along_with_the_rows(tiny_policy_dir) -> None:
    made, rows = trainer(tiny_policy_dir, "outcome", kind=Marking, micro_batch=4)
    seen = []
    for _ in range(3):
        part = made._prepare_inputs(rows)
        made._step += 1
        assert len(part["completion_ids"]) == 4
        assert part["marker"].tolist() == part["completion_ids"].sum(dim=1).tolist() == part["list_marker"]
        seen += part["list_marker"]
    assert len(seen) == len(rows) == len(set(seen))


def test_rows_keep_the_order_of_the_inputs_and_of_the_traces(tiny_policy_dir) -> None:
    made, rows = trainer(tiny_policy_dir, "rloo")
    batch = made._generate_and_score_completions(rows)
    assert [t.problem for t in made.last_traces] == [made.problems[r["problem"]] for r in rows]
    assert [t.draw for t in made.last_traces] == [0, 1, 2, 3] * 3
    for i, trace in enumerate(made.last_traces):
        size = len(trace.token_ids)
        assert batch["completion_ids"][i, :size].tolist() == list(trace.token_ids)
        assert batch["completion_mask"][i].sum() == size
        prompt = batch["prompt_ids"][i][batch["prompt_mask"][i].bool()].tolist()
        assert prompt == made.source.prompt_ids(trace.problem)
        expected = torch.tensor(made.last_batch.advantages[i], dtype=torch.float32)
        torch.testing.assert_close(batch["advantages"][i, :size], expected)
        assert not batch["advantages"][i, size:].any()


def test_zero_advantages_give_a_gradient_of_exactly_zero(tiny_policy_dir) -> None:
    made, rows = trainer(tiny_policy_dir, "outcome")
    batch = made._generate_and_score_completions(rows)
    _, found = gradient(
        made, {**batch, "advantages": torch.zeros_like(batch["completion_ids"], dtype=torch.float)}
    )
    assert not found.any()


def test_tokens_outside_the_tool_mask_are_not_learned_from(tiny_policy_dir) -> None:
    made, rows = trainer(tiny_policy_dir, "outcome")
    batch = made._generate_and_score_completions(rows)
    mask = batch["tool_mask"].clone()
    mask[:, ::2] = 0
    advantages = torch.randn(mask.shape, generator=torch.Generator().manual_seed(0))
    batch = {**batch, "tool_mask": mask}
    one = gradient(made, {**batch, "advantages": advantages})
    other = gradient(made, {**batch, "advantages": advantages * mask})
    assert one[0] == other[0]
    torch.testing.assert_close(one[1], other[1])


def test_the_trainer_computes_the_log_probabilities_that_the_engine_sampled_with(tiny_policy_dir) -> None:
    """A prompt rendered in two ways, a lost token or a shifted mask shows here first."""
    made, rows = trainer(tiny_policy_dir, "outcome")
    batch = made._generate_and_score_completions(rows)
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
    with torch.no_grad():
        found, _, _ = made._get_per_token_logps_and_entropies(
            made.model, ids, mask, batch["completion_ids"].shape[1], compute_entropy=True
        )
    for row, trace in zip(found, made.last_traces, strict=True):
        expected = torch.tensor(trace.logprobs, dtype=torch.float32)
        torch.testing.assert_close(row[: len(expected)], expected, atol=1e-4, rtol=1e-4)


def test_evaluation_has_groups_of_its_own_and_leaves_the_mode_alone(tiny_policy_dir) -> None:
    made, rows = trainer(tiny_policy_dir, "rloo")
    training = made._generate_and_score_completions(rows)["completion_ids"]
    assert made.model.training
    made.num_generations_eval = 2
    made.model.eval()
    batch = made._generate_and_score_completions(rows[:2] + rows[4:6])
    assert [t.draw for t in made.last_traces] == [0, 1, 0, 1]
    assert batch["advantages"].shape == batch["completion_ids"].shape
    assert not made.model.training
    width = min(training.shape[1], batch["completion_ids"].shape[1])
    assert not torch.equal(training[:2, :width], batch["completion_ids"][:2, :width])
