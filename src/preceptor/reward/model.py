"""The model: a transformers backbone and a head, built, opened and saved.

Every discriminative reward model is read the same way: the backbone's last hidden state at the readouts, and
a head on it. `build` puts a new head on a language model's body; `load` opens a checkpoint by its own keys, so
that no family needs remote code: the body through `AutoModel`, the head's weights by their names. What is saved
is an ordinary directory; with a linear head `AutoModelForTokenClassification.from_pretrained` opens it.

Only safetensors are read: a pickled checkpoint can run code. transformers fills weights it does not find with
random numbers; here that is an error. Heads are kept in fp32, the body in the checkpoint's type.
"""

from __future__ import annotations

import copy
import json
import pickle
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from preceptor.errors import InputError, MissingExtra, ModelError
from preceptor.judgement import Question
from preceptor.policy.checkpoint import TOKENIZER_FILES, load_checkpoint
from preceptor.reward import head as heads
from preceptor.reward.format import KEY, Format, context_length, own_layout
from preceptor.reward.head import Ensemble, HeadSpec, Linear, Mlp, hidden_size
from preceptor.reward.layout import Tagged, tag_ids
from preceptor.reward.link import LINKS, Link
from preceptor.reward.quiet import quiet

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

SEPARATOR = "<|step|>"
OWN_HEADS = (Linear, Mlp, Ensemble)
"""Heads with weights of their own; the others are made of the language model's output table."""


