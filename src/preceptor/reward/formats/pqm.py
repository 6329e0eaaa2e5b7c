"""PQM (arXiv 2410.11287): a value head at the special token `[PRM]`; raw values that rank steps."""

from __future__ import annotations

from preceptor.judgement import Question
from preceptor.reward.format import Format
from preceptor.reward.formats.skywork import VALUE_HEAD
from preceptor.reward.layout import Plain, Tagged
from preceptor.reward.link import VALUE

PQM = Format(
    name="pqm",
    layout=Tagged("[PRM]", Plain("[INST] {problem} [/INST]\n"), gap=" ", between="\n", single=True),
    head=VALUE_HEAD,
    link=VALUE,
    question=Question.VALUE,
    aggregate="min",
    threshold=None,
    unsure=(
        "names of the head's weights: not found; taken as v_head.summary",
        "hub ids: Windy0822/PQM-*, full names not found",
        "id of the tag: not found; looked up in the tokenizer",
        "bos token: not found; it is put first where the tokenizer has one",
        "blanks around a step: not found; they are stripped",
    ),
    notes=(
        "Values are logits of any size; they rank steps and have no threshold.",
        "A blank stands before the tag and a line break behind it.",
    ),
)
