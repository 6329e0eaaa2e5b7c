"""RLHFlow's PRMs and ORMs on Llama-3.1-8B: every step a user's turn, every answer a `+`.

One pass is enough: the history always holds `+`, never the model's own verdict. The probability of `+` is
read at the token before it, the blank line that closes the assistant's header.
"""

from __future__ import annotations

from preceptor.judgement import Question
from preceptor.reward.formats.turns import TurnsFormat
from preceptor.reward.head import Verbalizer
from preceptor.reward.layout import Turns
from preceptor.reward.link import Link

PLUS_MINUS = Verbalizer(("+", "-"), (10, 12))
FIRST_OF_TWO = Link("softmax", (1.0, 0.0))

RLHFLOW_PRM = TurnsFormat(
    name="rlhflow-prm",
    models=("RLHFlow/Llama3.1-8B-PRM-Deepseek-Data", "RLHFlow/Llama3.1-8B-PRM-Mistral-Data"),
    layout=Turns(),
    head=PLUS_MINUS,
    link=FIRST_OF_TWO,
    question=Question.VALUE,
    aggregate="mean",
    notes=(
        "Authors join problem and first step by one space; ProcessBench uses a blank line: open it with "
        'first="{problem}\\n\\n{step}".',
        "Some read the probability of `+` over the whole vocabulary; here as the authors do: of `+` and `-`.",
        "Steps: the answer split at blank lines (Deepseek) or at the Cyrillic tag and a line break (Mistral).",
        "The Llama-3.1 template writes a system header with dates; it stays.",
        "Search tools take the last step's score, the authors the mean.",
        "Labels are Monte Carlo estimates made hard (16 rollouts): a value, not a validity.",
    ),
)

RLHFLOW_ORM = TurnsFormat(
    name="rlhflow-orm",
    models=("RLHFlow/Llama3.1-8B-ORM-Deepseek-Data", "RLHFlow/Llama3.1-8B-ORM-Mistral-Data"),
    layout=Turns(),
    head=PLUS_MINUS,
    link=FIRST_OF_TWO,
    question=Question.VALUE,
    whole=True,
    unsure=(
        "models: full names by analogy with the PRMs (from memory)",
        "threshold: not found; 0.5 is the PRMs'",
    ),
    notes=("One turn: problem, a space and the whole answer.",),
)
