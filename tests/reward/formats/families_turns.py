"""Tiny random checkpoints in the layout of the families read in chat turns, in two passes and from two models.

Tokenizers are trained here on a few lines, with the public ones' special tokens, way of splitting text, and
chat templates of the same shape: Llama-3.1's writes a system header with dates and trims what users say,
Qwen2.5's puts a system message in when there is none. `python -m tests.reward.formats.families_turns OUT` writes
all of them to OUT/NAME (Eurus' reference model to OUT/eurus/reference).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

LINES = [
    "Mia has 12 boxes with 7 pens each. She gives away 30 pens. How many pens are left?\n\n",
    "Step 1: Mia has 12 * 7 = 84 pens.\n\nStep 2: 84 - 30 = 54 pens are left.\n\nThe answer is 54.",
    "correct incorrect correct incorrect + - + - user\n\nassistant\n\n system\n\n",
    "Question: Current Step: Math reasoning: , Consistency: , Correctness: \n\n",
    "### Question:\n ### Solution Process:\n",
]
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
LLAMA_SPECIAL = [
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|reserved_special_token_0|>",
]
LLAMA_TEMPLATE = (
    "{{ bos_token }}"
    "{% if messages[0]['role'] == 'system' %}{% set said = messages[0]['content'] | trim %}"
    "{% set rest = messages[1:] %}{% else %}{% set said = '' %}{% set rest = messages %}{% endif %}"
    "{{ '<|start_header_id|>system<|end_header_id|>\n\n' }}"
    "{{ 'Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n' }}{{ said }}{{ '<|eot_id|>' }}"
    "{% for m in rest %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' }}"
    "{{ m['content'] | trim }}{{ '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
QWEN_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
QWEN_TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def tokenizer_of(special: Sequence[str], template: str, **named: str) -> PreTrainedTokenizerFast:
    """A byte-level BPE that splits text as Llama-3's and Qwen's do."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    core.train_from_iterator(
        LINES * 3,
        trainers.BpeTrainer(
            vocab_size=420,
            special_tokens=list(special),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    rest = [s for s in special if s not in named.values()]
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, extra_special_tokens=rest, **named)
    tokenizer.chat_template = template
    return tokenizer


def llama_tokenizer() -> PreTrainedTokenizerFast:
    return tokenizer_of(LLAMA_SPECIAL, LLAMA_TEMPLATE, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>")


def qwen_tokenizer(more: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    return tokenizer_of(
        [*QWEN_SPECIAL, *more], QWEN_TEMPLATE, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )


def save(
    path: Path, tokenizer: PreTrainedTokenizerFast, kind: str, seed: int = 0, context: int = 512
) -> Path:
    """A random language model of this architecture and the tokenizer, as `save_pretrained` writes them."""
    torch.manual_seed(seed)
    config, model = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen": (Qwen2Config, Qwen2ForCausalLM)}[kind]
    settings = config(
        vocab_size=len(tokenizer) + 5,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        initializer_range=0.3,
    )
    model(settings).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def llama(path: Path) -> Path:
    return save(path, llama_tokenizer(), "llama")


def qwen(path: Path) -> Path:
    return save(path, qwen_tokenizer(), "qwen")


def pathfinder(path: Path) -> Path:
    return save(path, qwen_tokenizer(["<+>", "<->", "<extra>"]), "qwen")


def eurus(path: Path) -> Path:
    save(path / "reference", qwen_tokenizer(), "qwen", seed=2)
    return save(path, qwen_tokenizer(), "qwen", seed=1)


FAMILIES: dict[str, Callable[[Path], Path]] = {
    "rlhflow-prm": llama,
    "rlhflow-orm": llama,
    "fover": llama,
    "visualprm": qwen,
    "pathfinder": pathfinder,
    "eurus": eurus,
}

if __name__ == "__main__":
    for name, make in FAMILIES.items():
        sys.stdout.write(f"{make(Path(sys.argv[1]) / name)}\n")