class StepModel(nn.Module):
    """`forward` gives the head's outputs at the readouts, (B, T, C) in fp32."""

    def __init__(self, body: PreTrainedModel, head: nn.Module, spec: HeadSpec):
        super().__init__()
        self.body, self.head, self.spec = body, head, spec
        if isinstance(spec, OWN_HEADS) or not any(p.shape[0] > 4096 for p in head.parameters()):
            self.head.float()

    @property
    def config(self) -> PretrainedConfig:
        return self.body.config

    @property
    def device(self) -> torch.device:
        return next(self.body.parameters()).device

    @property
    def reads_next_token(self) -> bool:
        """Whether the head's output is about the token that stands behind the readout."""
        return isinstance(self.spec, heads.TokenLogprob | heads.NextTokenValue)

    def forward(
        self,
        input_ids: torch.Tensor,
        positions: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        next_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """input_ids, position_ids (B, L), positions, next_ids (B, T) -> (B, T, C). `next_ids` None: the tokens
        behind the readouts, for heads that want them."""
        places = {} if position_ids is None else {"position_ids": position_ids}
        states = self.body(input_ids=input_ids, attention_mask=attention_mask, **places).last_hidden_state
        at = positions.unsqueeze(-1).expand(-1, -1, states.shape[-1])
        following = next_ids if self.reads_next_token else None
        if self.reads_next_token and next_ids is None:
            following = input_ids.gather(1, (positions + 1).clamp(max=input_ids.shape[1] - 1))
        return self.outputs(states.gather(1, at), following)

    def outputs(self, states: torch.Tensor, next_ids: torch.Tensor | None = None) -> torch.Tensor:
        """The head on hidden states at readouts: (..., h) -> (..., C) in fp32."""
        states = states.to(next(self.head.parameters()).dtype)
        out = self.head(states) if next_ids is None else self.head(states, next_ids)
        return out.float()

    def dense_parameters(self) -> int:
        """Without the embeddings."""
        table = {id(p) for p in self.body.get_input_embeddings().parameters()}
        return sum(p.numel() for p in self.parameters() if id(p) not in table)

    def add_lora(self, rank: int, tokenizer: PreTrainedTokenizerBase, *tags: str) -> None:
        """Train low-rank adapters instead of the body's weights (alpha = 2 rank, all linear layers), and the
        tags' embeddings, which are new."""
        try:
            from peft import LoraConfig, get_peft_model
        except ImportError as e:
            raise MissingExtra("training with LoRA", "rl") from e
        table = next(name for name, m in self.body.named_modules() if m is self.body.get_input_embeddings())
        settings = LoraConfig(
            r=rank,
            lora_alpha=2 * rank,
            target_modules="all-linear",
            trainable_token_indices={table: [i for tag in tags for i in tag_ids(tokenizer, tag)]}
            if tags
            else None,
        )
        self.body = get_peft_model(self.body, settings)  # type: ignore[assignment]

    def save(self, directory: str | Path) -> None:
        """Weights and config.json; the record under `preceptor` is the config's."""
        from huggingface_hub import save_torch_state_dict

        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        body = _merged(self.body)
        prefix = body.base_model_prefix
        state = {f"{prefix}.{k}": v for k, v in body.state_dict().items()}
        if isinstance(self.spec, OWN_HEADS):
            names = self.spec.keys()
            state |= {names[k]: v for k, v in self.head.state_dict().items()}
        else:
            # A table that is tied to the embeddings is kept twice: what opens the body need not know of it.
            state |= {f"head.{k}": v.clone() for k, v in self.head.state_dict().items()}
        save_torch_state_dict({k: v.detach().cpu().contiguous() for k, v in state.items()}, directory)
        body.config.save_pretrained(directory)


def build(
    backbone: Any,
    *,
    question: Question,
    head: HeadSpec | None = None,
    link: str | Link = "softmax",
    separator: str = SEPARATOR,
    max_length: int | None = None,
    whole: bool = False,
    layout: Tagged | None = None,
    trajectory: float = 0.0,
) -> tuple[StepModel, PreTrainedTokenizerBase, Format]:
    """A new head on an fp32 copy of the backbone's body.

    `backbone`: a model directory, or an object with `model` and `tokenizer` (left unchanged). `head` None:
    linear, of the width the link wants. A separator that is not one token of the tokenizer is added to it,
    and the embeddings are resized. The default is a special token: unlike a line break, it cannot be written
    by a policy. `layout` None: the policy's prompt and a separator after every step; in another one, whatever
    tag it has stands for the separator, and its `end` is made one token too. `trajectory`: see `Format`.
    """
    if isinstance(link, str):
        if link not in LINKS:
            raise InputError(f"link: got {link!r}, expected one of {sorted(LINKS)}")
        link = LINKS[link]
    if head is None:
        head = Linear(len(link.weights) if link.weights else 1)
    model, tokenizer = _language_model(backbone, head)
    layout = layout or own_layout(separator)
    layout = replace(layout, tag=separator if layout.tag else "")
    tags = [tag for tag in (layout.tag, layout.end) if tag]
    new = [tag for tag in tags if len(tag_ids(tokenizer, tag)) != 1]
    if new:
        tokenizer.add_special_tokens({"extra_special_tokens": new}, replace_extra_special_tokens=False)
    if len(tokenizer) > model.config.get_text_config().vocab_size:
        with quiet():
            model.resize_token_embeddings(len(tokenizer))
    for tag in tags:
        if len(tag_ids(tokenizer, tag)) != 1:
            raise InputError(f"separator: got {tag!r}, which this tokenizer cannot hold as one token")
    body: Any = model.base_model
    body.config.use_cache = False
    if isinstance(head, OWN_HEADS):
        if head.at == "score" and not isinstance(head, Ensemble):
            head = type(head)(head.width, head_name(body.config))
        module = head.module(hidden_size(body.config))
    else:
        module = heads.from_language_model(head, _output_layer(model, str(backbone)), tokenizer)
    limit = context_length(body.config)
    fmt = Format(
        replace(layout, ids=tag_ids(tokenizer, layout.tag) if layout.tag else ()),
        head,
        link,
        question,
        whole,
        min(max_length or limit, limit),
        name="preceptor",
        trajectory=trajectory,
    )
    _describe(body.config, fmt)
    return StepModel(body, module, head), tokenizer, fmt


def load(
    directory: str | Path,
    fmt: Format,
    *,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device | None = None,
    allow_pickle: bool = False,
) -> tuple[StepModel, PreTrainedTokenizerBase]:
    """A saved reward model in evaluation mode; ModelError when the files do not fit the format."""
    directory = Path(directory)
    if isinstance(fmt.head, OWN_HEADS):
        tokenizer = load_tokenizer(directory)
        body = _body(directory, dtype)
        if isinstance(fmt.head, Linear) and fmt.head.file:
            state = read_head_file(directory, fmt.head.file, allow_pickle)
        else:
            state = read_tensors(directory, fmt.head.keys().values())
        module = heads.from_state(fmt.head, state, hidden_size(body.config), str(directory))
    elif not is_adapter(directory) and getattr(read_config(directory), KEY, None) is not None:
        tokenizer = load_tokenizer(directory)
        body = _body(directory, dtype)
        module = _own_table(directory, body, fmt.head, tokenizer)
    else:
        model, tokenizer = load_language_model(directory, dtype)
        body = cast("PreTrainedModel", model.base_model)
        module = heads.from_language_model(fmt.head, _output_layer(model, str(directory)), tokenizer)
    body.config.use_cache = False
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    return StepModel(body, module, fmt.head).to(place).eval(), tokenizer


def load_language_model(
    directory: Path, dtype: str | torch.dtype
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A causal language model, or a PEFT adapter merged into the one it was trained on."""
    if not is_adapter(directory):
        return load_checkpoint(directory, dtype, "cpu")
    try:
        from peft import PeftModel, get_peft_model_state_dict
    except ImportError as e:
        raise MissingExtra("a checkpoint that is a PEFT adapter", "rl") from e
    settings = json.loads((directory / "adapter_config.json").read_text(encoding="utf-8"))
    base = settings.get("base_model_name_or_path")
    if not base:
        raise ModelError(f"{directory}/adapter_config.json: got no base_model_name_or_path, expected one")
    model, tokenizer = load_checkpoint(base, dtype, "cpu")
    if any((directory / name).is_file() for name in TOKENIZER_FILES):
        tokenizer = load_tokenizer(directory)
    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            adapted = PeftModel.from_pretrained(model, str(directory), use_safetensors=True)
    except (OSError, ValueError, RuntimeError, TypeError) as e:
        raise ModelError(
            f"{directory}: the adapter does not fit {base} ({type(e).__name__}: {e}). Expected adapter_config.json "
            "and adapter_model.safetensors, as `save_pretrained` of PEFT writes them."
        ) from e
    # PEFT starts what it does not find at values that change nothing: the base model's scores, in silence.
    wanted = set(get_peft_model_state_dict(adapted))
    missing = sorted(wanted - set(read_tensors(directory, wanted)))
    if missing or not wanted:
        raise ModelError(
            f"{directory}: {len(missing)} weights of the adapter are missing, first {missing[:3]}"
        )
    return adapted.merge_and_unload(), tokenizer


def is_adapter(directory: Path) -> bool:
    return (directory / "adapter_config.json").is_file()


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


def read_tensors(directory: Path, names: Any) -> dict[str, torch.Tensor]:
    """Those of the named tensors that the directory's safetensors hold."""
    from safetensors import SafetensorError, safe_open

    wanted, found = set(names), {}
    try:
        for file in sorted(directory.glob("*.safetensors")):
            with safe_open(file, framework="pt") as opened:
                found.update({k: opened.get_tensor(k) for k in wanted & set(opened.keys())})
    except (OSError, SafetensorError) as e:
        raise ModelError(f"{directory}: the weights cannot be read ({e})") from e
    return found


def read_head_file(directory: Path, name: str, allow_pickle: bool) -> dict[str, torch.Tensor]:
    """The tensors of `NAME.safetensors`; those of the pickled `NAME.pt` only when asked for, and then nothing
    but tensors (`weights_only`)."""
    safe, pickled = directory / f"{name}.safetensors", directory / f"{name}.pt"
    if safe.is_file():
        from safetensors.torch import load_file

        return load_file(safe)
    if not pickled.is_file():
        raise ModelError(f"{directory}: got no {name}.safetensors, which holds the head's weights")
    if not allow_pickle:
        raise ModelError(
            f"{directory}: got {name}.pt, a pickled file. Save its tensors as {name}.safetensors, or pass "
            "allow_pickle=True to have its tensors read."
        )
    try:
        found = torch.load(pickled, map_location="cpu", weights_only=True)
        return {k: v for k, v in found.items() if isinstance(v, torch.Tensor)}
    except (OSError, RuntimeError, EOFError, AttributeError, pickle.UnpicklingError) as e:
        raise ModelError(f"{pickled}: got something else than named tensors ({type(e).__name__})") from e


def read_config(directory: Path) -> PretrainedConfig:
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(directory, trust_remote_code=False)
    except (OSError, ValueError) as e:
        raise ModelError(f"{directory}: config.json cannot be read ({e})") from e


def _body(directory: Path, dtype: str | torch.dtype) -> PreTrainedModel:
    from transformers import AutoModel

    if not any(directory.glob("*.safetensors")):
        raise ModelError(
            f"{directory}: got no *.safetensors. Pickled weights are not read, as they can run code: save the "
            "model again with `save_pretrained`."
        )
    try:
        with quiet():
            model, info = AutoModel.from_pretrained(
                directory,
                config=read_config(directory),
                dtype=dtype,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
                **({"add_pooling_layer": False} if _pools(read_config(directory)) else {}),
            )
    except (OSError, ValueError, RuntimeError, TypeError) as e:
        raise ModelError(
            f"{directory}: no model can be loaded from here ({type(e).__name__}: {e}). Expected config.json of "
            "an architecture that transformers knows, and *.safetensors."
        ) from e
    wrong = sorted(map(str, [*info["missing_keys"], *info["mismatched_keys"]]))
    if wrong:
        raise ModelError(
            f"{directory}: {len(wrong)} weights of {type(model).__name__} are missing or of another shape, first "
            f"{wrong[:3]}. They would be random numbers."
        )
    return model


def _pools(config: PretrainedConfig) -> bool:
    """Encoders of BERT's family have a pooling layer that token classifiers neither use nor save."""
    import inspect

    from transformers import AutoModel

    kind: Any = AutoModel._model_mapping.get(type(config), None)
    return kind is not None and "add_pooling_layer" in inspect.signature(kind.__init__).parameters


def _own_table(
    directory: Path, body: PreTrainedModel, spec: HeadSpec, tokenizer: PreTrainedTokenizerBase
) -> nn.Module:
    """The head that `StepModel.save` wrote under `head.`, for heads made of an output table."""
    from safetensors import safe_open

    state: dict[str, torch.Tensor] = {}
    for file in sorted(directory.glob("*.safetensors")):
        with safe_open(file, framework="pt") as opened:
            state |= {k: opened.get_tensor(k) for k in opened.keys() if k.startswith("head.")}  # noqa: SIM118
    state = {k.removeprefix("head."): v for k, v in state.items()}
    weight = state.get("output.weight", state.get("weight"))
    if weight is None:
        raise ModelError(f"{directory}: the head's weights are missing, expected {spec}")
    bias = "output.bias" in state or "bias" in state
    table = nn.Linear(weight.shape[1], weight.shape[0], bias=bias and "weight" in state, dtype=weight.dtype)
    if isinstance(spec, heads.TokenLogprob):
        module: nn.Module = heads.TokenLogprobModule(table)
    elif isinstance(spec, heads.NextTokenValue):
        module = heads.NextTokenValueModule(table)
        state.setdefault("seen", module.seen)
    elif isinstance(spec, heads.LogitsLinear):
        module = heads.LogitsLinearModule(table, spec.width)
    else:
        module = table
    module.load_state_dict(state)
    return module


def _language_model(backbone: Any, head: HeadSpec) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """An fp32 copy; with an own head a bare body will do (encoders have no language model)."""
    if str(backbone).startswith("world:"):
        from preceptor.policy import load_policy

        backbone = load_policy(str(backbone))
    if not isinstance(backbone, str | Path):
        model = copy.deepcopy(backbone.model).float()
        return model, copy.deepcopy(backbone.tokenizer)
    if isinstance(head, OWN_HEADS):
        return _body(Path(backbone), torch.float32), load_tokenizer(backbone)
    return load_checkpoint(backbone, torch.float32, "cpu")


def _output_layer(model: PreTrainedModel, where: str) -> nn.Linear:
    layer = model.get_output_embeddings()
    if layer is None:
        raise ModelError(f"{where}: got no output table, expected a causal language model")
    return layer


def head_name(source: Path | PretrainedConfig) -> str:
    """What transformers' token classifier of this architecture calls its head."""
    from transformers import AutoModelForTokenClassification

    config = read_config(source) if isinstance(source, Path) else source
    try:
        with torch.device("meta"):
            whole = AutoModelForTokenClassification.from_config(config)
    except (ValueError, TypeError):
        return "score"
    outside = [k for k in whole.state_dict() if not k.startswith(f"{whole.base_model_prefix}.")]
    names = {k.removesuffix(".weight").removesuffix(".bias") for k in outside}
    return names.pop() if len(names) == 1 else "score"


def _describe(config: PretrainedConfig, fmt: Format) -> None:
    """Make config.json say what the directory is, to this package and to transformers."""
    from transformers import AutoModelForTokenClassification

    setattr(config, KEY, fmt.to_record())
    kind: Any = AutoModelForTokenClassification._model_mapping.get(type(config), None)
    if isinstance(fmt.head, Linear) and kind is not None:
        config.architectures = [kind.__name__]
        config.num_labels = fmt.head.width
        config.classifier_dropout = 0.0
        if fmt.head.width == 2:
            config.id2label, config.label2id = {0: "bad", 1: "good"}, {"bad": 0, "good": 1}


def _merged(body: Any) -> PreTrainedModel:
    """Without adapters: they are added into a copy of the weights."""
    if hasattr(body, "merge_and_unload"):
        return copy.deepcopy(body).merge_and_unload()
    return body
