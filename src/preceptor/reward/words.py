"""Scorers that need nothing but a policy, by a word: `judge:POLICY`, `uncertainty:world:arithmetic`, ...

`POLICY` is what `load_policy` takes. Options go to the scorer's constructor, so `judge:DIR` with `votes=4` is
`StepJudge(load_policy("DIR"), votes=4)`; `chat=False` asks a base model, which has no chat template.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from preceptor.errors import InputError
from preceptor.judgement import Scorer

OVER_POLICY = {
    "belief": "reward.likelihood:Belief",
    "crew": "reward.likelihood:CRew",
    "critique": "annotate.judges:Critique",
    "data-prm": "annotate.judges:DataPRM",
    "judge": "annotate.judges:StepJudge",
    "rationalyst": "reward.likelihood:Rationalyst",
    "self-prm": "annotate.judges:SelfPRM",
    "uncertainty": "reward.likelihood:Uncertainty",
}


def over_policy(word: str, options: dict[str, Any]) -> Scorer | None:
    """The scorer named by `KIND:POLICY`, or None when the word is of another form."""
    options = dict(options)
    kind, colon, policy = word.partition(":")
    if not colon or kind not in OVER_POLICY:
        return None
    from preceptor.policy import load_policy

    room, _, name = OVER_POLICY[kind].partition(":")
    make: Callable[..., Scorer] = getattr(import_module(f"preceptor.{room}"), name)
    if room == "annotate.judges" and options.pop("chat", True) in (False, "false"):
        from preceptor.annotate.judges import Asking

        options["asking"] = Asking(chat=False, lead="Verdict:")
    try:
        return make(load_policy(policy), **options)
    except TypeError as e:
        raise InputError(f"scorer {kind}: got the options {sorted(options)}, which do not fit ({e})") from e
