"""Floating point operations of a search, summed from the calls its tree records: what was executed, reuse left out.

    dense        2 * parameters * tokens, parameters without the embedding tables; backends count it in `Usage.flops`
    attention    2 * layers * width * (q (q + 1) - p (p + 1)) for the tokens at positions p + 1 .. q behind p kept ones

What nobody counted (a server) is None, never 0. Attention is counted where layers and width are known, which is for
models of transformers, and not for the texts of helpers; several calls on one node count as one text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from preceptor.search.tree import Tree
from preceptor.usage import Usage


def dense_flops(parameters: float, tokens: float) -> float:
    """Of a forward pass over so many tokens."""
    return 2.0 * parameters * tokens


def attention_flops(layers: int, width: int, start: int, end: int) -> float:
    """Of the tokens behind the first `start` ones, up to `end`; `width` is query heads x head size.

    >>> attention_flops(1, 1, 0, 10) == attention_flops(1, 1, 0, 4) + attention_flops(1, 1, 4, 10)
    True
    """
    return 2.0 * layers * width * (end * (end + 1) - start * (start + 1))


@dataclass(frozen=True)
class Shape:
    """What attention costs depends on."""

    layers: int
    width: int


def shape_of(backend: Any) -> Shape | None:
    """Of the model behind a policy or a scorer; None where none is to be seen."""
    config = getattr(getattr(backend, "model", None), "config", None)
    if config is None or not hasattr(config, "get_text_config"):
        inner = getattr(backend, "policy", None)
        return None if inner is None else shape_of(inner)
    config = config.get_text_config(decoder=True)
    heads = config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    return Shape(config.num_hidden_layers, heads * size)


def policy_flops(tree: Tree, shape: Shape | None) -> float | None:
    """What writing the tree took."""
    return _sum([_flops(n.usage, None if n.by else shape) for n in tree.nodes])


def scorer_flops(tree: Tree, shape: Shape | None) -> float | None:
    """What scoring the tree took."""
    return _sum([_flops(n.judged, shape) for n in tree.nodes])


def _flops(usage: Usage, shape: Shape | None) -> float | None:
    computed = usage.generated + usage.prefilled + usage.scored
    if computed and not usage.flops:
        return None
    if shape is None:
        return usage.flops
    return usage.flops + attention_flops(shape.layers, shape.width, usage.reused, usage.reused + computed)


def _sum(parts: list[float | None]) -> float | None:
    known = [p for p in parts if p is not None]
    return sum(known) if len(known) == len(parts) else None
