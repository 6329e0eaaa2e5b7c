"""Made-up texts of which everything is known, and the signals that any method would be given of them.

A text carries one opinion in every form that methods read: a rating of each step, a chance of success after
each step, a number for each token, an answer, the node of each step in the tree of its prompt's texts. `pair`
hands a method the forms that its `needs` name. Which of the two numbers of a step a method's scores are, the rating
or the chance of success, is decided by its parts (`POTENTIALS`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from preceptor.credit.config import CreditConfig, Part
from preceptor.credit.methods import METHODS
from preceptor.credit.ops.beliefs import Gains
from preceptor.credit.ops.rlfr import Deviations
from preceptor.credit.ops.siop import OutcomePotential
from preceptor.credit.ops.vsrm import LookAhead
from preceptor.credit.sources import Progress
from preceptor.credit.types import Rollout, Signals
from preceptor.judgement import Question

POTENTIALS: tuple[type[Part], ...] = (Gains, LookAhead, OutcomePotential, Progress)
"""Parts whose scores are chances of success, not ratings of steps."""
POTENTIAL_ROWS = ("p2s",)
"""Methods of which the same holds and no part tells."""
ERRORS: tuple[type[Part], ...] = (Deviations,)
"""Parts whose token numbers are errors: the higher, the worse."""
STRICTNESS = (0.3, 0.45, 0.55, 0.7)
"""One critique each: it calls a step wrong whose rating is below."""


@dataclass(frozen=True)
class Text:
    """One completion and what is thought of it. T steps, L tokens."""

    prompt: str
    outcome: float
    sizes: tuple[int, ...]
    """`(T,)` tokens of each step."""
    ratings: tuple[float, ...]
    """`(T,)` how right a step looks."""
    potentials: tuple[float, ...]
    """`(T,)` the chance of success after each step."""
    tokens: tuple[float, ...]
    """`(L,)` an implicit reward's log-ratio, positive for what looks right."""
    answer: str | None = None
    nodes: tuple[Hashable, ...] | None = None
    well_formed: bool = True
    """One answer, at the end."""

    @property
    def rating(self) -> float:
        """Mean over the steps; 0 without one."""
        return sum(self.ratings) / max(len(self.ratings), 1)


def parts(part: Part) -> Iterator[Part]:
    """It and all parts inside it."""
    yield part
    for value in vars(part).values():
        for inner in value if isinstance(value, tuple) else (value,):
            if isinstance(inner, Part):
                yield from parts(inner)


def reads_potentials(config: CreditConfig) -> bool:
    """Whether its step scores are chances of success."""
    return _has(config, POTENTIALS) or any(config == METHODS[name] for name in POTENTIAL_ROWS)


def _has(config: CreditConfig, kinds: tuple[type[Part], ...]) -> bool:
    return any(isinstance(p, kinds) for p in parts(config))


def pair(
    config: CreditConfig, texts: Sequence[Text], start: float = 0.5, step: int = 0
) -> tuple[list[Rollout], Signals]:
    """The texts as a method sees them. `start` is the chance of success before the first step."""
    potential = reads_potentials(config)
    rollouts = [
        Rollout(
            t.prompt,
            len(t.tokens),
            t.outcome,
            tuple(pairwise(accumulate(t.sizes, initial=0))),
            answer=t.answer,
            nodes=t.nodes,
        )
        for t in texts
    ]
    needs = config.needs
    sign = -1 if _has(config, ERRORS) else 1
    groups: dict[str, list[Text]] = {}
    for t in texts:
        groups.setdefault(t.prompt, []).append(t)
    named = sorted(n.removeprefix("scalars.") for n in needs if n.startswith("scalars."))
    return rollouts, Signals(
        scores=tuple(t.potentials if potential else t.ratings for t in texts) if "scores" in needs else None,
        question=Question.VALUE,
        start=(start,) * len(texts),
        tokens=tuple(tuple(sign * x for x in t.tokens) for t in texts) if "tokens" in needs else None,
        verdicts=tuple(tuple(tuple(r < s for r in t.ratings) for s in STRICTNESS) for t in texts)
        if "verdicts" in needs
        else None,
        scalars={
            name: tuple(SCALARS.get(name, _rating)(t, groups[t.prompt]) for t in texts) for name in named
        },
        step=step,
    )


def _rating(text: Text, group: Sequence[Text]) -> float:
    return text.rating


def _preferred(text: Text, group: Sequence[Text]) -> float:
    return float(text.rating > sum(t.rating for t in group) / len(group))


def _visits(text: Text, group: Sequence[Text]) -> float:
    return float(sum(t.answer == text.answer for t in group))


def _final(text: Text, group: Sequence[Text]) -> float:
    return text.potentials[-1] if text.potentials else 0.0


def _verdict(text: Text, group: Sequence[Text]) -> float:
    return float(min(text.ratings, default=0.0) >= 0.5)


SCALARS: Mapping[str, Callable[[Text, Sequence[Text]], float]] = {
    "base_probability": lambda t, g: 0.3,
    "calibration": lambda t, g: 1.0 - (t.rating - t.outcome) ** 2,
    "completed": lambda t, g: float(t.answer is not None),
    "deviation_floor": lambda t, g: 0.05,
    "format": lambda t, g: float(t.well_formed),
    "preferred": _preferred,
    "probability": _final,
    "reward": lambda t, g: 2 * t.rating - 1,
    "structure": lambda t, g: float(t.well_formed),
    "verdict": _verdict,
    "visits": _visits,
}
"""What a named number of a text is, given its prompt's texts, where it is not the mean rating. `preferred`: rated above
their mean; `visits`: how many of them have its answer, no earlier ones; `verdict`: no step rated below 0.5."""
