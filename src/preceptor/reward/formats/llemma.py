"""The easy-to-hard PRM on Llemma (arXiv 2403.09472): the mean of all logits at the blank line behind a step.

The mean of all logits equals one linear layer whose row is the mean row of the output table.
"""

from __future__ import annotations

from preceptor.reward.format import Format
from preceptor.reward.head import MeanLogit
from preceptor.reward.layout import Plain, Tagged
from preceptor.reward.link import SIGMOID

LLEMMA = Format(
    name="llemma",
    layout=Tagged("\n\n", Plain("# Question\n\n{problem}\n\n# Solution\n\n")),
    head=MeanLogit(),
    link=SIGMOID,
    unsure=(
        "link: the sigmoid of the mean logit, as another group's wrapper has it; its authors' was not found",
        "aggregation: not found",
        "hub ids: llemma-7b-prm-*, owner not found",
        "whether a blank line stands behind the last step: not found; it does here",
        "which of the tag's tokens is read: not found; the last one is",
        "bos token: not found; it is put first where the tokenizer has one",
    ),
    notes=("The blank line is two tokens in a sentencepiece-like tokenizer.",),
)
