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
import json
import time
from itertools import islice
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from preceptor.worlds.word_problems import generate

WORLD = {"operations": (2, 8), "distractors": (0, 2), "largest": 200}


def train_tokenizer(vocab_size: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE with single digits; a line end is always a token of its own."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.Split(Regex(r"\n|[-+*/=:]"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    texts = (p.prompt + "\n" + "".join(p.reference) for p in islice(generate("train", 1, **WORLD), 4000))
    core.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=["<|end|>", "<|pad|>", "<|step|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token="<|end|>",
        pad_token="<|pad|>",
        extra_special_tokens=["<|step|>"],
        model_max_length=2048,
    )


def batches(tokenizer: PreTrainedTokenizerFast, size: int, seed: int):
    """Endless (ids, labels), right padded; labels are -100 outside the solution."""
    stream = generate("train", seed, **WORLD)
    while True:
        # Rows of similar length share a batch: less padding.
        pool = []
        for p in islice(stream, size * 16):
            prompt = tokenizer.encode(p.prompt + "\n")
            answer = tokenizer.encode("".join(p.reference)) + [tokenizer.eos_token_id]
            pool.append((prompt + answer, [-100] * len(prompt) + answer))
        pool.sort(key=lambda row: len(row[0]))
        groups = [pool[i : i + size] for i in range(0, len(pool), size)]
        for g in torch.randperm(len(groups)).tolist():
            width = max(len(ids) for ids, _ in groups[g])
            yield tuple(
                torch.tensor([r[k] + [fill] * (width - len(r[k])) for r in groups[g]])
                for k, fill in ((0, tokenizer.pad_token_id), (1, -100))
            )


@torch.inference_mode()
def solve_rate(model, tokenizer, problems, samples: int, greedy: bool) -> list[list[bool]]:
    """Correctness of each sample of each problem."""
    from preceptor.generation import Sampling
    from preceptor.policy import TransformersPolicy, sample

    policy = TransformersPolicy(model, tokenizer)
    sampling = Sampling(temperature=0.0 if greedy else 1.0, max_tokens=160)
    traces = sample(policy, problems, samples=samples, seed=7, sampling=sampling)
    right = [bool(t.grade and t.grade.correct) for t in traces]
    return [right[i : i + samples] for i in range(0, len(right), samples)]


def optimizers(model: LlamaForCausalLM, lr: float) -> list[torch.optim.Optimizer]:
    matrices = [
        p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n and "lm_head" not in n
    ]
    chosen = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    return [
        torch.optim.Muon(matrices, lr=lr, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=lr, weight_decay=0.0),
    ]


def train(args: argparse.Namespace):
    torch.manual_seed(args.seed)
    tokenizer = train_tokenizer(args.vocab)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=args.hidden,
        intermediate_size=args.hidden * 5 // 2,
        num_hidden_layers=args.layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    steppers = optimizers(model, args.lr)
    # The mean of the last weights is surer of what it knows and less sure of what it does not: more diversity.
    mean = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.99))
    dev = list(islice(generate("dev", 0, **WORLD), 200))
    start, loss_sum, seen = time.time(), 0.0, 0
    for step, (ids, labels) in enumerate(batches(tokenizer, args.batch, args.seed), 1):
        scale = min(1.0, step / 50)
        for s in steppers:
            for group in s.param_groups:
                group["lr"] = args.lr * scale
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for s in steppers:
            s.step()
            s.zero_grad()
        mean.update_parameters(model)
        loss_sum, seen = loss_sum + loss.item(), seen + 1
        if step % args.every == 0:
            mean.eval()
            greedy = sum(r[0] for r in solve_rate(mean.module, tokenizer, dev, 1, greedy=True)) / len(dev)
            print(
                f"step {step:5d} | loss {loss_sum / seen:.4f} | dev greedy {greedy:.3f} | {time.time() - start:.0f} s",
                flush=True,
            )
            loss_sum, seen = 0.0, 0
            if greedy >= args.target - 0.1:
                rows = solve_rate(mean.module, tokenizer, dev[:100], 16, greedy=False)
                print(f"           pass@16 {sum(map(any, rows)) / len(rows):.3f}", flush=True)
            if greedy >= args.target:
                return mean.module, tokenizer, step, time.time() - start
    raise AssertionError("unreachable: the stream of batches is endless")


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
    model.generation_config.do_sample = True
    model.generation_config.temperature, model.generation_config.top_k = 1.0, 0
    model.save_pretrained(args.out)
    tokenizer.save_pretrained(args.out)
    (args.out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
