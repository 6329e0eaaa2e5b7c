"""Policies: whoever continues a prefix, behind `Policy.generate(requests) -> continuations`.

    scripted.py, scripted_game24.py     policies of known quality for the worlds; no model
    transformers_policy.py  any causal language model of `transformers`
      engine.py             the decode loop; engine_plan (which prefixes), engine_cache (keys and values),
                            engine_sampling (random numbers, choice), engine_text (ids to text),
                            engine_check (is this model computed correctly?)
      packed.py             one forward pass over many rows, shared beginnings computed once (packed_plan,
                            packed_attention, packed_together, packed_check); reward models read through it too
      likelihood.py         log-probabilities of given text, and the choice between next words
      next_tokens.py        what else could have come at a place (`Brancher`); next_tokens_model.py reads it
      checkpoint.py         loading without silent random weights; fingerprints
    openai.py               a server that speaks the OpenAI protocol (vLLM among them); openai_answer and
                            openai_given read its answers, retry.py asks again
    render.py               prompt and text to ids, for policies and reward models alike
    sample.py               whole graded traces; load.py: from the user's word to a policy

To add a backend: one file with a class that has `fingerprint` and `generate`, a line in `_HOME` below,
and a form in `load.py`. A request that fails alone must come back as `Continuation.failed`, and a draw
must depend on `request.stream` only. Nothing here imports torch before it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from preceptor.policy.load import load_policy
from preceptor.policy.render import chat_ids, chat_parts, prompt_ids, text_ids
from preceptor.policy.sample import sample, tokens_until, trace_of

if TYPE_CHECKING:
    from preceptor.policy.openai import OpenAIPolicy
    from preceptor.policy.scripted import ScriptedPolicy
    from preceptor.policy.scripted_game24 import ScriptedGame24
    from preceptor.policy.transformers_policy import TransformersPolicy

_HOME = {
    "OpenAIPolicy": "openai",
    "ScriptedGame24": "scripted_game24",
    "ScriptedPolicy": "scripted",
    "TransformersPolicy": "transformers_policy",
}

__all__ = [
    "OpenAIPolicy",
    "ScriptedGame24",
    "ScriptedPolicy",
    "TransformersPolicy",
    "chat_ids",
    "chat_parts",
    "load_policy",
    "prompt_ids",
    "sample",
    "text_ids",
    "tokens_until",
    "trace_of",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
