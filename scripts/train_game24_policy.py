"""Train the shipped Game of 24 player: a small Llama that makes 24 about half of the time.

    python scripts/train_game24_policy.py --out src/preceptor/worlds/game24_policy

Supervised training from random weights on plays of the train split's hands by a scripted player (`ScriptedGame24`)
that is wise in most plays and random in some, so that it learns to move soundly from lost tables too. Training
stops on a *measured* accuracy of single samples on the dev split. Prints its figures and saves them in figures.json.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import torch
from small_models import Row, attempts, batches, fit, llama, mean, row_of, save, solve_rate, train_tokenizer
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from preceptor.annotate import StepConfidence
from preceptor.bench.discrimination import bootstrap_auroc
from preceptor.bench.statistics import bootstrap_mean
from preceptor.generation import Request
from preceptor.policy import ScriptedGame24
from preceptor.policy.checkpoint import load_checkpoint
from preceptor.trace import Problem
from preceptor.worlds import WORLDS, game24
from preceptor.worlds.twentyfour import puzzle, reachable

HANDS = {"train": 822, "dev": 262, "test": 278}
LARGEST = 20
WISE = ((0.85, 1.0), (0.15, 0.2))
"""(Share of the plays, how wise they are.)"""


def larger_hands() -> Iterator[Problem]:
    """Hands of numbers up to `LARGEST` that the world does not have: some number is over 13."""
    for hand in combinations_with_replacement(range(1, LARGEST + 1), 4):
        if max(hand) > 13 and reachable(tuple(map(Fraction, hand))):
            yield puzzle(hand)


def plays(seed: int, own: int, larger: int) -> list[tuple[Problem, str]]:
    """`own` plays of each hand of the train split and `larger` of each larger one, shuffled."""
    rng, found = random.Random(seed), []
    shares, levels = zip(*WISE)
    for hands, times in ((game24("train", HANDS["train"]), own), (larger_hands(), larger)):
        # Hand by hand: what can be reached from a hand's tables is remembered for a while.
        for hand in hands:
            for k in range(times):
                player = ScriptedGame24(rng.choices(levels, shares)[0])
                found.append((hand, player.generate([Request(hand, draw=k, seed=seed)])[0].text))
    rng.shuffle(found)
    return found


def rows(tokenizer: PreTrainedTokenizerFast, known: list[tuple[Problem, str]], seed: int) -> Iterator[Row]:
    """Endless, each time around in another order."""
    found, rng = [row_of(tokenizer, hand.prompt, text) for hand, text in known], random.Random(seed)
    while True:
        yield from rng.sample(found, len(found))


def train(args: argparse.Namespace) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast, int, float]:
    torch.manual_seed(args.seed)
    known = plays(args.seed, args.own, args.larger)
    texts = (hand.prompt + "\n" + text for hand, text in known[:4000])
    if args.start:
        model, tokenizer = load_checkpoint(args.start, "float32", "cpu")
    else:
        tokenizer = train_tokenizer(texts, args.vocab, digits=False)
        model = llama(tokenizer, args.hidden, args.layers)
    model.train()
    dev = game24("dev", HANDS["dev"])

    def done(now: LlamaForCausalLM, line: str) -> bool:
        sampled = solve_rate(now, tokenizer, dev, 2, greedy=False)
        rate = sum(map(sum, sampled)) / (2 * len(dev))
        save(now, tokenizer, args.out, {})
        print(f"{line} | dev at temperature 1 {rate:.3f}", flush=True)
        return rate >= args.target

    stream = batches(rows(tokenizer, known, args.seed), args.batch, tokenizer.pad_token_id)
    model, steps, seconds = fit(model, stream, args.lr, args.every, done, args.steps)
    return model, tokenizer, steps, seconds


def sharpen(model: LlamaForCausalLM, factor: float) -> None:
    """Every logit times `factor`, by way of the last norm."""
    with torch.no_grad():
        model.model.norm.weight.mul_(factor)


def figures_of(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, samples: int = 16
) -> dict[str, Any]:
    """On all hands of the test split; intervals are over hands."""
    hands = game24("test", HANDS["test"])
    greedy = solve_rate(model, tokenizer, hands, 1, greedy=True)
    traces = attempts(model, tokenizer, hands, samples, greedy=False)
    right = [
        [bool(t.grade and t.grade.correct) for t in traces[i : i + samples]]
        for i in range(0, len(traces), samples)
    ]
    owners, confidence, reachable, valid = [], [], [], []
    for trace, judged in zip(traces, StepConfidence().score(traces)):
        alive = True
        for truth, score in zip(WORLDS["game24"].judge(trace.problem, trace.step_texts), judged.scores or ()):
            valid.append((trace.problem.id, truth.kind in ("ok", "wrong answer")))
            if alive and score is not None:
                owners.append(trace.problem.id)
                confidence.append(score)
                reachable.append(truth.reachable)
            alive = alive and truth.reachable
    invalid = defaultdict(list)
    for owner, ok in valid:
        invalid[owner].append(not ok)
    return {
        "test_hands": len(hands),
        "samples_per_hand": samples,
        "greedy": str(bootstrap_mean([r[0] for r in greedy])),
        "mean_at_1": str(bootstrap_mean([mean(r) for r in right])),
        f"pass_at_{samples}": str(bootstrap_mean([any(r) for r in right])),
        "invalid_moves": str(bootstrap_mean([mean(own) for own in invalid.values()])),
        "moves_that_keep_24_reachable": round(mean(reachable), 3),
        "auroc_of_confidence_against_reachable": str(bootstrap_auroc(owners, confidence, reachable)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="directory for the model, tokenizer and card")
    parser.add_argument("--hidden", type=int, default=96)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--vocab", type=int, default=512)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--own", type=int, default=40, help="plays of each hand of the train split")
    parser.add_argument("--larger", type=int, default=8, help="plays of each larger hand")
    parser.add_argument("--every", type=int, default=300, help="steps between measurements")
    parser.add_argument(
        "--target", type=float, default=0.45, help="dev accuracy of one sample at which to stop"
    )
    parser.add_argument(
        "--sharpen",
        type=float,
        default=1.5,
        help="factor of the logits of the saved model: a temperature of 1 / it",
    )
    parser.add_argument("--start", type=Path, help="a model of an earlier run to go on from")
    parser.add_argument("--steps", type=int, default=3600, help="at which to stop at the latest")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    model, tokenizer, steps, seconds = train(args)
    sharpen(model, args.sharpen)
    figures = {
        "sharpened": args.sharpen,
        "parameters": sum(p.numel() for p in model.parameters()),
        "training_steps": steps,
        "plays_seen": steps * args.batch,
        "seconds": round(seconds),
        **figures_of(model, tokenizer),
    }
    save(model, tokenizer, args.out, figures)


if __name__ == "__main__":
    main()
