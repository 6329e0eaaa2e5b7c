"""Reading a checkpoint without surprises, and telling one set of weights from another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from preceptor.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")


def load_checkpoint(
    path: str | Path,
    dtype: str | torch.dtype = "auto",
    device: str | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Model (in eval mode) and tokenizer. ModelError for whatever is missing or does not fit: weights that
    are absent from the files are never filled with random numbers in silence."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if Path(path).exists():
        _check_directory(Path(path))
    origin: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, **origin)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            path, dtype=dtype, use_safetensors=True, output_loading_info=True, **origin
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as problem:
        raise ModelError(
            f"{path}: cannot be loaded as a causal language model with a tokenizer "
            f"({type(problem).__name__}: {problem}). Expected a directory or hub id with config.json, "
            "*.safetensors and tokenizer files."
        ) from problem
    model, report = loaded
    wrong = sorted(report["missing_keys"]) + sorted(str(k) for k in report["mismatched_keys"])
    if wrong:
        raise ModelError(
            f"{path}: the files lack {len(wrong)} weights of {type(model).__name__}, first {wrong[:3]}. "
            "They would be random numbers. Is this a checkpoint of another kind (a reward model, an adapter)?"
        )
    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return model.to(place).eval(), tokenizer


def _check_directory(path: Path) -> None:
    if not path.is_dir() or not (path / "config.json").is_file():
        raise ModelError(
            f"{path}: got no config.json, expected a Hugging Face model directory. "
            "Give the directory that `save_pretrained` wrote."
        )
    if not any(path.glob("*.safetensors")):
        found = sorted(f.name for f in path.iterdir())
        raise ModelError(
            f"{path}: got no *.safetensors among {found}. Pickled weights are not read, as they can run "
            "code: save the model again with `save_pretrained`."
        )
    if not any((path / name).is_file() for name in TOKENIZER_FILES):
        raise ModelError(
            f"{path}: got no tokenizer, looked for {', '.join(TOKENIZER_FILES)}. "
            "Save the tokenizer beside the model with `tokenizer.save_pretrained`."
        )


def version_stamp(model: PreTrainedModel) -> tuple[tuple[int, int], ...]:
    """Where the weights lie and how often PyTorch saw them change in place."""
    return tuple((p.data_ptr(), 0 if p.is_inference() else p._version) for p in model.parameters())


def model_fingerprint(model: Any, tokenizer: PreTrainedTokenizerBase, eos_ids: Collection[int]) -> str:
    """32 hex digits over every byte of the weights (about 1 GB/s), the configuration and the tokenizer.

    `model`: a module with a `config`.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(raw.numpy().data)
    config = model.config.to_dict()
    for key in ("_name_or_path", "transformers_version", "use_cache", "architectures", "dtype"):
        config.pop(key, None)
    digest.update(json.dumps([config, sorted(eos_ids)], sort_keys=True, default=str).encode())
    digest.update(_tokenizer_text(tokenizer).encode())
    return digest.hexdigest()


def _tokenizer_text(tokenizer: PreTrainedTokenizerBase) -> str:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        content: Any = tokenizer.get_vocab()
    else:
        content = json.loads(backend.to_str())
        content.pop("truncation", None)
        content.pop("padding", None)
    return json.dumps(
        [content, tokenizer.chat_template, tokenizer.special_tokens_map], sort_keys=True, default=str
    )
