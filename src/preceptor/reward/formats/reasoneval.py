"""ReasonEval (arXiv 2404.05692): three classes per step (wrong, neutral, right), two readings of them.

Validity is p(neutral) + p(right), redundancy is p(neutral). Steps are joined by a marker that is deleted after
tokenization, so every step begins as text behind a special token does. Where a step is read differs between
the models: 7B's marker is the bos token, and the code that deletes and adds it again leaves positions one too
early. Published figures need that.
"""

from __future__ import annotations

from preceptor.judgement import Question
from preceptor.reward.format import Format
from preceptor.reward.head import Linear
from preceptor.reward.layout import Plain, Tagged
from preceptor.reward.link import Link

PROMPT = Plain("Question:\n{problem}\nAnswer:\nLet's think step by step.\n")
VALIDITY = Link("softmax", (0.0, 1.0, 1.0))
REDUNDANCY = Link("softmax", (0.0, 1.0, 0.0))
HEAD = Linear(3, "score_head")
UNSURE = (
    "blanks around a step: not found; they are stripped",
    "the architecture's name in config.json: not found",
)
EARLY = "Read one token before the last token of a step."
LATE = "Read at the last token of a step."
HIGH = "A high score says redundant; its authors' line is at 0.15, above which a step is."

REASONEVAL_7B = Format(
    name="reasoneval-7b",
    models=("GAIR/ReasonEval-7B",),
    layout=Tagged("", PROMPT, read="before-last", fresh="behind-special"),
    head=HEAD,
    link=VALIDITY,
    aggregate="min",
    unsure=UNSURE,
    notes=(EARLY, "A step of one token is read at the end of the step before it."),
)
REASONEVAL_34B = Format(
    name="reasoneval-34b",
    models=("GAIR/ReasonEval-34B",),
    layout=Tagged("", PROMPT, read="last", fresh="behind-special"),
    head=HEAD,
    link=VALIDITY,
    aggregate="min",
    unsure=UNSURE,
    notes=(LATE,),
)
REASONEVAL_7B_REDUNDANCY = Format(
    name="reasoneval-7b-redundancy",
    layout=REASONEVAL_7B.layout,
    head=HEAD,
    link=REDUNDANCY,
    question=Question.QUALITY,
    aggregate="max",
    threshold=None,
    unsure=UNSURE,
    notes=("The second reading of GAIR/ReasonEval-7B.", HIGH, EARLY),
)
REASONEVAL_34B_REDUNDANCY = Format(
    name="reasoneval-34b-redundancy",
    layout=REASONEVAL_34B.layout,
    head=HEAD,
    link=REDUNDANCY,
    question=Question.QUALITY,
    aggregate="max",
    threshold=None,
    unsure=UNSURE,
    notes=("The second reading of GAIR/ReasonEval-34B.", HIGH, LATE),
)
