"""Specifies what this room relies on in TRL's DPOTrainer; fails when a new version changes it.

Run with `python -m pytest tests/learn/preference/test_trl_contract.py`.
"""

from __future__ import annotations

import pytest
import torch
from datasets import Dataset
from torch.nn.functional import logsigmoid
from trl import DPOConfig, DPOTrainer

from preceptor.learn.preference.config import PreferenceConfig
from preceptor.learn.preference.rows import Encoder, part_sums, with_reference
from preceptor.learn.preference.trainers import Counted, make_trainer, trl_row
from preceptor.policy import TransformersPolicy
from tests.learn.preference.toys import pairs


@pytest.fixture
def policy(tiny_policy_dir) -> TransformersPolicy:
    return TransformersPolicy.load(tiny_policy_dir, dtype="float32")


@pytest.fixture
def rows(policy):
    return with_reference(policy.model, Encoder(policy).pairs(pairs(4)), 0, 4)


def made(policy, rows, tmp_path, beta: float = 0.4):
    config = PreferenceConfig(beta=beta, batch=4, steps=1)
    return make_trainer(policy.model, policy.tokenizer, rows, Counted(), None, config, tmp_path)


def gradient(policy, loss: torch.Tensor) -> torch.Tensor:
    policy.model.zero_grad()
    loss.backward()
    return torch.cat([p.grad.flatten() for p in policy.model.parameters() if p.grad is not None])


def test_trl_appends_an_end_of_text_to_plain_text_which_is_why_its_preparation_is_skipped(
    policy, tmp_path
) -> None:
    data = Dataset.from_list([{"prompt": "45-9=36\n", "chosen": "36+1=37\n", "rejected": "36+1=38\n"}])
    args = DPOConfig(output_dir=str(tmp_path), report_to=[], bf16=False, use_cpu=True)
    stock = DPOTrainer(
        model=policy.model,
        ref_model=TransformersPolicy(policy.model.__class__(policy.model.config), policy.tokenizer).model,
        args=args,
        train_dataset=data,
        processing_class=policy.tokenizer,
    )
    assert stock.train_dataset[0]["chosen_ids"][-1] == policy.tokenizer.eos_token_id
    with pytest.raises(KeyError):  # rows that have ids already are not recognised
        stock._prepare_dataset(
            Dataset.from_list([{"prompt_ids": [1], "chosen_ids": [2], "rejected_ids": [3]}]),
            policy.tokenizer,
            args,
            "train",
        )


def test_the_batch_holds_the_given_ids_and_nothing_else(policy, rows, tmp_path) -> None:
    trainer = made(policy, rows, tmp_path)
    batch = trainer.data_collator([trl_row(row) for row in rows])
    sides = [row.sequences[k] for k in (0, 1) for row in rows]
    for ids, mask, own, side in zip(
        batch["input_ids"], batch["attention_mask"], batch["completion_mask"], sides, strict=True
    ):
        assert ids[mask.bool()].tolist() == list(side)
        assert own.sum() == len(side) - rows[sides.index(side) % 4].parts[0].start
    assert policy.tokenizer.eos_token_id not in batch["input_ids"][batch["attention_mask"].bool()]
    assert trainer.train_dataset[0]["ref_chosen_logps"] == pytest.approx(rows[0].reference[0])
    loaded = next(iter(trainer.get_train_dataloader()))
    assert {"input_ids", "completion_mask", "ref_chosen_logps", "ref_rejected_logps"} <= set(loaded)


def test_loss_and_gradient_are_those_of_the_formula_over_the_steps_own_tokens(policy, rows, tmp_path) -> None:
    from preceptor.learn.preference.rows import collate

    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():  # away from the reference, where all margins are 0
        for parameter in policy.model.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=noise)
    trainer = made(policy, rows, tmp_path)
    batch = trainer.data_collator([trl_row(row) for row in rows])
    found = trainer.compute_loss(policy.model, batch)
    theirs = gradient(policy, found)

    own = collate(rows, 0)
    logits = policy.model(input_ids=own["input_ids"], attention_mask=own["attention_mask"]).logits
    chosen, rejected = (part_sums(logits, own) - own["reference"]).view(-1, 2).unbind(1)
    expected = -logsigmoid(0.4 * (chosen - rejected)).mean()
    assert found.item() == pytest.approx(expected.item(), rel=1e-4)
    torch.testing.assert_close(theirs, gradient(policy, expected), atol=1e-5, rtol=1e-3)
    assert theirs.abs().max() > 0
    assert abs(found.item() - 0.6931) > 1e-3


def test_before_the_first_update_the_loss_is_log_two(policy, rows, tmp_path) -> None:
    trainer = made(policy, rows, tmp_path)
    batch = trainer.data_collator([trl_row(row) for row in rows])
    assert trainer.compute_loss(policy.model, batch).item() == pytest.approx(0.693147, abs=1e-5)


def test_no_second_model_is_kept_and_nothing_is_cut(policy, rows, tmp_path) -> None:
    trainer = made(policy, rows, tmp_path)
    assert trainer.ref_model is None
    assert trainer.precompute_ref_logps
    assert trainer.data_collator.max_length is None
