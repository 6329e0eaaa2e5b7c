"""What the scripts that train the shipped models share: tokenizer, architecture, batches, optimizers, measuring.

Small Llamas from random weights: Muon for the matrices, AdamW for the rest, and a running mean of the weights is
what is saved.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from preceptor.generation import Sampling
from preceptor.policy import TransformersPolicy, sample
from preceptor.trace import Problem, Trace

IGNORED = -100
"""Label of a token that is not learned."""
Row = tuple[list[int], list[int]]
"""Token ids and labels of one text."""


def train_tokenizer(texts: Iterable[str], vocab_size: int, digits: bool = True) -> PreTrainedTokenizerFast:
    """Byte-level BPE in which a line end is always a token of its own, and so is a digit; without `digits` so is
    a number that is common."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=digits),
            pre_tokenizers.Split(Regex(r"\n|[-+*/=:]"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=digits),
        ]
    )
    core.decoder = decoders.ByteLevel()
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


def llama(tokenizer: PreTrainedTokenizerFast, hidden: int, layers: int) -> LlamaForCausalLM:
    """Random weights."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=hidden * 5 // 2,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def row_of(tokenizer: PreTrainedTokenizerFast, prompt: str, answer: str) -> Row:
    """Learned is the answer, not the prompt."""
    before, after = (tokenizer.backend_tokenizer.encode(text).ids for text in (prompt + "\n", answer))
    after = after + [tokenizer.eos_token_id]
    return before + after, [IGNORED] * len(before) + after


def batches(rows: Iterator[Row], size: int, pad: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """(ids, labels) of `size` rows, right padded, as long as there are rows."""
    while pool := list(islice(rows, size * 16)):
        # Rows of similar length share a batch: less padding.
        pool.sort(key=lambda row: len(row[0]))
        groups = [pool[i : i + size] for i in range(0, len(pool), size)]
        for g in torch.randperm(len(groups)).tolist():
            width = max(len(ids) for ids, _ in groups[g])
            ids, labels = (
                torch.tensor([r[k] + [fill] * (width - len(r[k])) for r in groups[g]])
                for k, fill in ((0, pad), (1, IGNORED))
            )
            yield ids, labels


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


def fit(
    model: LlamaForCausalLM,
    stream: Iterator[tuple[torch.Tensor, torch.Tensor]],
    lr: float,
    every: int,
    done: Callable[[LlamaForCausalLM, str], bool],
    steps: int | None = None,
) -> tuple[LlamaForCausalLM, int, float]:
    """(mean of the weights, steps, seconds). Every `every` steps `done` is shown the mean and a line about the
    training so far, and says whether to stop. With `steps` it stops there at the latest, and the learning rate falls
    to zero over the last 60 % of them."""
    if steps is not None and steps % every:
        raise ValueError(f"steps: got {steps}, expected a multiple of {every}")
    steppers = optimizers(model, lr)
    # The mean of the last weights is surer of what it knows and less sure of what it does not: more diversity.
    mean = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.99))
    start, loss_sum = time.time(), 0.0
    for step, (ids, labels) in enumerate(stream, 1):
        for s in steppers:
            for group in s.param_groups:
                group["lr"] = lr * min(1.0, step / 50, (steps - step) / (0.6 * steps) if steps else 1.0)
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for s in steppers:
            s.step()
            s.zero_grad()
        mean.update_parameters(model)
        loss_sum += loss.item()
        if step % every == 0:
            mean.eval()
            line = f"step {step:5d} | loss {loss_sum / every:.4f} | {time.time() - start:.0f} s"
            if done(mean.module, line) or step == steps:
                return mean.module, step, time.time() - start
            loss_sum = 0.0
    raise AssertionError("unreachable: the stream of batches is endless")


@torch.inference_mode()
def attempts(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    problems: Sequence[Problem],
    samples: int,
    greedy: bool,
) -> list[Trace]:
    """`samples` graded traces per problem, problem by problem."""
    sampling = Sampling(temperature=0.0 if greedy else 1.0, max_tokens=160)
    return sample(TransformersPolicy(model, tokenizer), problems, samples=samples, seed=7, sampling=sampling)


def solve_rate(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    problems: Sequence[Problem],
    samples: int,
    greedy: bool,
) -> list[list[bool]]:
    """Correctness of each sample of each problem."""
    traces = attempts(model, tokenizer, problems, samples, greedy)
    right = [bool(t.grade and t.grade.correct) for t in traces]
    return [right[i : i + samples] for i in range(0, len(right), samples)]


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def save(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, out: Path, figures: dict[str, Any]
) -> None:
    """The model in the standard format, and its figures."""
    model.generation_config.do_sample = True
    model.generation_config.temperature, model.generation_config.top_k = 1.0, 0
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    (out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures))
