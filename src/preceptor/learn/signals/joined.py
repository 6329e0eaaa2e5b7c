"""Several producers as one: each fills its own fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from preceptor.credit import Signals
from preceptor.errors import InputError
from preceptor.learn.signals.base import Producer
from preceptor.trace import Trace


@dataclass(eq=False)
class Joined(Producer):
    """The question is that of the part that gives step scores. One part at most gives each field."""

    name: ClassVar[str] = "joined"

    parts: tuple[Producer, ...]

    def __post_init__(self) -> None:
        given = [name for part in self.parts for name in part.gives]
        twice = sorted({name for name in given if given.count(name) > 1})
        if twice:
            raise InputError(f"joined: got {', '.join(twice)} from two parts, expected each from one.")
        self.gives = frozenset(given)  # type: ignore[misc]
        scoring = [part.question for part in self.parts if "scores" in part.gives]
        self.question = (scoring or [self.parts[0].question])[0]  # type: ignore[misc]

    def signals(self, traces: Sequence[Trace]) -> Signals:
        self.begin()
        found: dict[str, Any] = {"question": self.question}
        for part in self.parts:
            own = part.signals(traces)
            self.pay([part.spent])
            self.failed.update(part.failed)
            for f in fields(Signals):
                value = getattr(own, f.name)
                if f.name == "scalars" and value is not None:
                    found["scalars"] = {**found.get("scalars", {}), **value}
                elif f.name not in ("question", "step", "scalars") and value is not None:
                    found[f.name] = value
        return Signals(**found)
