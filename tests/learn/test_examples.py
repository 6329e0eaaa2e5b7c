"""Specifies docs/credit_in_your_trainer.md: its programs are the files of examples/, and they run.

Run with `python -m pytest tests/learn/test_examples.py`.
"""

from __future__ import annotations

import math
import re
import runpy
from pathlib import Path

import numpy as np
import pytest

from preceptor.cli.app import GROUPS, VERBS
from preceptor.credit import METHODS
from preceptor.policy import TransformersPolicy
from preceptor.worlds import load_problems
from tests.learn.toys import HashValue

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "credit_in_your_trainer.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("name", ["plain_loop.py", "plain_trl.py"])
def test_the_page_has_the_text_of_the_file(name):
    assert (ROOT / "examples" / name).read_text(encoding="utf-8") in BLOCKS


def test_the_plain_loop_trains_and_measures(tiny_policy_dir):
    example = runpy.run_path(str(ROOT / "examples" / "plain_loop.py"))
    policy = TransformersPolicy.load(tiny_policy_dir)
    before = [p.detach().clone() for p in policy.model.parameters()]
    problems = load_problems("world:arithmetic?split=train", n=4)
    found = list(example["train"](policy, problems, method="clip_delta", prompts=2, group=3, lr=1e-3))
    assert len(found) == 2
    assert all(math.isfinite(loss) and 0 <= accuracy <= 1 for loss, accuracy in found)
    assert any(loss != 0 for loss, _ in found)
    assert any(bool((a != b).any()) for a, b in zip(before, policy.model.parameters(), strict=True))


def test_the_log_probabilities_of_the_loop_are_those_that_were_sampled_with(tiny_policy_dir):
    from preceptor.policy import sample

    example = runpy.run_path(str(ROOT / "examples" / "plain_loop.py"))
    policy = TransformersPolicy.load(tiny_policy_dir)
    (trace,) = sample(policy, load_problems("world:arithmetic", n=1), samples=1)
    assert example["logprobs"](policy, trace).tolist() == pytest.approx(list(trace.logprobs), abs=1e-4)


def test_the_loop_is_about_forty_lines_of_code():
    code = (ROOT / "examples" / "plain_loop.py").read_text(encoding="utf-8").partition("\nif __name__")[0]
    assert sum(bool(line.strip()) for line in code.splitlines()) <= 45


def test_plain_trl_learns_from_the_methods_advantages(tiny_policy_dir, tmp_path):
    pytest.importorskip("trl")
    from datasets import Dataset
    from trl import GRPOConfig

    example = runpy.run_path(str(ROOT / "examples" / "plain_trl.py"))
    policy = TransformersPolicy.load(tiny_policy_dir)
    problems = load_problems("world:arithmetic?split=train", n=2)
    trainer = example["StepCreditTrainer"](
        model=policy.model,
        processing_class=policy.tokenizer,
        problems={p.prompt: p for p in problems},
        credit=METHODS["progress"],
        scorer=HashValue(),
        args=GRPOConfig(str(tmp_path), per_device_train_batch_size=6, num_generations=3, max_completion_length=16,
                        max_steps=1, use_cpu=True, bf16=False, report_to=[], save_strategy="no", disable_tqdm=True),
        train_dataset=Dataset.from_list([{"prompt": p.prompt} for p in problems]),
    )  # fmt: skip
    seen = []
    loss = trainer._compute_loss
    trainer._compute_loss = lambda model, inputs: seen.append(inputs) or loss(model, inputs)
    trainer.train()
    given = np.concatenate([a for a in trainer.batch.advantages if len(a)])
    trained = seen[0]["advantages"]
    assert trained.shape == seen[0]["completion_ids"].shape
    assert given.any()
    assert float(trained.sum()) == pytest.approx(float(given.sum()), abs=1e-4)
    assert math.isfinite(trainer.state.log_history[-1]["train_loss"])


def test_a_token_that_is_half_a_character_ends_where_the_character_does(tiny_policy_dir):
    pytest.importorskip("trl")
    kind = runpy.run_path(str(ROOT / "examples" / "plain_trl.py"))["StepCreditTrainer"]
    policy = TransformersPolicy.load(tiny_policy_dir)
    (problem,) = load_problems("world:arithmetic", n=1)
    made = kind.__new__(kind)
    made.processing_class, made.problems = policy.tokenizer, {problem.prompt: problem}
    ids = policy.tokenizer.encode("1+1=2\n\u20ac is 7\nAnswer: 2\n", add_special_tokens=False)
    trace = made.trace({"prompt": problem.prompt}, ids)
    assert list(trace.token_ends) == sorted(trace.token_ends)
    assert trace.token_ends[-1] == len(trace.text)


@pytest.mark.parametrize("number", [0, 1])
def test_the_short_programs_of_the_page_run(number, tmp_path, monkeypatch):
    pytest.importorskip("trl")
    monkeypatch.chdir(tmp_path)
    exec(BLOCKS[number], {})
    assert (tmp_path / "runs").is_dir()


def test_commands_on_the_page_are_verbs():
    for line in re.findall(r"^preceptor (\S+)", PAGE, re.MULTILINE):
        assert line in VERBS or line in GROUPS
