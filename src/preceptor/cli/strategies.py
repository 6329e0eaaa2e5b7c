"""From words to a strategy with its settings, and to the other policies it asks.

A setting is a field of the strategy's class; `max_tokens`, `temperature` and the other fields of `Sampling` go to its
`sampling`, or with a dot to another sampling of its (`answer.max_tokens`). A value is read as its field is declared.
What is no number or word (a function, a table, another strategy) is set in Python.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from preceptor.cli.options import policy_of
from preceptor.errors import InputError

if TYPE_CHECKING:
    from preceptor.generation import Policy
    from preceptor.search import Strategy

Helpers = Annotated[
    list[str] | None,
    typer.Option(
        "--helper", help="NAME=POLICY: who a strategy asks beside the policy, e.g. critic=DIR; repeat."
    ),
]


def strategy_of(name: str, settings: Mapping[str, str], flag: str = "--set") -> Strategy:
    """The strategy with these settings; where it may sample until the budget is spent (`n`), it does unless told."""
    from preceptor.generation import Sampling
    from preceptor.search import strategy

    if ":" in name:
        sys.path.insert(0, "")
    kind = strategy(name)
    own = {f.name: _declared(f.type) for f in fields(kind)}  # type: ignore[arg-type]
    drawn = {f.name: _declared(f.type) for f in fields(Sampling)}
    given: dict[str, Any] = {}
    inner: dict[str, dict[str, Any]] = {}
    for word, value in settings.items():
        outer, dot, field = word.partition(".")
        if not dot and word not in own and word in drawn:
            outer, field = "sampling", word
        if field and own.get(outer) == ["Sampling"] and field in drawn:
            inner.setdefault(outer, {})[field] = _value(f"{flag} {word}", value, drawn[field])
        elif not field and outer in own:
            given[outer] = _value(f"{flag} {word}", value, own[outer])
        else:
            raise InputError(
                f"{flag}: {name} has no setting {word!r}; it has {sorted(own)}, and of its sampling {sorted(drawn)}"
            )
    if "n" not in given and "None" in own.get("n", ()):
        given["n"] = None
    try:
        made: Any = kind(**given)
        return (
            replace(made, **{k: replace(getattr(made, k), **v) for k, v in inner.items()}) if inner else made
        )
    except ValueError as error:
        raise InputError(str(error)) from error
    except TypeError as error:
        raise InputError(f"{name}: {error}. What is no number or word is set in Python.") from error


def settings_of(words: Sequence[str] | None, flag: str = "--set") -> dict[str, str]:
    """`NAME=VALUE` words by name.

    >>> settings_of(["keep=2", "aggregate=window:3:min"])
    {'keep': '2', 'aggregate': 'window:3:min'}
    """
    found: dict[str, str] = {}
    for word in words or ():
        name, sign, value = word.partition("=")
        if not sign or not all(part.isidentifier() for part in name.split(".")):
            raise InputError(f"{flag}: got {word!r}, expected NAME=VALUE, e.g. keep=4")
        if name in found:
            raise InputError(f"{flag}: got {name!r} twice, expected it once")
        found[name] = value
    return found


def parsed(word: str) -> tuple[str, dict[str, str]]:
    """A strategy and its settings in one word. A comma that no `NAME=` follows belongs to the value.

    >>> parsed("step-beam:keep=2,aggregate=window:3:min")
    ('step-beam', {'keep': '2', 'aggregate': 'window:3:min'})
    >>> parsed("my_module:Mine")
    ('my_module:Mine', {})
    """
    found = re.match(r"(?P<name>.+?)(?::(?P<settings>[A-Za-z_][\w.]*=.*))?$", word, re.DOTALL)
    if found is None:
        raise InputError(f"--strategy: got {word!r}, expected NAME or NAME:SETTING=VALUE,SETTING=VALUE")
    words = re.split(r",(?=[A-Za-z_][\w.]*=)", found["settings"]) if found["settings"] else []
    return found["name"], settings_of(words, f"--strategy {found['name']}")


def helpers_of(words: Sequence[str] | None, strategies: Sequence[Strategy]) -> dict[str, Policy]:
    """The policies behind `NAME=POLICY`, each name asked by one of the strategies at least."""
    asked = sorted({name for s in strategies for name in s.helpers})
    found: dict[str, Policy] = {}
    for word in words or ():
        name, sign, policy = word.partition("=")
        if not sign or name in found or name not in asked:
            expected = (
                f"NAME=POLICY with NAME one of {asked}, each once" if asked else "none: nobody is asked"
            )
            raise InputError(f"--helper: got {word!r}, expected {expected}")
        found[name] = policy_of(policy)
    return found


def _declared(annotation: Any) -> list[str]:
    """`"int | None"` -> `["int", "None"]`."""
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    return [part.strip() for part in re.split(r"\|(?![^\[]*\])", text)]


def _value(where: str, word: str, declared: Sequence[str]) -> Any:
    """The word as one of the declared kinds, numbers first."""
    if word in ("none", "null") and "None" in declared:
        return None
    if "bool" in declared and word in ("true", "false"):
        return word == "true"
    for kind, read in (("int", int), ("float", float)):
        if kind in declared:
            try:
                number = read(word)
            except ValueError:
                continue
            if not math.isnan(number):
                return number
    for kind in declared:
        if kind.startswith("tuple["):
            return _several(where, word, kind)
    if "str" in declared or any(kind.startswith("Literal[") for kind in declared):
        return _text(word)
    names = {"int": "a whole number", "float": "a number", "bool": "true or false", "None": "none"}
    usable = [names[kind] for kind in declared if kind in names]
    expected = " or ".join(usable) if usable and usable != ["none"] else "what is set in Python"
    raise InputError(f"{where}: got {word!r}, expected {expected}")


def _several(where: str, word: str, kind: str) -> tuple[Any, ...]:
    """A JSON list, or words between commas."""
    one = _declared(kind[len("tuple[") : -1].split(",")[0])
    try:
        listed = json.loads(word)
    except ValueError:
        listed = None
    parts = (
        [p if isinstance(p, str) else json.dumps(p) for p in listed]
        if isinstance(listed, list)
        else word.split(",")
    )
    return tuple(_value(where, part, one) for part in parts)


def _text(word: str) -> str:
    """The word; within double quotes, JSON's escapes count (`"\\n"`)."""
    if word.startswith('"'):
        try:
            return str(json.loads(word))
        except ValueError:
            pass  # no JSON: a word that begins with a quote
    return word
