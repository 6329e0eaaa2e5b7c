"""Every search strategy by name, and where it lives. Nothing is imported before it is asked for.

A user's own strategy goes by its import path, `my_module:MyStrategy`.
"""

from __future__ import annotations

from importlib import import_module

from preceptor.errors import InputError
from preceptor.search.strategy import Strategy

STRATEGIES = {
    "best-of-n": "best_of_n:BestOfN",
    "greedy": "greedy:Greedy",
    "majority": "majority:Majority",
    "step-beam": "step_beam:StepBeam",
    "weighted-vote": "weighted_vote:WeightedVote",
}
"""Name -> module in this package and class."""


def strategy(name: str) -> type[Strategy]:
    """The strategy's class. InputError for an unknown name or an import path that leads to no strategy."""
    if name in STRATEGIES:
        path, _, attribute = STRATEGIES[name].partition(":")
        path = f"preceptor.search.{path}"
    elif ":" in name:
        path, _, attribute = name.partition(":")
    else:
        raise InputError(
            f"strategy {name!r}: expected one of {', '.join(sorted(STRATEGIES))}, or an import path module:Class"
        )
    try:
        found = getattr(import_module(path), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(f"strategy {name!r}: cannot be imported ({error})") from error
    if not (isinstance(found, type) and issubclass(found, Strategy)):
        raise InputError(f"strategy {name!r}: {attribute} is not a class that derives from preceptor.search.Strategy")
    return found
