"""What all producers share: signals of a batch of graded traces, and what measuring them cost."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, ClassVar, Protocol

from preceptor.credit import Signals
from preceptor.errors import ItemError
from preceptor.generation import Sampling
from preceptor.judgement import Judgement, Question, Source
from preceptor.trace import Trace
from preceptor.usage import Ledger, Usage

Row = tuple[float | None, ...] | None
"""One number a step, None where a step was not judged; None when nothing was."""


class Signaller(Protocol):
    """What `learn` wants of a scorer that gives more than step scores: `Producer`, or one that learns along."""

    @property
    def source(self) -> Source: ...

    def signals(self, traces: Sequence[Trace]) -> Signals: ...


@dataclass(eq=False)
class Producer(ABC):
    """Traces -> `Signals`, in the order of the traces. Also a `Scorer`, where it gives step scores.

    `spent` and `failed` are those of the last call. What is learned of a group (same problem id) is learned of
    the members in the call: a group that is split over calls, or over processes, is two groups.
    """

    name: ClassVar[str]
    gives: ClassVar[frozenset[str]]
    """Fields of `Signals` it fills; of `scalars` by name, e.g. "scalars.reward"."""
    question: ClassVar[Question] = Question.VALUE
    """What its step scores answer."""

    spent: Usage = field(default_factory=Usage, init=False, repr=False)
    failed: Counter[str] = field(default_factory=Counter, init=False, repr=False)
    """What could not be measured, by the kind of its error."""

    @abstractmethod
    def signals(self, traces: Sequence[Trace]) -> Signals: ...

    @cached_property
    def source(self) -> Source:
        """By the settings as they are when it is first asked for."""
        settings = {f.name: plain(getattr(self, f.name)) for f in fields(self) if f.init}
        return Source.of(self.name, **settings)

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        """The step scores alone; each trace carries an equal share of the tokens."""
        rows = self.signals(traces).scores or (None,) * len(traces)
        n = max(1, len(traces))
        share = Usage(generated=self.spent.generated // n, scored=self.spent.scored // n, calls=1)
        error = ItemError("not-measured", f"{self.name}: {dict(self.failed) or 'no step scores'}")
        return [
            Judgement(
                t.id,
                self.question,
                self.source,
                row,
                usage=Ledger(scorer=share),
                error=error if row is None else t.error,
            )
            for t, row in zip(traces, rows, strict=True)
        ]

    def begin(self) -> None:
        """Forget the last call."""
        self.spent, self.failed = Usage(), Counter()

    def pay(self, usages: Iterable[Usage]) -> None:
        self.spent = sum(usages, self.spent)


def by_problem(traces: Sequence[Trace]) -> list[list[int]]:
    """Indices of the traces of each problem, problems in order of appearance."""
    groups: dict[str, list[int]] = {}
    for i, trace in enumerate(traces):
        groups.setdefault(trace.problem.id, []).append(i)
    return list(groups.values())


def plain(value: Any) -> Any:
    """A setting as a JSON value: models by fingerprint, scorers by source, functions by name."""
    if isinstance(value, Sampling):
        return value.to_record()
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    for name in ("fingerprint", "source", "__qualname__"):
        found = getattr(value, name, None)
        if found is not None:
            return str(found)
    return value if value is None or isinstance(value, (bool, int, float, str)) else repr(value)
