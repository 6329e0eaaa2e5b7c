"""Train the policy that ships with the package: a small Llama that solves word problems about half of the time.

    python scripts/train_default_policy.py --out src/preceptor/worlds/default_policy

Supervised training from random weights on generated problems of the train split: loss on the solution only,
Muon for the matrices, AdamW for the rest, and a running mean of the weights is what is saved. Training stops
on a *measured* greedy accuracy on the dev split, never on time: a policy that is always right leaves search,
labels and reinforcement learning nothing to do. Prints its figures and saves them in figures.json. A few
minutes on 2 CPU cores.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import torch
from small_models import Row, batches, fit, llama, row_of, save, solve_rate, train_tokenizer
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from preceptor.worlds.word_problems import generate

WORLD = {"operations": (2, 8), "distractors": (0, 2), "largest": 200}


def rows(tokenizer: PreTrainedTokenizerFast, seed: int) -> Iterator[Row]:
    for p in generate("train", seed, **WORLD):
        yield row_of(tokenizer, p.prompt, "".join(p.reference))


def train(args: argparse.Namespace) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast, int, float]:
    torch.manual_seed(args.seed)
    texts = (p.prompt + "\n" + "".join(p.reference) for p in islice(generate("train", 1, **WORLD), 4000))
    tokenizer = train_tokenizer(texts, args.vocab)
    model = llama(tokenizer, args.hidden, args.layers)
    dev = list(islice(generate("dev", 0, **WORLD), 200))

    def done(now: LlamaForCausalLM, line: str) -> bool:
        greedy = sum(r[0] for r in solve_rate(now, tokenizer, dev, 1, greedy=True)) / len(dev)
        print(f"{line} | dev greedy {greedy:.3f}", flush=True)
        if greedy >= args.target - 0.1:
            sampled = solve_rate(now, tokenizer, dev[:100], 16, greedy=False)
            print(f"           pass@16 {sum(map(any, sampled)) / len(sampled):.3f}", flush=True)
        return greedy >= args.target

    stream = batches(rows(tokenizer, args.seed), args.batch, tokenizer.pad_token_id)
    model, steps, seconds = fit(model, stream, args.lr, args.every, done)
    return model, tokenizer, steps, seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="directory for the model, tokenizer and card")
    parser.add_argument("--hidden", type=int, default=96)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--vocab", type=int, default=512)
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--every", type=int, default=50, help="steps between measurements")
    parser.add_argument("--target", type=float, default=0.55, help="greedy dev accuracy at which to stop")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    model, tokenizer, steps, seconds = train(args)
    test = list(islice(generate("test", 0, **WORLD), 500))
    greedy = solve_rate(model, tokenizer, test, 1, greedy=True)
    sampled = solve_rate(model, tokenizer, test, 16, greedy=False)
    figures = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "training_steps": steps,
        "problems_seen": steps * args.batch,
        "seconds": round(seconds),
        "test_problems": len(test),
        "greedy": round(sum(r[0] for r in greedy) / len(test), 4),
        "mean_at_1": round(sum(sum(r) for r in sampled) / (16 * len(test)), 4),
        "pass_at_16": round(sum(any(r) for r in sampled) / len(test), 4),
    }
    save(model, tokenizer, args.out, figures)


if __name__ == "__main__":
    main()
