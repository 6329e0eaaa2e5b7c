"""Skywork-o1-Open-PRM: a value head at the line break behind every step, plain text.

The head is one linear layer beside a language model (`v_head.summary`); the language model's own output is not
used. Left out: another group's rule that judges a step by the score's increase, tuned for its own tag.
"""

from __future__ import annotations

from preceptor.reward.format import Format
from preceptor.reward.head import Linear
from preceptor.reward.layout import Plain, Tagged
from preceptor.reward.link import SIGMOID

VALUE_HEAD = Linear(1, "v_head.summary")

SKYWORK = Format(
    name="skywork",
    models=("Skywork/Skywork-o1-Open-PRM-Qwen-2.5-1.5B", "Skywork/Skywork-o1-Open-PRM-Qwen-2.5-7B"),
    architectures=("Qwen2ForPrmModel",),
    layout=Tagged("\n", Plain("{problem}\n"), newlines="space", single=True),
    head=VALUE_HEAD,
    link=SIGMOID,
    aggregate="mean",
    unsure=(
        "bos token: not found whether the tokenizers define one; it is put first where they do",
        "aggregation: the mean, as reported by another group's comparison",
        "the architecture's name in config.json: taken from the plugin for vLLM",
        "blanks around a step: not found; they are stripped",
        "question: what its labels say was not found; taken as validity",
    ),
    notes=(
        "Every line break is a step, so those inside a step become spaces.",
        "Tokenized together, a full stop and a line break merge into one token; the tag is appended by its id.",
        "The published helper fails where the tokenizer has no bos token.",
        "The head has a dropout of 0.1 in front: scores need evaluation mode.",
    ),
)
