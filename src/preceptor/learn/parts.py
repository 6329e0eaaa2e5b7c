"""What `learn` needs besides the method's name, made from the loaded policy and one word.

    learn(policy, problems, method="capo", **parts("capo", policy, "openai:http://...#judge"), out=...)

The word is a scorer, a judge, a reader, a teacher or an assistant, by the method (`HELPERS`); most methods that ask
one take the policy itself without a word.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from preceptor.credit import METHODS
from preceptor.errors import InputError
from preceptor.learn.settings import wanted
from preceptor.learn.signals import PRODUCERS, makers, producer, producer_name

ECHO = 0.1
"""Weight of ECHO's second term (not found, the catalogue's)."""
_ITSELF = "without one the policy itself"
HELPERS: dict[Callable[..., Any], str] = {
    makers.accumulated: "a scorer of steps",
    makers.comparisons: f"a judge; {_ITSELF}",
    makers.critiques: f"a judge; {_ITSELF}",
    makers.cuts: "",
    makers.dimensions: "a scorer of coherence",
    makers.flow: "",
    makers.igpo: f"a reader of answers; {_ITSELF}",
    makers.noisy: "a scorer of whole solutions",
    makers.one_critique: f"a judge; {_ITSELF}",
    makers.oprl: "an implicit reward model, frozen; without one it learns along",
    makers.patterns: "",
    makers.perplexity: f"a reader; {_ITSELF}",
    makers.posterior: "a scorer of thinking",
    makers.prime: "an implicit reward model, frozen; without one it learns along",
    makers.reference: f"a reader of answers; {_ITSELF}",
    makers.refined: "",
    makers.rubric: f"a judge; {_ITSELF}",
    makers.segments: f"a reader of answers; {_ITSELF}",
    makers.steps: "a scorer of steps",
    makers.suffixes: f"a reader; {_ITSELF}",
    makers.support: f"a reader of answers; {_ITSELF}",
    makers.thinking: "a scorer of thinking",
    makers.values: "a scorer of steps; without one rollouts of the policy",
    makers.verdict: f"a judge; {_ITSELF}",
    makers.visits: "",
}
"""Maker of a method's signals -> what its word names; "": it takes none."""


def helper(method: str) -> str:
    """What the word of a method names; "" for one that takes none."""
    if method == "cooper":
        return "an assistant that rewrites solutions, a chat model"
    name = producer_name(method) if wanted(METHODS[method]) else None
    return "" if name is None else HELPERS[PRODUCERS[name]]


def parts(method: str, policy: Any, word: Any = None) -> dict[str, Any]:
    """`scorer`, `sampler`, hooks and options of the loss for `learn`, as far as the method needs them.

    `policy`: loaded, the one that will be trained. `word`: a word or an object (see `signals.producer`). InputError
    for an unknown method, a word that is missing, and one that the method does not read.
    """
    if method not in METHODS:
        raise InputError(f"method: got {method!r}, expected one of {sorted(METHODS)}.")
    if word is not None and not helper(method):
        raise InputError(
            f"method {method}: got {word!r} to score with, expected none: it reads nothing of the kind."
        )
    if method in BESIDES:
        return BESIDES[method](policy, word)
    from preceptor.learn.signals.source import tree_source

    made = producer(method, policy, word) if wanted(METHODS[method]) else None
    sampler = tree_source(method, getattr(made, "scorer", None))
    return {"scorer": made, **({} if sampler is None else {"sampler": sampler})}


def _scrl(policy: Any, word: Any) -> dict[str, Any]:
    from preceptor.learn.data import SCRL

    hook = SCRL()
    return {"scorer": hook, "prepare": hook.prepare, "amend": hook.amend}


def _r3l(policy: Any, word: Any) -> dict[str, Any]:
    from preceptor.learn.data import R3L
    from preceptor.learn.first_attempts import FirstAttempts

    return {"scorer": None, "sampler": FirstAttempts, "amend": R3L().amend, "ratio_free": True}


def _echo(policy: Any, word: Any) -> dict[str, Any]:
    return {"scorer": None, "echo": ECHO}


def _cooper(policy: Any, word: Any) -> dict[str, Any]:
    if word is None:
        raise InputError(f"method cooper: got no word, expected one: {helper('cooper')}.")
    from preceptor.learn.cooper import CooperReward, rewriter
    from preceptor.policy import load_policy

    assistant = load_policy(word) if isinstance(word, str) else word
    reward = CooperReward(copy.deepcopy(policy.model), policy.tokenizer, rewriter(assistant))
    return {"scorer": reward}


BESIDES: dict[str, Callable[[Any, Any], dict[str, Any]]] = {
    "cooper": _cooper,
    "echo": _echo,
    "r3l": _r3l,
    "scrl": _scrl,
}
"""Methods that take more than signals: what they take, from the policy and the word."""
