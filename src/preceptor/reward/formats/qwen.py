"""Qwen2.5-Math-PRM: a two-layer head read at `<extra_0>` behind every step, inside Qwen's chat template.

The blank line between steps is replaced by the tag, and the last step has one too. Left out: the advice to
cut long inputs from the left, which loses early steps; windows read them (`render.py`).
"""

from __future__ import annotations

from preceptor.reward.format import Format
from preceptor.reward.head import Mlp
from preceptor.reward.layout import Chat, Tagged
from preceptor.reward.link import SOFTMAX

SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."
TAG = "<extra_0>"

QWEN = Format(
    name="qwen",
    models=("Qwen/Qwen2.5-Math-PRM-7B", "Qwen/Qwen2.5-Math-PRM-72B", "Qwen/Qwen2.5-Math-7B-PRM800K"),
    architectures=("Qwen2ForProcessRewardModel",),
    layout=Tagged(TAG, Chat(SYSTEM), ids=(151651,), single=True),
    head=Mlp(2),
    link=SOFTMAX,
    aggregate="prod",
    unsure=("aggregation: the product, in the paper, for voting (from memory); wrappers use the last step",),
    notes=(
        "Some wrappers shorten the system text, and one writes its backslash so that it becomes a backspace.",
        "The sample code keeps the scores that are not 0, so one that underflows shifts the others.",
        "Opened as a plain language model it gives vocabulary logits without an error.",
        "The context is 4096 tokens; cutting from the left drops the first tags.",
        "7B-PRM800K counts PRM800K's labels 1 and 0 as good, -1 as bad.",
    ),
)
