"""PURE's PRM (arXiv 2504.15275): a token classifier at the blank line behind every step, p(good) - p(bad)."""

from __future__ import annotations

from preceptor.reward.format import Format
from preceptor.reward.head import Linear
from preceptor.reward.layout import Plain, Tagged
from preceptor.reward.link import Link

PURE = Format(
    name="pure",
    models=("jinachris/PURE-PRM-7B",),
    layout=Tagged("\n\n", Plain("{problem}"), fresh="alone", single=True),
    head=Linear(2),
    link=Link("softmax", (-1.0, 1.0)),
    aggregate="sum",
    threshold=0.0,
    unsure=("blanks around a step: not found; they are stripped",),
    notes=(
        "Scores lie in [-1, 1]; above 0 is good.",
        "For credit its authors weigh the steps by a soft minimum; the sum of the weighted scores is near the min.",
        "Problem, steps and tags are tokenized apart.",
    ),
)
