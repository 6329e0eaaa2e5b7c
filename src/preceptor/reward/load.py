"""Open whatever a user names as a scorer: a directory, a hub id, a server, or the oracle of a world."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from preceptor.errors import InputError, ModelError
from preceptor.judgement import Question, Scorer
from preceptor.reward.words import OVER_POLICY, over_policy

HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]


def load_scorer(
    spec: str | Path,
    *,
    format: str | None = None,
    separator: str | None = None,
    question: Question | str = Question.VALIDITY,
    **options: Any,
) -> Scorer:
    """A scorer from its name.

    `spec`: the directory or hub id of a reward model, `"vllm:URL#MODEL"` for one behind a server (`remote.py`;
    its `format` is "qwen" unless named), `"world:NAME"` for the oracle, `"step-confidence"` for the policy's
    own confidence, or `"KIND:POLICY"` for a judge and what else needs a policy alone (`words.py`).

    `format`: name of a public family (`preceptor formats` lists them) for a checkpoint that neither says itself
    how it is read nor has an architecture that only one family has. `separator` describes a plain
    token-classification checkpoint (two labels, 1 = good; or one), such as TRL's PRMTrainer saved; `question` is
    what such a checkpoint, or the world's oracle, answers. `options` go to the scorer: `device`, `dtype`,
    `batch_tokens`, and what its family needs besides.
    """
    try:
        return _opened(spec, format, separator, question, options)
    except TypeError as e:
        unknown = re.search(r"unexpected keyword argument '(\w+)'", str(e))
        if unknown is None or unknown[1] not in options:
            raise
        raise InputError(f"scorer {spec}: got the option {unknown[1]!r}, which it does not have ({e})") from e


def _opened(
    spec: str | Path,
    format: str | None,
    separator: str | None,
    question: Question | str,
    options: dict[str, Any],
) -> Scorer:
    if str(spec).startswith("world:"):
        return _oracle(str(spec).removeprefix("world:"), Question(question))
    if str(spec) == "step-confidence":
        from preceptor.annotate import StepConfidence

        return StepConfidence()
    if str(spec).startswith("vllm:"):
        return _server(str(spec), format or "qwen", options)
    asked = over_policy(str(spec), options)
    if asked is not None:
        return asked
    from preceptor.reward.formats import FORMATS, for_architecture, for_hub_id
    from preceptor.reward.scorer import PRM

    if format is not None and format not in FORMATS:
        raise InputError(f"format: got {format!r}, expected one of {sorted(FORMATS)}")
    directory = _directory(spec, HUB_FILES + (["*.pt"] if options.get("allow_pickle") else []))
    config = _settings(directory)
    if "preceptor" in config:
        if separator is not None or format is not None:
            raise InputError(
                f"{directory} says itself how it is read. Leave `separator` and `format` out; got "
                f"{separator or format!r}."
            )
        if dict(config["preceptor"] or {}).get("kind") in ("generative", "implicit"):
            from preceptor.reward.language import open_language

            return open_language(directory, **options)
        return PRM.load(directory, **options)
    kinds = config.get("architectures") or ["unknown"]
    found = FORMATS[format] if format else for_hub_id(str(spec)) or for_architecture(kinds[0])
    if found is not None and separator is None:
        return found.open(str(directory), **options)
    return PRM.load(directory, fmt=_token_classification(directory, config, separator, question), **options)


def _oracle(world: str, question: Question) -> Scorer:
    from preceptor.annotate import WorldOracle
    from preceptor.worlds import WORLDS

    if world not in WORLDS:
        raise InputError(f"scorer: got world {world!r}, expected one of {sorted(WORLDS)}")
    return WorldOracle(question)


def _server(spec: str, format: str, options: dict[str, Any]) -> Scorer:
    from preceptor.reward.format import Format
    from preceptor.reward.formats import FORMATS
    from preceptor.reward.model import load_tokenizer
    from preceptor.reward.remote import PoolingScorer

    url, _, model = spec.removeprefix("vllm:").partition("#")
    if not re.match(r"https?://", url) or not model:
        raise InputError(
            f"scorer: got {spec!r}, expected vllm:URL#MODEL, e.g. vllm:http://localhost:8000#qwen-prm"
        )
    fmt = FORMATS.get(format)
    if not isinstance(fmt, Format):
        usable = sorted(name for name, record in FORMATS.items() if isinstance(record, Format))
        raise InputError(f"format: got {format!r} for a server, expected one of {usable}")
    tokenizer = options.pop("tokenizer", None)
    if isinstance(tokenizer, str | Path):
        tokenizer = load_tokenizer(tokenizer)
    return PoolingScorer(url, model, fmt, tokenizer=tokenizer, **options)


def _directory(spec: str | Path, files: list[str]) -> Path:
    """The directory itself, or the local copy of a hub id."""
    if any((Path(spec) / name).is_file() for name in ("config.json", "adapter_config.json")):
        return Path(spec)
    if Path(spec).exists() or not re.fullmatch(r"\w[\w.-]*/[\w.-]+", str(spec)):
        raise InputError(
            f"scorer: got {str(spec)!r}, expected world:NAME, a model directory with a config.json, a hub id "
            f"OWNER/NAME, vllm:URL#MODEL, or KIND:POLICY with a kind of {sorted(OVER_POLICY)}"
        )
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(spec), allow_patterns=files))
    except (OSError, ValueError) as e:
        raise ModelError(f"{spec}: the model cannot be fetched from the hub ({e})") from e


def _settings(directory: Path) -> dict[str, Any]:
    """config.json as it is; {} for an adapter, which has none."""
    if not (directory / "config.json").is_file():
        return {}
    try:
        found = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        return dict(found)
    except (OSError, ValueError, TypeError) as e:
        raise ModelError(f"{directory}: config.json cannot be read ({e})") from e


def _token_classification(
    directory: Path, config: dict[str, Any], separator: str | None, question: Question | str
) -> Any:
    from dataclasses import replace

    from preceptor.reward.formats import FORMATS
    from preceptor.reward.head import Linear
    from preceptor.reward.layout import tag_ids
    from preceptor.reward.link import LINKS
    from preceptor.reward.model import head_name, load_tokenizer

    kind = (config.get("architectures") or ["unknown"])[0]
    if not kind.endswith("ForTokenClassification"):
        raise InputError(
            f"{directory}: got a {kind}, which does not say how its scores are read. Name its format: "
            f"load_scorer(directory, format=...), one of {sorted(FORMATS)}; or train a reward model on it with "
            "`preceptor train --backbone`."
        )
    if separator is None:
        raise InputError(
            f"{directory}: a token-classification checkpoint that does not say where its scores are read. "
            'Give the text of its step separator, e.g. load_scorer(directory, separator="\\n"), or its format.'
        )
    if len(tag_ids(load_tokenizer(directory), separator)) != 1:
        raise InputError(
            f"separator: got {separator!r}, expected text that is exactly one token of the model's tokenizer"
        )
    width = len(config.get("id2label") or (0, 1))
    trl = FORMATS["trl"]
    return replace(
        trl,
        layout=replace(trl.layout, tag=separator),
        head=Linear(width, head_name(directory)),
        link=LINKS["sigmoid" if width == 1 else "softmax"],
        question=Question(question),
    )
