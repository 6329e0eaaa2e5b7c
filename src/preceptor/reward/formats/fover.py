"""FoVer: PRMs trained on labels of formal tools; chat turns answered by the word `correct` or `incorrect`."""

from __future__ import annotations

from preceptor.reward.formats.rlhflow import FIRST_OF_TWO
from preceptor.reward.formats.turns import TurnsFormat
from preceptor.reward.head import Verbalizer
from preceptor.reward.layout import Turns

FIRST = (
    "Problem:\n{problem}\n\nJudge every step of the solution: answer `correct` when it is right or makes no claim, "
    "`incorrect` when it holds an error.\n\nSolution:\n{step}"
)

FOVER = TurnsFormat(
    name="fover",
    layout=Turns(first=FIRST, verdict="correct"),
    head=Verbalizer(("correct", "incorrect")),
    link=FIRST_OF_TWO,
    aggregate="min",
    paraphrased="first",
    source="src/prm/preprocessing.py of psunlpgroup/FoVer",
    unsure=(
        "link, two-way softmax of the words' first tokens: from memory",
        "models: the full names under ryokamoi/*-FoVer-PRM were not found",
        "first turn: the authors' text is not in our source; the default is a paraphrase",
    ),
    notes=(
        "Llama-3.1 and Qwen2.5 checkpoints: the turn markers are those of the checkpoint's own chat template.",
        "`incorrect` is several tokens for many tokenizers; its first one is compared.",
    ),
)
