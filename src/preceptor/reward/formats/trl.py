"""TRL's PRMTrainer, and any other token classifier read at a separator's last token.

Prompt and completions are tokenized apart, the separator's ids are appended to every completion, and the label
stands on the last of them; no shift. The trainer was removed from TRL in 1.14; its checkpoints remain.
"""

from __future__ import annotations

from preceptor.reward.format import Format
from preceptor.reward.head import Linear
from preceptor.reward.layout import Plain, Tagged
from preceptor.reward.link import SOFTMAX

TRL = Format(
    name="trl",
    layout=Tagged("\n", Plain("{problem}"), strip="right", fresh="alone"),
    head=Linear(2),
    link=SOFTMAX,
    aggregate="min",
    unsure=("aggregation: not found",),
    notes=(
        "The separator is the trainer's setting and not saved; default is a line break.",
        "Truncation from the right drops late labels in training; here long traces are read through windows.",
    ),
)
