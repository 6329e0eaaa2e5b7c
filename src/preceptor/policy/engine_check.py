"""Does the engine compute what the model computes? Asked once per model, before the first draw.

The engine relies on conventions of `transformers` (position ids, four-dimensional masks, the cache's
`update`) that a model's code may not honor, and then the text would be wrong without any error. A few
tokens are generated from prefixes of different lengths through every path of the engine and compared
with plain forward passes.
"""

from __future__ import annotations

import numpy as np
import torch

from preceptor.errors import ModelError
from preceptor.generation import Sampling
from preceptor.policy.engine import Engine, Task

_FAILURES = (TypeError, AttributeError, RuntimeError, ValueError, LookupError, NotImplementedError)


def check_engine(engine: Engine) -> None:
    """Raise ModelError when log-probabilities differ from those of a plain forward.

    A model that only the shared reading of prefixes does not fit (an attention with more inputs than
    queries, keys, values and a mask) falls back to copying them.
    """
    tolerance = 1e-3 if engine.model.dtype == torch.float32 else 0.3
    if engine.shares:
        try:
            engine.may_share = _worst(engine) <= tolerance
        except _FAILURES:
            engine.may_share = False
        if engine.may_share:
            return
    try:
        worst = _worst(engine)
    except _FAILURES as problem:
        raise ModelError(
            f"{engine.config.model_type}: the embedded engine cannot run this model "
            f"({type(problem).__name__}: {problem}). Serve it with vLLM and use openai:URL#model."
        ) from problem
    if not worst <= tolerance:
        raise ModelError(
            f"{engine.config.model_type}: log-probabilities of the embedded engine differ from the model's "
            f"own by {worst:.3g}, expected at most {tolerance}. The model's code ignores given positions, "
            "masks or caches, or computes NaN. Serve it with vLLM and use openai:URL#model."
        )


def _worst(engine: Engine) -> float:
    """Largest difference over three prefixes in two slots: padding, sharing, a refill and a lone token."""
    narrow = [w + 3 for w in engine.windows if w is not None and w <= 64]
    longest = max([11, *narrow])
    if engine.context is not None:
        longest = max(1, min(longest, engine.context - 4))
    draws = np.random.default_rng(0).integers(0, engine.config.vocab_size, longest).tolist()
    prefixes = [tuple(draws[:n]) for n in (longest, (longest + 1) // 2)] + [tuple(draws[:0:-1] or draws)]
    tasks = [Task(p, k, 4, Sampling()) for k, p in enumerate(prefixes)]
    probe = Engine(engine.model, (), slots=2)
    probe.may_share = engine.may_share
    outputs = probe.run(tasks)
    return max(_difference(probe, p, o.ids, o.logprobs) for p, o in zip(prefixes, outputs))


def _difference(engine: Engine, prefix: tuple[int, ...], ids: list[int], logprobs: list[float]) -> float:
    model = engine.model
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            row = torch.tensor([[*prefix, *ids]], device=model.device)
            logits = model(input_ids=row, use_cache=False).logits[0, len(prefix) - 1 : -1].float()
    finally:
        model.train(was_training)
    plain = logits.log_softmax(-1).gather(1, row[0, len(prefix) :, None])[:, 0].cpu().numpy()
    return float(np.abs(plain - np.asarray(logprobs)).max())
