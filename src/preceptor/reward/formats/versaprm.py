"""VersaPRM (arXiv 2502.06737) and the dPRM and dORM models trained by the same code.

The words `-` and `+` at a tag of four line breaks, plain text. dORM is read like dPRM, but was taught at the
last step only, with the outcome: its score is the last step's, and earlier ones are how the prefix looks to it.
"""

from __future__ import annotations

from dataclasses import replace

from preceptor.judgement import Question
from preceptor.reward.format import Format
from preceptor.reward.head import Verbalizer
from preceptor.reward.layout import Plain, Tagged
from preceptor.reward.link import SOFTMAX

NOT_FOUND = (
    "bos token: not found whether the trainer put one; it is put first where the tokenizer has one",
    "blanks around a step: not found; they are stripped",
)
NOTES = (
    "Steps and their tags are tokenized together, step by step.",
    "The tag may be several tokens; the last one is read.",
)

VERSAPRM = Format(
    name="versaprm",
    models=("UW-Madison-Lee-Lab/VersaPRM", "UW-Madison-Lee-Lab/Llama-PRM800K"),
    layout=Tagged(" \n\n\n\n", Plain("{problem} \n\n")),
    head=Verbalizer(("-", "+")),
    link=SOFTMAX,
    unsure=(*NOT_FOUND, "aggregation: not found"),
    notes=NOTES,
)
DPRM = replace(
    VERSAPRM,
    name="dprm",
    models=(),
    aggregate="min",
    unsure=(*NOT_FOUND, "hub ids: dongboklee/dPRM-*, full names not found"),
)
DORM = replace(
    VERSAPRM,
    name="dorm",
    models=(),
    question=Question.VALUE,
    aggregate="last",
    unsure=(*NOT_FOUND, "hub ids: dongboklee/dORM-*, full names not found"),
    notes=(*NOTES, "Taught at the last step only: its score of a solution is the last one."),
)
