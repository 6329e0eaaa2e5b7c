"""Time of a whole optimizer step: our loop against plain TRL GRPO, same model, batch, problems, lengths and loss.

    OMP_NUM_THREADS=1 PYTHONPATH=src python benchmarks/rl_step.py --blocks 6 --out benchmarks/rl_step.jsonl
    python benchmarks/rl_step.py --table benchmarks/rl_step.jsonl

A step is what lies between the trainer's `on_step_begin` and `on_step_end`: sampling 128 completions, grading them,
advantages, forward and backward passes, clipping, AdamW. "sampling" is generation and grading.

Ours: `CreditGRPOTrainer`, method `outcome`, the embedded engine sampling. Theirs: `trl.GRPOTrainer` with a reward
function that calls the same grader; its `generate` of transformers samples. Both begin with the shipped arithmetic
policy, token-mean loss, group-scaled advantages, no KL. The learning rate is so small that the policies stay
alike, and with them the lengths. Two steps of the one, two of the other, on the same problems; the first block of
each is thrown away. Processor time, since the machine is shared; wall time is noted too.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import transformers
import trl
from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOTrainer

from preceptor import worlds
from preceptor.credit import METHODS
from preceptor.generation import Sampling
from preceptor.grade import grade
from preceptor.learn.grpo import CreditGRPOTrainer
from preceptor.learn.rollouts import RolloutSource
from preceptor.learn.session import grpo_config
from preceptor.learn.settings import Settings
from preceptor.policy import TransformersPolicy
from preceptor.policy.load import load_policy
from preceptor.trace import Finish, Problem

STEPS = 2
"""Steps of one way before it is the other's turn."""


class Clock(TrainerCallback):
    """Processor and wall time of each step, and of its parts."""

    def __init__(self, parts: dict[str, float]):
        self.parts, self.rows, self.tokens = parts, list[dict[str, float]](), 0

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.began = time.process_time(), time.perf_counter(), dict(self.parts)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        cpu, wall, parts = self.began
        row = {k: self.parts[k] - parts.get(k, 0.0) for k in self.parts}
        row |= {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall, "tokens": self.tokens}
        self.rows.append(row)


def timed(owner: Any, name: str, parts: dict[str, float], part: str) -> None:
    """Adds the processor time of a method to a part."""
    plain = getattr(owner, name)
    parts[part] = 0.0

    def call(*args: Any, **options: Any) -> Any:
        began = time.process_time()
        try:
            return plain(*args, **options)
        finally:
            parts[part] += time.process_time() - began

    setattr(owner, name, call)


def ours(
    policy: TransformersPolicy, problems: list[Problem], settings: Settings, scratch: Path
) -> tuple[Any, Clock]:
    parts: dict[str, float] = {}
    source = RolloutSource(policy, Sampling(max_tokens=settings.max_tokens), settings.seed)
    made = CreditGRPOTrainer(
        source=source,
        problems=problems,
        credit=METHODS["outcome"],
        scorer=None,
        args=grpo_config(settings, scratch),
        train_dataset=rows(problems, settings, 0),
    )
    timed(policy, "generate", parts, "generation")
    timed(source, "traces", parts, "sampling")
    timed(made, "_credit", parts, "advantages")
    return made, Clock(parts)


def theirs(
    policy: TransformersPolicy, problems: list[Problem], settings: Settings, scratch: Path
) -> tuple[Any, Clock]:
    parts: dict[str, float] = {}
    args = grpo_config(settings, scratch)
    args.loss_type = "dapo"

    def right(prompts: list[str], completions: list[str], problem: list[int], **_: Any) -> list[float]:
        graded = [grade(problems[i], text, finish=Finish.STOP) for i, text in zip(problem, completions)]
        return [float(g.correct) for g in graded]

    made = GRPOTrainer(
        model=policy.model,
        processing_class=policy.tokenizer,
        reward_funcs=[right],
        args=args,
        train_dataset=rows(problems, settings, 0),
    )
    timed(made, "_generate_single_turn", parts, "generation")
    timed(made, "_calculate_rewards", parts, "grading")
    return made, Clock(parts)


