"""The model: any backbone transformers has a token-classification class for, with a linear head.

`build` puts a new head on a language model's body, `load` opens a saved reward model. What is saved is an
ordinary directory that `AutoModelForTokenClassification.from_pretrained` loads. Only safetensors are read: a
pickled checkpoint can run code. transformers fills weights
it does not find with random numbers; here that is an error, except for the head of a new model.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.errors import InputError, ModelError
from preceptor.judgement import Question
from preceptor.policy.checkpoint import TOKENIZER_FILES
from preceptor.policy.render import text_ids
from preceptor.reward.format import KEY, Format, context_length
from preceptor.reward.link import LINKS

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

SEPARATOR = "<|step|>"


def build(
    backbone: Any,
    *,
    question: Question,
    link: str = "softmax",
    separator: str = SEPARATOR,
    max_length: int | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, Format]:
    """A new head on an fp32 copy of the backbone's body.

    `backbone`: a model directory, or an object with `model` and `tokenizer` (left unchanged). A separator
    that is not one token of the tokenizer is added to it, and the embeddings are resized. The default is
    a special token: unlike a line break, it cannot be written by a policy.
    """
    if link not in LINKS:
        raise InputError(f"link: got {link!r}, expected one of {sorted(LINKS)}")
    if isinstance(backbone, str | Path):
        tokenizer = load_tokenizer(backbone)
        model = _body_of_directory(Path(backbone), link)
    else:
        tokenizer = copy.deepcopy(backbone.tokenizer)
        model = _body_of_model(backbone.model, link)
    if token_id(tokenizer, separator) is None:
        tokenizer.add_special_tokens(
            {"extra_special_tokens": [separator]}, replace_extra_special_tokens=False
        )
    if len(tokenizer) > model.config.get_text_config().vocab_size:
        with quiet():
            model.resize_token_embeddings(len(tokenizer))
    separator_id = token_id(tokenizer, separator)
    if separator_id is None:
        raise InputError(f"separator: got {separator!r}, which this tokenizer cannot hold as one token")
    limit = context_length(model.config)
    fmt = Format(separator, separator_id, question, link, min(max_length or limit, limit))
    setattr(model.config, KEY, fmt.to_record())
    return model, tokenizer, fmt


def load(directory: str | Path, **options: Any) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A saved token-classification model in evaluation mode; `options` go to `from_pretrained`."""
    model, missing = _from_directory(Path(directory), **options)
    if missing:
        raise ModelError(
            f"{directory}: the weights {missing[:3]} are missing, expected a complete token-classification "
            "checkpoint. Train one with `preceptor train`."
        )
    model.config.use_cache = False
    return model.eval(), load_tokenizer(directory)


def load_tokenizer(directory: str | Path) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    if not any((Path(directory) / name).is_file() for name in TOKENIZER_FILES):
        raise ModelError(
            f"{directory}: no tokenizer found, expected one of {', '.join(TOKENIZER_FILES)}. Save it beside "
            "the weights with `tokenizer.save_pretrained(directory)`."
        )
    try:
        return AutoTokenizer.from_pretrained(directory)
    except (OSError, ValueError) as e:
        raise ModelError(f"{directory}: the tokenizer cannot be loaded ({e})") from e


def token_id(tokenizer: PreTrainedTokenizerBase, separator: str) -> int | None:
    """The id of a separator that is one token, else None."""
    for added, token in tokenizer.added_tokens_decoder.items():
        if token.content == separator:
            return added
    ids = text_ids(tokenizer, separator)
    return ids[0] if len(ids) == 1 else None


@contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' loading bars and load reports; what they would say is checked here."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _body_of_directory(directory: Path, link: str) -> PreTrainedModel:
    import torch
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(directory)
    except (OSError, ValueError) as e:
        raise ModelError(f"{directory}: no model can be loaded from here ({e})") from e
    model, missing = _from_directory(directory, config=_with_head(config, link), dtype=torch.float32)
    body = [name for name in missing if name.startswith(f"{model.base_model_prefix}.")]
    if body:
        raise ModelError(f"{directory}: the backbone's weights {body[:3]} are missing")
    return model


def _body_of_model(source: PreTrainedModel, link: str) -> PreTrainedModel:
    import torch
    from transformers import AutoModelForTokenClassification

    config = _with_head(copy.deepcopy(source.config), link)
    try:
        model = AutoModelForTokenClassification.from_config(config, dtype=torch.float32)
        model.base_model.load_state_dict(source.base_model.state_dict())
    except (ValueError, RuntimeError) as e:
        raise ModelError(f"{type(source).__name__}: no reward model can be made from it ({e})") from e
    return model


def _with_head(config: PretrainedConfig, link: str) -> PretrainedConfig:
    config.num_labels = LINKS[link].width
    if link == "softmax":
        config.id2label, config.label2id = {0: "bad", 1: "good"}, {"bad": 0, "good": 1}
    config.classifier_dropout = 0.0
    config.use_cache = False
    return config


def _from_directory(directory: Path, **options: Any) -> tuple[PreTrainedModel, list[str]]:
    from transformers import AutoModelForTokenClassification

    try:
        with quiet():
            model, info = AutoModelForTokenClassification.from_pretrained(
                directory, output_loading_info=True, use_safetensors=True, **options
            )
    except (OSError, ValueError, RuntimeError) as e:
        raise ModelError(
            f"{directory}: no token-classification model can be loaded from here ({e}). Give the "
            "directory of a model whose architecture transformers has such a class for."
        ) from e
    return model, sorted(map(str, [*info["missing_keys"], *info["mismatched_keys"]]))
