"""Tokens per second of the embedded engine against `generate` of transformers, same model, same work.

    python benchmarks/engine.py --size s2 --work W1 --repeat 5 --threads 2 --out benchmarks/engine.jsonl
    python benchmarks/engine.py --table benchmarks/engine.jsonl

W1 is labeling: 64 prefixes x 8 rollouts of 20-100 tokens. W2 is sampling: 20 prompts x 16 of 40-200.
Lengths are forced (no end-of-text token), so both engines write the same number of tokens. `generate`
gets its fair due: the best of several batch sizes, requests sorted by the length they need, left padding,
each batch stopped at its own longest. Only wanted tokens count. The two are interleaved in one process.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
import time
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

from preceptor.generation import Sampling
from preceptor.policy.engine import Engine, Task

SIZES = {
    "s2": {"hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 5, "num_attention_heads": 6}
    | {"num_key_value_heads": 2},
    "s10": {"hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 6, "num_attention_heads": 6}
    | {"num_key_value_heads": 6},
}
WORK = {"W1": (64, 8, 20, 100), "W2": (20, 16, 40, 200)}
VOCABULARY = 768


def model_of(size: str, dtype: torch.dtype) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
        initializer_range=0.1,
        **SIZES[size],
    )
    return LlamaForCausalLM(config).to(dtype).eval()


def tasks_of(work: str) -> list[Task]:
    """Eight prefixes of 30-150 tokens per problem in W1, as the steps of one trace; single prompts in W2."""
    prefixes, rollouts, shortest, longest = WORK[work]
    rng = random.Random(0)
    tasks = []
    for group in range(prefixes // 8 if work == "W1" else prefixes):
        count = 8 if work == "W1" else 1
        ends = sorted(rng.sample(range(30, 150), count))
        ids = tuple(rng.randrange(1, VOCABULARY) for _ in range(ends[-1]))
        for end in ends:
            for draw in range(rollouts):
                limit = rng.randint(shortest, longest)
                tasks.append(Task(ids[:end], group * 10_000 + end * 100 + draw, limit, Sampling()))
    return tasks


def run_generate(model: LlamaForCausalLM, tasks: list[Task], batch: int) -> float:
    """Seconds for all tasks, `batch` at a time."""
    order = sorted(tasks, key=lambda t: (t.limit, len(t.prefix)))
    began = time.perf_counter()
    with torch.inference_mode():
        for k in range(0, len(order), batch):
            part = order[k : k + batch]
            width = max(len(t.prefix) for t in part)
            ids = torch.zeros(len(part), width, dtype=torch.long)
            mask = torch.zeros_like(ids)
            for row, task in enumerate(part):
                ids[row, width - len(task.prefix) :] = torch.tensor(task.prefix)
                mask[row, width - len(task.prefix) :] = 1
            model.generate(
                ids,
                attention_mask=mask,
                max_new_tokens=max(t.limit for t in part),
                do_sample=True,
                top_k=0,
                top_p=1.0,
                pad_token_id=0,
            )
    return time.perf_counter() - began


def run_engine(engine: Engine, tasks: list[Task]) -> float:
    began = time.perf_counter()
    outputs = engine.run(tasks)
    seconds = time.perf_counter() - began
    assert all(len(o.ids) == t.limit for o, t in zip(outputs, tasks, strict=True))
    return seconds


def ceiling(model: LlamaForCausalLM, rows: int, steps: int = 30) -> float:
    """Tokens/s of nothing but the decoder on `rows` x 1 tokens with an empty cache."""
    ids = torch.ones(rows, 1, dtype=torch.long)
    with torch.inference_mode():
        for k in range(steps + 5):
            if k == 5:
                began = time.perf_counter()
            model(input_ids=ids, past_key_values=DynamicCache(), use_cache=True)
    return rows * steps / (time.perf_counter() - began)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    model = model_of(args.size, getattr(torch, args.dtype))
    tasks = tasks_of(args.work)[: args.requests]
    wanted = sum(t.limit for t in tasks)
    engine = Engine(model, (), args.slots)
    run_engine(engine, tasks[:64])
    trial = {b: wanted / run_generate(model, tasks, b) for b in args.batches}
    best = max(trial, key=lambda b: trial[b])
    ours, theirs = [], []
    for _ in range(args.repeat):
        ours.append(wanted / run_engine(engine, tasks))
        theirs.append(wanted / run_generate(model, tasks, best))
    ratios = sorted(a / b for a, b in zip(ours, theirs))
    return {
        "size": args.size,
        "parameters": sum(p.numel() for p in model.parameters()),
        "work": args.work,
        "dtype": args.dtype,
        "threads": args.threads,
        "tokens": wanted,
        "requests": len(tasks),
        "generate_by_batch": {b: round(v) for b, v in trial.items()},
        "best_batch": best,
        "engine": round(statistics.median(ours)),
        "generate": round(statistics.median(theirs)),
        "ratio": round(statistics.median(ratios), 2),
        "ratio_range": [round(ratios[0], 2), round(ratios[-1], 2)],
        "repeat": args.repeat,
        "ceiling": round(ceiling(model, 256)),
        "machine": f"{platform.processor() or platform.machine()}, torch {torch.__version__}, "
        f"transformers {transformers.__version__}",
        "date": time.strftime("%Y-%m-%d"),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown of the last result for each size, work, type and number of threads."""
    last = {(r["size"], r["work"], r["dtype"], r["threads"]): r for r in rows}
    lines = [
        "| model | work | type | threads | engine tok/s | `generate` tok/s (batch) | ratio (range) | of ceiling |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in last.values():
        low, high = r["ratio_range"]
        lines.append(
            f"| {r['size']}, {r['parameters'] / 1e6:.1f}M | {r['work']} | {r['dtype']} | {r['threads']} "
            f"| {r['engine']:,} | {r['generate']:,} ({r['best_batch']}) | **{r['ratio']}** ({low}-{high}, "
            f"n={r['repeat']}) | {r['engine'] / r['ceiling']:.0%} of {r['ceiling']:,} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="s2")
    parser.add_argument("--work", choices=WORK, default="W1")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--slots", type=int, help="rows at a time (default: the engine's choice)")
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 64, 128])
    parser.add_argument("--requests", type=int, help="only this many of the requests")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="add the result to this JSON-lines file")
    parser.add_argument("--table", type=Path, metavar="FILE", help="only print a table of these results")
    args = parser.parse_args()
    if args.table:
        print(table([json.loads(line) for line in args.table.read_text().splitlines()]))
        return
    torch.set_num_threads(args.threads)
    result = measure(args)
    print(json.dumps(result, indent=1))
    if args.out:
        with args.out.open("a") as file:
            file.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