def rows(problems: list[Problem], settings: Settings, block: int) -> Dataset:
    """The problems of one block, in an order of its own; what TRL tokenizes is our prompt's text."""
    order = list(range(len(problems)))
    random.Random(block).shuffle(order)
    chosen = order[: settings.prompts_per_step * STEPS]
    return Dataset.from_dict({"prompt": [problems[i].prompt + "\n" for i in chosen], "problem": chosen})


def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    torch.set_num_threads(1)
    settings = Settings(
        method="outcome",
        steps=STEPS,
        prompts_per_step=args.prompts,
        generations=args.generations,
        lr=1e-7,
        temperature=1.0,
        max_tokens=args.max_tokens,
        kl=0.0,
        micro_batch=args.micro_batch,
        eval_every=0,
        eval_samples=0,
        seed=0,
    )
    problems = worlds.arithmetic(split="train", n=256)
    first = load_policy("world:arithmetic", dtype="float32")
    second = TransformersPolicy(copy.deepcopy(first.model), first.tokenizer)
    same = [
        first.prefix(_request(p)) == tuple(first.tokenizer(p.prompt + "\n")["input_ids"]) for p in problems
    ]
    assert all(same), "TRL would read other prompts"
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        ways = {
            "ours": ours(first, problems, settings, Path(scratch) / "a"),
            "trl": theirs(second, problems, settings, Path(scratch) / "b"),
        }
        for trainer, clock in ways.values():
            trainer.remove_callback(PrinterCallback)
            trainer.add_callback(clock)
        for block in range(args.blocks + 1):
            for name, (trainer, clock) in ways.items() if block % 2 else reversed(ways.items()):
                trainer.train_dataset = rows(problems, settings, block)
                if name == "ours":
                    trainer.source.seed = block
                done = len(clock.rows)
                trainer.train()
                length = statistics.mean(
                    h["completions/mean_length"] for h in trainer.state.log_history[:STEPS]
                )
                for row in clock.rows[done:]:
                    row["tokens"] = length
                    if block:
                        found.append({"way": name, "block": block, **row})
                print(
                    name, block, [round(r["cpu"], 2) for r in clock.rows[done:]], round(length, 1), flush=True
                )
    about = {"threads": 1, "torch": torch.__version__, "trl": trl.__version__, "machine": platform.machine()}
    asked = {k: v for k, v in vars(args).items() if k not in ("out", "table")}
    return [{**about, "transformers": transformers.__version__, **asked, **row} for row in found]


def _request(problem: Problem) -> Any:
    from preceptor.generation import Request

    return Request(problem)


def table(found: list[dict[str, Any]]) -> str:
    """Medians of the steps, and the ratio with its range over the blocks."""
    ways: dict[str, list[dict[str, Any]]] = {}
    for row in found:
        ways.setdefault(row["way"], []).append(row)
    lines = []
    for name, steps in ways.items():
        parts = [k for k in ("generation", "sampling", "grading", "advantages") if k in steps[0]]
        shown = {k: statistics.median(s[k] for s in steps) for k in (*parts, "cpu", "wall", "tokens")}
        lines.append(name + ": " + ", ".join(f"{k} {v:.2f}" for k, v in shown.items()) + f", n={len(steps)}")
    blocks = sorted({r["block"] for r in found})
    for unit in ("cpu", "wall"):
        ratios = []
        for block in blocks:
            own, other = ([s[unit] for s in ways[w] if s["block"] == block] for w in ("ours", "trl"))
            ratios.append(sum(other) / sum(own))
        middle, low, high = statistics.median(ratios), min(ratios), max(ratios)
        lines.append(f"ratio ({unit}): {middle:.2f} ({low:.2f}-{high:.2f}, {len(ratios)} blocks)")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--generations", type=int, default=8)
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--micro-batch", type=int, default=32)
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--table", type=Path)
    args = parser.parse_args()
    if args.table:
        found = [json.loads(line) for line in args.table.read_text().splitlines()]
        for size in sorted({row["micro_batch"] for row in found}):
            print(f"micro-batch {size}\n" + table([row for row in found if row["micro_batch"] == size]))
        return
    found = measure(args)
    print(table(found))
    if args.out:
        with args.out.open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in found)


if __name__ == "__main__":
    main()
