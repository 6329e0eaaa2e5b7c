"""BARFI at the scale of language models: weights of auxiliary rewards from gradients (abstract index 218).

The policy is trained on `primary + sum_k w_k auxiliary_k`; w is chosen for what it does to the primary return.
After one inner step theta' = theta + eta (g + sum_k w_k g_k) that is

    d J_primary(theta') / d w_k = eta <grad J_primary(theta'), g_k>

so an auxiliary reward whose gradient opposes the primary's loses its weight. Gradients over LoRA parameters, the
primary's on held-out rollouts. The estimator is ours: the published work is for classical control.

Left out: implicit differentiation (-A H^-1 B with Neumann terms or conjugate gradients), several unrolled steps, the
weight of the primary reward, a learned bias and a learned discount. It is no row: the weights are a learner's.
"""

from __future__ import annotations

import numpy as np

from preceptor.credit.types import Array
from preceptor.errors import InputError


def reweighted(
    weights: Array,
    products: Array,
    rate: float = 0.1,
    norms: tuple[float, Array] | None = None,
) -> Array:
    """The weights `(K,)` after one step, never below 0.

    products: `(K,)` <grad J_primary, grad J_auxiliary_k>; norms: length of the primary's gradient and `(K,)` lengths of
    the others', to step by cosines (a step of `rate` then means the same for any model); rate 0.1: not found, ours.
    """
    weights, products = np.asarray(weights, dtype=float), np.asarray(products, dtype=float)
    if weights.shape != products.shape:
        raise InputError(
            f"reweighted: got {weights.size} weights and {products.size} gradient products, expected one each "
            "for every auxiliary reward."
        )
    if not np.isfinite(products).all():
        raise InputError(
            "reweighted: got a gradient product that is not finite, expected numbers. Leave this step out."
        )
    if norms is not None:
        lengths = norms[0] * np.asarray(norms[1], dtype=float)
        products = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    return np.maximum(weights + rate * products, 0.0)
