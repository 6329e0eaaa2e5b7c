"""Human ratings -1, 0, 1 per step (PRM800K, "Let's Verify Step by Step", arXiv 2305.20050).

lightman()  three classes; a step's score is p(neutral) + p(right) (neutral counts as right, from memory)
rated(...)  two classes, with neutral steps taken for right, for wrong, or left out

Labels end with the first negative rating: what stands behind it has no target. ReasonEval reads the same three
outputs twice, as validity (0, 1, 1) and as redundancy (0, 1, 0): `lightman(weights=...)`, or change the link of a
trained model. A judgement whose scores are not ratings is counted and left out: 0 is "neutral" here and "wrong"
elsewhere, so nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from preceptor.annotate.rules import rating_classes, rating_targets
from preceptor.annotate.rules.ratings import Neutral
from preceptor.judgement import Question
from preceptor.reward.examples import Dropped, Group, Labelled, examples
from preceptor.reward.head import Linear
from preceptor.reward.link import Link
from preceptor.reward.losses import class_index
from preceptor.reward.objective import Objective
from preceptor.reward.objectives.binary import SOFT_CE
from preceptor.reward.objectives.rows import retarget
from preceptor.reward.render import Renderer

Ratings = Sequence[int | None]
VALIDITY, REDUNDANCY, STRICT = (0.0, 1.0, 1.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
"""Weights of (wrong, neutral, right)."""


def ratings(item: Labelled) -> list[int | None] | None:
    """The ratings up to the first negative one, None behind it; None when these are no ratings."""
    found: list[int | None] = []
    for score in item.judgement.scores or ():
        if score not in (None, -1, 0, 1):
            return None
        found.append(None if score is None or -1 in found else int(score))
    return found


def _rows(
    rule: Callable[[Ratings], Sequence[float | None]],
) -> Callable[[Sequence[Labelled], Renderer, Dropped], list[Group]]:
    def rows(items: Sequence[Labelled], render: Renderer, dropped: Dropped) -> list[Group]:
        def targets(item: Labelled) -> Sequence[float | None] | None:
            found = ratings(item)
            return None if found is None else rule(found)

        return examples(retarget(items, targets, dropped, "not-a-rating"), render, dropped)

    return rows


def lightman(weights: tuple[float, float, float] = VALIDITY) -> Objective:
    """`weights`: what the score counts of p(wrong), p(neutral), p(right)."""
    return Objective(
        loss=lambda outputs, batch: class_index(outputs, batch["targets"], batch["mask"]),
        head=Linear(3),
        link=Link("softmax", weights),
        labels="hard",
        threshold=0.0 if weights[1] else 1.0,
        rows=_rows(rating_classes),
        question=Question.QUALITY if weights[2] == 0 else None,
        source="Let's Verify Step by Step (arXiv 2305.20050)",
    )


def rated(neutral: Neutral) -> Objective:
    """Two classes; `neutral`: "positive", "negative" or "ignored"."""
    rating_targets((), neutral=neutral)  # refuses another word now, not in the middle of a run
    return replace(
        SOFT_CE,
        labels="hard",
        threshold=1.0 if neutral == "negative" else 0.0,
        rows=_rows(lambda found: rating_targets(found, neutral=neutral)),
        source="Let's Verify Step by Step (arXiv 2305.20050), two classes",
    )


LIGHTMAN = lightman()
