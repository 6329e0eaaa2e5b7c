"""Tiny tokenizers of the kinds that public reward models come with, trained on a few lines.

`byte_level`: as Qwen's and Llama-3's (words with their blank, line breaks in runs). `pieces`: as Llama-2's and
Mistral's (a word separator before words, bytes for what is not in the vocabulary, a bos token put first, no pad
token).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

PLAIN = [
    "Mia has 12 boxes with 7 pens each. She gives away 30 pens. How many pens are left?",
    "Step 1: Mia has 12 * 7 = 84 pens. Step 2: 84 - 30 = 54 pens are left. So the answer is 54.",
    "Question: Answer: Let's think step by step. Human: Assistant: # Question # Solution",
    "Please reason step by step, and put your final answer within",
    "We add 12 + 7 and then take 3 - 1 away, which gives + or - one.",
]
BROKEN = [
    "pens.\n",
    "left.\n\n",
    "pens \n\n",
    "12 \n\n\n\n",
    "so \n\n\n\n\n",
    "user\nassistant\nsystem\n",
    "system\n\nuser\n\nassistant\n\n",
]
BYTE_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
)
BLANKS = r"|\s+(?!\S)|\s+"
QWEN_TEMPLATE = (
    "{%- if messages[0]['role'] == 'system' -%}{{- '<|im_start|>system\n' + messages[0]['content'] + "
    "'<|im_end|>\n' -}}{%- else -%}{{- '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' -}}"
    "{%- endif -%}{%- for m in messages -%}{%- if not (loop.first and m['role'] == 'system') -%}"
    "{{- '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' -}}{%- endif -%}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
)


def _save(path: Path, core: Tokenizer, settings: dict[str, object]) -> None:
    path.mkdir(parents=True, exist_ok=True)
    core.save(str(path / "tokenizer.json"))
    (path / "tokenizer_config.json").write_text(json.dumps(settings))


def byte_level(
    path: Path,
    special: Sequence[str],
    *,
    digits: str = "",
    bos: str | None = None,
    add_bos: bool = False,
    eos: str,
    pad: str | None = None,
    template: str | None = None,
    kind: str = "PreTrainedTokenizerFast",
    size: int = 420,
) -> None:
    """Writes tokenizer files to `path`. The special tokens come last, as in the public ones."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(BYTE_WORDS % digits + BLANKS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    core.train_from_iterator(
        [*PLAIN, *BROKEN * 8],
        trainers.BpeTrainer(
            vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
        ),
    )
    core.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in special])
    if bos is not None and add_bos:
        core.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, core.token_to_id(bos))]
        )
    settings: dict[str, object] = {
        "tokenizer_class": kind,
        "eos_token": eos,
        "pad_token": pad,
        "bos_token": bos,
    }
    if template is not None:
        settings["chat_template"] = template
    _save(path, core, settings)


def qwen(path: Path, more: Sequence[str] = (), *, first: Sequence[str] = (), digits: str = "") -> None:
    """No bos token; a chat template that puts a default system text where there is none."""
    byte_level(
        path,
        [*first, "<|endoftext|>", "<|im_start|>", "<|im_end|>", *more],
        digits=digits,
        eos="<|im_end|>",
        pad="<|endoftext|>",
        template=QWEN_TEMPLATE,
        kind="Qwen2Tokenizer",
    )


def llama3(path: Path) -> None:
    byte_level(
        path,
        ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        digits="{1,3}",
        bos="<|begin_of_text|>",
        add_bos=True,
        eos="<|eot_id|>",
    )


def deepseek(path: Path) -> None:
    bos = "<\uff5cbegin\u2581of\u2581sentence\uff5c>"
    byte_level(
        path,
        [bos, "<\uff5cend\u2581of\u2581sentence\uff5c>", "[PRM]"],
        bos=bos,
        add_bos=True,
        eos="<\uff5cend\u2581of\u2581sentence\uff5c>",
    )


def pieces(
    path: Path, *, kind: str = "LlamaTokenizer", words: Sequence[str] = ("ки", "и"), pad: str = ""
) -> None:
    """`pad`: "" for none, "<s>" where it is the bos token, else a token of its own."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    trained.train_from_iterator(
        [*PLAIN, *(f"a {w} b {w}" for w in words for _ in range(9))],
        trainers.BpeTrainer(vocab_size=170, show_progress=False),
    )
    model = json.loads(trained.to_str())["model"]
    own = [] if pad in ("", "<s>") else [pad]
    names = ["<unk>", "<s>", "</s>", *own, *(f"<0x{b:02X}>" for b in range(256))]
    names += sorted(model["vocab"], key=model["vocab"].get)
    core = Tokenizer(
        models.BPE(
            vocab={name: i for i, name in enumerate(dict.fromkeys(names))},
            merges=[tuple(pair) for pair in model["merges"]],
            byte_fallback=True,
            unk_token="<unk>",
            fuse_unk=True,
        )
    )
    core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    core.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    core.add_special_tokens(
        [AddedToken(s, special=True, normalized=False) for s in ["<unk>", "<s>", "</s>", *own]]
    )
    core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    settings: dict[str, object] = {
        "tokenizer_class": kind,
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "pad_token": pad or None,
        "add_bos_token": True,
    }
    _save(path, core, settings)
