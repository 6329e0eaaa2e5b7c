"""Math-Shepherd (arXiv 2312.08935): the words `+` and `-` at the Cyrillic tag behind every step, plain text."""

from __future__ import annotations

from preceptor.judgement import Question
from preceptor.reward.format import Format
from preceptor.reward.head import Verbalizer
from preceptor.reward.layout import Plain, Tagged
from preceptor.reward.link import Link

MATH_SHEPHERD = Format(
    name="math-shepherd",
    models=("peiyi9979/math-shepherd-mistral-7b-prm",),
    layout=Tagged(
        " ки",
        Plain("{problem}"),
        first=" ",
        between="\n",
        number="Step {i}: ",
        ids=(12902,),
        single=True,
    ),
    head=Verbalizer((" +", " -"), ids=(648, 387)),
    link=Link("softmax", (1.0, 0.0)),
    question=Question.VALUE,
    aggregate="min",
    notes=(
        "Labels say whether rollouts from the step reach the answer: a value, not a validity.",
        "The tag is one piece only behind a blank; glued to a word or behind a line break it has other ids.",
        "Read at the tag itself, not before it.",
        "`Step i: ` is put before a step that does not number itself, as in the training data.",
        "A copy of the tag in a problem or a step is left out.",
        "The public tokenizer has no pad token; none is needed here.",
    ),
)
