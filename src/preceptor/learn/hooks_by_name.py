"""Hooks of the loop by name, as `preceptor learn --with NAME` has them.

    learn(policy, problems, method="outcome", **hooks("h1", problems), out=...)
    learn(policy, problems, method="outcome", **hooks("scope_correct", problems, {"scorer": "prm/"}), out=...)

The settings of a hook are the fields of its class in `learn.data`; a policy or a scorer is given as a word or an
object. One hook a run: two that both give rewards, or both rewrite attempts, would undo each other. `scrl` and `r3l`
are methods (`parts.BESIDES`); `Interventions` makes rows, it is no hook.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from preceptor.credit import METHODS
from preceptor.errors import InputError
from preceptor.judgement import Question
from preceptor.learn.data import MRRLVR, R3, SRL, Horizon, ScopeCorrect, ThinkTuning
from preceptor.learn.data.h1 import chains
from preceptor.learn.signals.scores import StepScores
from preceptor.trace import Problem

CHAINS = 16
"""Chains of the longest horizon that must be found before a run begins."""


@dataclass(frozen=True)
class Given:
    """What is at hand."""

    name: str
    problems: Sequence[Problem]
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the hook's class."""
    seed: int = 0
    scorer: Any = None
    """What the method reads, if anything."""


def hooks(
    name: str,
    problems: Sequence[Problem],
    settings: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    scorer: Any = None,
) -> dict[str, Any]:
    """`prepare` and `amend` for `learn`, as far as the hook has them; see `HOOKS`. `scorer`: the one that the method
    reads (`parts(...)["scorer"]`). InputError for an unknown name and for what is missing or cannot be."""
    known(name)
    made = HOOKS[name](Given(name, problems, dict(settings or {}), seed, scorer))
    return {part: getattr(made, part) for part in ("prepare", "amend") if hasattr(made, part)}


def known(name: str) -> None:
    """InputError for a name that no hook has, with those that are near."""
    if name in HOOKS:
        return
    near = difflib.get_close_matches(name, HOOKS, n=2)
    meant = f" Did you mean {' or '.join(near)}?" if near else ""
    if name in METHODS:
        meant = f" {name} is a method."
    raise InputError(f"hook: got {name!r}, expected one of {', '.join(sorted(HOOKS))}.{meant}")


def _r3(given: Given) -> R3:
    _demonstrated(given)
    return _made(R3, given)


def _srl(given: Given) -> SRL:
    _demonstrated(given)
    return _made(SRL, given)


def _mr_rlvr(given: Given) -> MRRLVR:
    _demonstrated(given)
    hook = _made(MRRLVR, given)
    hook.prepare(given.problems, 0)  # a reference without a task is said now
    return hook


def _h1(given: Given) -> Horizon:
    for p in given.problems:
        if p.world != "arithmetic":
            raise InputError(
                f"h1: got problem {p.id} of {p.world or 'no world'!r}, expected problems of the world 'arithmetic': "
                "other answers are not chained."
            )
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError(
            "h1: got several processes, expected one: the horizon follows the success of its own attempts, and "
            "processes would ask different problems."
        )
    hook = _made(Horizon, given, pool=given.problems)
    try:
        chains(given.problems, hook.last, min(CHAINS, len(given.problems)), given.seed)
    except InputError as error:
        raise InputError(f"{error} Or let the horizon grow less far: last={hook.last - 1}.") from error
    return hook


def _scope_correct(given: Given) -> ScopeCorrect:
    settings = dict(given.settings)
    scorer = _scorer(settings.pop("scorer", None), given)
    writer = _policy(settings.pop("writer", None))
    if writer is None:
        _demonstrated(given, " Or name a policy that corrects: writer=WORD.")
    return _made(ScopeCorrect, given, settings, scorer=scorer, writer=writer)


def _thinktuning(given: Given) -> ThinkTuning:
    settings = dict(given.settings)
    teacher = _policy(settings.pop("teacher", None))
    if teacher is None:
        raise InputError(
            "thinktuning: got no teacher, expected a policy that writes feedback: teacher=WORD (as --policy)."
        )
    return _made(ThinkTuning, given, settings, teacher=teacher)


HOOKS: dict[str, Callable[[Given], Any]] = {
    "h1": _h1,
    "mr_rlvr": _mr_rlvr,
    "r3": _r3,
    "scope_correct": _scope_correct,
    "srl": _srl,
    "thinktuning": _thinktuning,
}
WORDS = {"scope_correct": ("scorer", "writer"), "thinktuning": ("teacher",)}
"""Settings that are a policy or a scorer."""


def _demonstrated(given: Given, otherwise: str = "") -> None:
    for p in given.problems:
        if not p.reference:
            raise InputError(
                f"{given.name}: got problem {p.id} without a reference solution, expected one with every problem "
                f"(`reference`: a list of steps).{otherwise}"
            )


def _policy(word: Any) -> Any:
    if not isinstance(word, str):
        return word
    from preceptor.policy import load_policy

    return load_policy(word)


def _scorer(word: Any, given: Given) -> Any:
    """Of steps: the one that is named, else the method's own where it reads step scores."""
    found = given.scorer.scorer if word is None and isinstance(given.scorer, StepScores) else word
    if isinstance(word, str):
        from preceptor.reward import load_scorer

        found = load_scorer(word)
    if found is None:
        raise InputError(
            f"{given.name}: got no scorer, expected one whose scores tell a wrong step: scorer=WORD (as for "
            "`preceptor score`), or a method that reads step scores."
        )
    if found.question not in (Question.VALIDITY, Question.VALUE):
        raise InputError(
            f"{given.name}: got a scorer of {found.question.value}, expected one of validity or value: a step below a "
            "threshold has to be wrong."
        )
    return found


def _made(kind: Any, given: Given, settings: Mapping[str, Any] | None = None, **parts: Any) -> Any:
    """The hook, its plain fields from the settings; these have the type of their default."""
    settings = given.settings if settings is None else settings
    plain = {f.name: f.default for f in fields(kind) if isinstance(f.default, int | float | str)}
    seed = {"seed": given.seed} if plain.pop("seed", None) is not None else {}
    for name, value in settings.items():
        if name not in plain:
            there = ", ".join(sorted({*plain, *WORDS.get(given.name, ())}))
            raise InputError(f"{given.name}: got the setting {name}, expected some of {there}.")
        wanted = type(plain[name])
        accepted = (int, float) if wanted is float else wanted
        if isinstance(value, bool) or not isinstance(value, accepted):
            raise InputError(
                f"{given.name}: got {name}={value!r}, expected {_TYPES[wanted]}, as {plain[name]!r}."
            )
    return kind(**settings, **seed, **parts)


_TYPES = {int: "a whole number", float: "a number", str: "a text"}
