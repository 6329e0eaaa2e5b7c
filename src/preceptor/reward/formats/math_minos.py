"""MATH-Minos (arXiv 2406.14024): a token classifier's raw logit at a Cyrillic tag behind every step."""

from __future__ import annotations

from preceptor.reward.format import Format
from preceptor.reward.head import Linear
from preceptor.reward.layout import Plain, Tagged
from preceptor.reward.link import VALUE

MATH_MINOS = Format(
    name="math-minos",
    layout=Tagged(
        " и",
        Plain("Human: {problem}\n\nAssistant:"),
        between="\n",
        number="Step {i}: ",
        single=True,
    ),
    head=Linear(1),
    link=VALUE,
    threshold=0.0,
    unsure=(
        "hub ids: not found",
        "aggregation: not found",
        "width of the head: not found; taken as one output",
        "id of the tag: not found; looked up in the tokenizer",
    ),
    notes=(
        "Scores are logits; above 0 is good.",
        "The tag is one piece only behind a blank.",
        "A copy of the tag in a problem or a step is left out.",
    ),
)
