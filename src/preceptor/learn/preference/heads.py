"""MAH-DPO's heads: one backbone, an output head an objective, any mixture of them at inference.

Head 0 is the model's own, the others start as copies of it with small noise. Heads are linear, so a mixture of their
logits with weights w is the one head sum_h w_h W_h: `blend` makes it, and what is saved is an ordinary model; all
heads lie beside it for other mixtures. With weights that sum to 1 and no noise the start is the SFT model.
Defaults of the authors' code: noise 0.001. Ours: the closed form in place of H products a token.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from preceptor.errors import InputError, ModelError
from preceptor.learn.preference.records import Pair

NAME = "preference_heads"


def with_heads(objectives: dict[str, Sequence[Pair]], weights: dict[str, float] | None = None) -> list[Pair]:
    """Pairs of several objectives, each marked with its head, in the order of the names given.

    `weights` scales the pairs of an objective: the total is a weighted sum over heads.
    """
    scale = weights or {}
    return [
        Pair(
            p.problem,
            p.prefix,
            p.chosen,
            p.rejected,
            p.weight * scale.get(name, 1.0),
            {**p.meta, "head": head, "objective": name},
        )
        for head, (name, pairs) in enumerate(objectives.items())
        for p in pairs
    ]


def attach(model: Any, heads: int, noise: float = 0.001, seed: int = 0) -> None:
    """Give the model `heads - 1` further heads."""
    own = model.get_output_embeddings()
    if own is None or getattr(own, "bias", None) is not None:
        raise ModelError("heads: got a model without a linear head, expected one without bias to copy")
    generator = torch.Generator().manual_seed(seed)
    copies = nn.ModuleList()
    for _ in range(heads - 1):
        copy = nn.Linear(own.in_features, own.out_features, bias=False)
        drawn = torch.randn(own.weight.shape, generator=generator)
        copy.weight.data = own.weight.data.clone() + noise * drawn.to(own.weight)
        copies.append(copy)
    model.add_module(NAME, copies)


def head_logits(model: Any, batch: dict[str, Tensor]) -> Tensor:
    """(S, L, V): logits of each sequence by its own head."""
    seen: list[Tensor] = []
    hook = model.get_output_embeddings().register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        out = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False)
    finally:
        hook.remove()
    rows = [out.logits[i] for i in range(len(batch["sequence_head"]))]
    copies = getattr(model, NAME)
    for i, head in enumerate(batch["sequence_head"].tolist()):
        if head:
            rows[i] = copies[head - 1](seen[0][i])
    return torch.stack(rows)


def detach(model: Any) -> list[Tensor]:
    """Take the further heads off; the weights of all, the model's own first."""
    copies = getattr(model, NAME)
    found = [head.weight.detach().clone() for head in (model.get_output_embeddings(), *copies)]
    delattr(model, NAME)
    return found


def blend(model: Any, heads: Sequence[Tensor], weights: Sequence[float]) -> None:
    """Make the model's head the mixture. Its input embeddings stay as they are, tied or not."""
    if len(heads) != len(weights):
        raise InputError(f"weights: got {len(weights)}, expected one for each of {len(heads)} heads")
    mixed = sum((w * h for w, h in zip(weights, heads, strict=True)), torch.zeros_like(heads[0]))
    # the module stays the same one, for whoever holds it; a new parameter unties it from the input embeddings
    model.get_output_embeddings().weight = nn.Parameter(mixed.to(model.device))
    model.config.tie_word_embeddings = False


def save_heads(path: Path, heads: Sequence[Tensor]) -> None:
    from safetensors.torch import save_file

    save_file({str(i): head.contiguous() for i, head in enumerate(heads)}, path)


def load_heads(path: str | Path) -> list[Tensor]:
    """Heads as saved in a run's `heads.safetensors`, for another `blend`."""
    from safetensors.torch import load_file

    found = load_file(path)
    return [found[str(i)] for i in range(len(found))]


def rescales(model: Any) -> bool:
    """Whether the model does more than multiply by its head; such logits cannot be blended."""
    hidden: list[Tensor] = []
    own = model.get_output_embeddings()
    hook = own.register_forward_pre_hook(lambda _, inputs: hidden.append(inputs[0]))
    with torch.no_grad():
        out = model(input_ids=torch.zeros((1, 2), dtype=torch.long, device=model.device), use_cache=False)
    hook.remove()
    return not torch.allclose(linear(hidden[0], own.weight), out.logits, atol=1e-4)
