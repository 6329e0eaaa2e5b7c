"""ReasonFlux-PRM (arXiv 2506.18896): 7B is read as Qwen's without its system text; 1.5B gives one score.

1.5B's head lies in a file of its own, `reward_head.pt`. Pickled files are not read unasked: save its two
tensors as `reward_head.safetensors`, or pass `allow_pickle=True`, which reads tensors and nothing else.
"""

from __future__ import annotations

from preceptor.judgement import Question
from preceptor.reward.format import Format
from preceptor.reward.formats.qwen import TAG
from preceptor.reward.head import Linear, Mlp
from preceptor.reward.layout import Chat, Plain, Tagged
from preceptor.reward.link import SIGMOID, SOFTMAX

REASONFLUX_7B = Format(
    name="reasonflux-7b",
    models=("Gen-Verse/ReasonFlux-PRM-7B",),
    layout=Tagged(TAG, Chat(None), ids=(151651,), single=True),
    head=Mlp(2),
    link=SOFTMAX,
    aggregate="mean",
    unsure=("aggregation: the mean (from memory)",),
    notes=(
        "Same architecture as Qwen's, but no system text: name the format when the directory is a local one.",
        "The chat template then puts its own default system text.",
        "For reinforcement learning its authors score the whole response as one step.",
    ),
)
REASONFLUX_1_5B = Format(
    name="reasonflux-1.5b",
    models=("Gen-Verse/ReasonFlux-PRM-1.5B",),
    layout=Tagged("", Plain("{problem}"), read="last"),
    head=Linear(1, file="reward_head"),
    link=SIGMOID,
    question=Question.QUALITY,
    whole=True,
    max_length=2048,
    aggregate="last",
    threshold=None,
    unsure=("text between problem and response: none was found", "blanks around a response: not found"),
    notes=(
        "One score for the whole response, at its last token.",
        "The published code finds that token by counting, which is only right with padding on the right.",
        "Problem and response are tokenized apart, so that a response cannot change the problem's last token.",
    ),
)
