"""Open whatever a user names as a scorer: a directory, a hub id, or the oracle of a world."""

from __future__ import annotations

import re
from pathlib import Path

from preceptor.errors import InputError, ModelError
from preceptor.judgement import Question, Scorer
from preceptor.reward import head
from preceptor.reward.format import KEY, Format, context_length
from preceptor.reward.scorer import PRM

HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]


def load_scorer(
    spec: str | Path,
    *,
    separator: str | None = None,
    question: Question | str = Question.VALIDITY,
    device: str | None = None,
    dtype: str = "auto",
    batch_tokens: int = 4096,
) -> Scorer:
    """A scorer from its name.

    `spec`: the directory or hub id of a reward model, `"world:NAME"` for the oracle, or `"step-confidence"`
    for the policy's own confidence. `separator` describes a plain token-classification checkpoint (two
    labels, 1 = good; or one), such as TRL's PRMTrainer saved; a model trained here carries it. `question`
    is what such a checkpoint, or the world's oracle, answers.
    """
    if str(spec).startswith("world:"):
        return _oracle(str(spec).removeprefix("world:"), Question(question))
    if str(spec) == "step-confidence":
        from preceptor.annotate import StepConfidence

        return StepConfidence()
    directory = _directory(spec)
    fmt = _format(directory, separator, Question(question))
    return PRM.load(directory, device=device, dtype=dtype, batch_tokens=batch_tokens, fmt=fmt)


def _oracle(world: str, question: Question) -> Scorer:
    from preceptor.annotate import WorldOracle
    from preceptor.worlds import WORLDS

    if world not in WORLDS:
        raise InputError(f"scorer: got world {world!r}, expected one of {sorted(WORLDS)}")
    return WorldOracle(question)


def _directory(spec: str | Path) -> Path:
    """The directory itself, or the local copy of a hub id."""
    if (Path(spec) / "config.json").is_file():
        return Path(spec)
    if Path(spec).exists() or not re.fullmatch(r"\w[\w.-]*/[\w.-]+", str(spec)):
        raise InputError(
            f"scorer: got {str(spec)!r}, expected world:NAME, a model directory with a config.json, or a hub "
            "id OWNER/NAME"
        )
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(spec), allow_patterns=HUB_FILES))
    except (OSError, ValueError) as e:
        raise ModelError(f"{spec}: the model cannot be fetched from the hub ({e})") from e


def _format(directory: Path, separator: str | None, question: Question) -> Format | None:
    """None where the directory describes itself."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(directory)
    except (OSError, ValueError) as e:
        raise ModelError(f"{directory}: config.json cannot be read ({e})") from e
    if getattr(config, KEY, None) is not None:
        if separator is not None:
            raise InputError(
                f"separator: got {separator!r}, but {directory} says how it is read. Leave `separator` out."
            )
        return None
    kinds = config.architectures or ["unknown"]
    if not any(kind.endswith("ForTokenClassification") for kind in kinds):
        raise InputError(
            f"{directory}: got a {kinds[0]}, expected a token-classification model. Train a reward model on "
            "it with `preceptor train --backbone`."
        )
    if separator is None:
        raise InputError(
            f"{directory}: a token-classification checkpoint that does not say where its scores are read. "
            'Give the text of its step separator, e.g. load_scorer(directory, separator="\\n").'
        )
    found = head.token_id(head.load_tokenizer(directory), separator)
    if found is None:
        raise InputError(
            f"separator: got {separator!r}, expected text that is exactly one token of the model's tokenizer"
        )
    link = "sigmoid" if config.num_labels == 1 else "softmax"
    return Format(separator, found, question, link, context_length(config))
