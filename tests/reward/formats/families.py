"""A tiny random checkpoint of every public family that puts a tag behind every step, in its own layout on disk.

`config.json` has the family's architecture and an `auto_map` to remote code that is not there; weights have
the documented names; tokenizers are of the public ones' kind. `python -m tests.reward.formats.families OUT`
writes all of them to OUT/NAME, to be opened with `preceptor score --format NAME`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import (
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from tests.reward.formats import tokenizing

HIDDEN = 32
CONTEXT = 256
KINDS: dict[str, tuple[Any, Any]] = {
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "llama": (LlamaConfig, LlamaForCausalLM),
    "mistral": (MistralConfig, MistralForCausalLM),
}
State = dict[str, torch.Tensor]


def checkpoint(
    path: Path,
    kind: str,
    architecture: str,
    head: Mapping[str, torch.Tensor],
    *,
    language_model: bool = True,
    remote: str = "",
    seed: int = 0,
    **config: Any,
) -> Path:
    """Weights and config.json beside a tokenizer that is already in `path`. `remote`: which class of the
    transformers library's `auto_map` names remote code."""
    cls, model_cls = KINDS[kind]
    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(path)
    settings = cls(
        vocab_size=len(tokenizer) + 7,
        hidden_size=HIDDEN,
        intermediate_size=2 * HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        initializer_range=0.08,
        tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    state = dict(model_cls(settings).state_dict())
    if not language_model:
        del state["lm_head.weight"]
    save_file({k: v.contiguous() for k, v in (state | dict(head)).items()}, path / "model.safetensors")
    written = settings.to_dict() | {"architectures": [architecture], "dtype": "float32"} | config
    if remote:
        written["auto_map"] = {remote: f"remote_code_that_is_not_here.{architecture}"}
    (path / "config.json").write_text(json.dumps(written, default=str))
    return path


def weights(shape: tuple[int, ...], seed: int, scale: float = 0.25) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale


def linear(name: str, width: int, bias: bool = True, seed: int = 1) -> State:
    state = {f"{name}.weight": weights((width, HIDDEN), seed)}
    return state | ({f"{name}.bias": weights((width,), seed + 1)} if bias else {})


def two_layers(width: int) -> State:
    return {
        "score.0.weight": weights((HIDDEN, HIDDEN), 3),
        "score.0.bias": weights((HIDDEN,), 4),
        "score.2.weight": weights((width, HIDDEN), 5),
        "score.2.bias": weights((width,), 6),
    }


def members(name: str, seed: int) -> State:
    shapes = {"nn1": (HIDDEN, 128), "nn2": (128, 128), "nn_out": (128, 1)}
    state = {}
    for i, (layer, (inside, outside)) in enumerate(shapes.items()):
        state[f"{name}.{layer}.weight"] = weights((32, inside, outside), seed + 2 * i, 0.15)
        state[f"{name}.{layer}.bias"] = weights((32, outside), seed + 2 * i + 1, 0.15)
    return state


def qwen(path: Path) -> Path:
    tokenizing.qwen(path, ["<extra_0>"])
    return checkpoint(
        path,
        "qwen2",
        "Qwen2ForProcessRewardModel",
        two_layers(2),
        remote="AutoModel",
        language_model=False,
    )


def actprm(path: Path) -> Path:
    tokenizing.qwen(path, ["<|vision_start|>", "<extra_0>"])
    head = members("score.model", 20) | members("score.reg_model", 40)
    return checkpoint(
        path, "qwen2", "Qwen2ForEnsemblePRM", head, remote="AutoModel", language_model=False, seed=2
    )


def reasonflux_1_5b(path: Path) -> Path:
    tokenizing.qwen(path)
    checkpoint(path, "qwen2", "Qwen2ForCausalLM", {}, seed=3)
    head = {k.removeprefix("x."): v for k, v in linear("x", 1).items()}
    save_file(head, path / "reward_head.safetensors")
    return path


def math_shepherd(path: Path) -> Path:
    tokenizing.pieces(path)
    return checkpoint(path, "mistral", "MistralForCausalLM", {}, seed=4)


def math_minos(path: Path) -> Path:
    tokenizing.pieces(path)
    return checkpoint(
        path, "mistral", "MistralForTokenClassification", linear("score", 1), language_model=False, seed=5
    )


def skywork(path: Path) -> Path:
    tokenizing.qwen(path)
    return checkpoint(
        path, "qwen2", "Qwen2ForPrmModel", linear("v_head.summary", 1), remote="AutoModel", seed=6
    )


def reasoneval_7b(path: Path) -> Path:
    """The pad token, which is the marker, is the bos token; blanks are put before every text."""
    tokenizing.pieces(path, pad="<s>")
    head = linear("score_head", 3, bias=False)
    return checkpoint(
        path,
        "mistral",
        "ReasonEval_7B",
        head,
        language_model=False,
        score_dimension=3,
        use_bias=False,
        seed=7,
    )


def reasoneval_34b(path: Path) -> Path:
    """The marker is a token of its own. Opened as a LlamaTokenizer it puts a blank only at the beginning."""
    tokenizing.pieces(path, pad="<pad>")
    head = linear("score_head", 3)
    return checkpoint(
        path, "llama", "ReasonEval_34B", head, language_model=False, score_dim=3, bias=True, seed=8
    )


def math_psa(path: Path) -> Path:
    """An adapter (rank 8, two of the attention's projections) and, beside it, the model it was trained on."""
    base = path / "base"
    tokenizing.qwen(base)
    checkpoint(base, "qwen2", "Qwen2ForCausalLM", {}, seed=9)
    tokenizing.qwen(path)
    state: State = {}
    for layer in range(2):
        for name, width in (("q_proj", HIDDEN), ("v_proj", HIDDEN // 2)):
            at = f"base_model.model.model.layers.{layer}.self_attn.{name}"
            state[f"{at}.lora_A.weight"] = weights((8, HIDDEN), 60 + layer, 0.2)
            state[f"{at}.lora_B.weight"] = weights((width, 8), 70 + layer, 0.2)
    save_file(state, path / "adapter_model.safetensors")
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": str(base),
        "r": 8,
        "lora_alpha": 32,
        "lora_dropout": 0.1,
        "bias": "none",
        "target_modules": ["q_proj", "v_proj"],
    }
    (path / "adapter_config.json").write_text(json.dumps(settings))
    return path


def pure(path: Path) -> Path:
    tokenizing.qwen(path)
    return checkpoint(
        path, "qwen2", "Qwen2ForTokenClassification", linear("score", 2), language_model=False, seed=10
    )


def versaprm(path: Path) -> Path:
    tokenizing.llama3(path)
    return checkpoint(path, "llama", "LlamaForCausalLM", {}, seed=11)


def dprm(path: Path) -> Path:
    tokenizing.qwen(path)
    return checkpoint(path, "qwen2", "Qwen2ForCausalLM", {}, seed=12)


def pqm(path: Path) -> Path:
    tokenizing.deepseek(path)
    return checkpoint(path, "llama", "LlamaForCausalLM", linear("v_head.summary", 1), seed=13)


def llemma(path: Path) -> Path:
    tokenizing.pieces(path)
    return checkpoint(path, "llama", "LlamaForCausalLM", {}, seed=14)


def qwen_rm(path: Path) -> Path:
    tokenizing.qwen(path)
    return checkpoint(
        path,
        "qwen2",
        "Qwen2ForRewardModel",
        two_layers(1),
        remote="AutoModel",
        language_model=False,
        seed=15,
    )


def acemath_rm(path: Path) -> Path:
    tokenizing.qwen(path)
    head = linear("score", 1, bias=False)
    return checkpoint(
        path,
        "qwen2",
        "Qwen2ForSequenceClassification",
        head,
        language_model=False,
        seed=16,
        id2label={"0": "reward"},
    )


FAMILIES: dict[str, Callable[[Path], Path]] = {
    "acemath-rm": acemath_rm,
    "actprm": actprm,
    "actprm-spread": actprm,
    "dorm": dprm,
    "dprm": dprm,
    "llemma": llemma,
    "math-minos": math_minos,
    "math-psa": math_psa,
    "math-shepherd": math_shepherd,
    "pqm": pqm,
    "pure": pure,
    "qwen": qwen,
    "qwen-rm": qwen_rm,
    "reasoneval-34b": reasoneval_34b,
    "reasoneval-34b-redundancy": reasoneval_34b,
    "reasoneval-7b": reasoneval_7b,
    "reasoneval-7b-redundancy": reasoneval_7b,
    "reasonflux-1.5b": reasonflux_1_5b,
    "reasonflux-7b": qwen,
    "skywork": skywork,
    "trl": pure,
    "versaprm": versaprm,
}
"""From the name of a record to what writes a checkpoint of that family into a directory."""


def main(out: str) -> None:
    for name, make in FAMILIES.items():
        sys.stdout.write(f"{make(Path(out) / name)}\n")


if __name__ == "__main__":
    main(sys.argv[1])
