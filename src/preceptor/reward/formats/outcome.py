"""Outcome models: one score for a whole solution, read at the last token of the rendered chat.

The score belongs to the last step; the others have none. Scores are raw numbers that only rank.
"""

from __future__ import annotations

from preceptor.judgement import Question
from preceptor.reward.format import Format
from preceptor.reward.formats.qwen import SYSTEM
from preceptor.reward.head import Linear, Mlp
from preceptor.reward.layout import Chat, Tagged
from preceptor.reward.link import VALUE

LAST = "The last token is the template's own, behind the end of the turn."

QWEN_RM = Format(
    name="qwen-rm",
    models=("Qwen/Qwen2.5-Math-RM-72B",),
    architectures=("Qwen2ForRewardModel",),
    layout=Tagged("", Chat(SYSTEM), read="last", close=True),
    head=Mlp(1),
    link=VALUE,
    question=Question.VALUE,
    whole=True,
    aggregate="last",
    threshold=None,
    unsure=("head: not found; taken as that of Qwen2.5-Math-PRM with one output",),
    notes=(LAST,),
)
ACEMATH_RM = Format(
    name="acemath-rm",
    models=("nvidia/AceMath-7B-RM", "nvidia/AceMath-72B-RM"),
    layout=Tagged("", Chat(SYSTEM.replace("put", "check")), read="last", close=True),
    head=Linear(1),
    link=VALUE,
    question=Question.VALUE,
    whole=True,
    aggregate="last",
    threshold=None,
    unsure=(
        "class: a sequence classifier with one label (from memory)",
        'system text: "check" instead of "put" (from memory)',
    ),
    notes=(
        LAST,
        "Its architecture's name is that of any sequence classifier: name the format or the hub id.",
    ),
)
