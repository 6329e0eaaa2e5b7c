"""Math-psa (OpenR, arXiv 2410.09671): the words ` +` and ` -` at a tag of line breaks, plain text.

The public checkpoint is a PEFT adapter (rank 8, q_proj and v_proj) over Qwen2.5-Math-7B-Instruct; it is merged
into the base model that its `adapter_config.json` names, which must be a local directory or on the hub.
"""

from __future__ import annotations

from preceptor.reward.format import Format
from preceptor.reward.head import Verbalizer
from preceptor.reward.layout import Plain, Tagged
from preceptor.reward.link import Link

MATH_PSA = Format(
    name="math-psa",
    models=("openreasoner/Math-psa",),
    layout=Tagged(" \n\n\n\n\n", Plain("{problem}"), first=" ", newlines="space", ids=(76325,), single=True),
    head=Verbalizer((" +", " -"), ids=(488, 481)),
    link=Link("softmax", (1.0, 0.0)),
    aggregate="min",
    unsure=(
        "aggregation: the minimum or the last, both in its authors' search code",
        "question: what its labels say was not found; taken as validity",
    ),
    notes=(
        "The tag is one token only with its leading blank and five line breaks.",
        "Some wrappers put a blank behind the tag and number the steps; neither is done here.",
        "Line breaks inside a step become spaces.",
        "Its trainer taught the position before the tag, yet the released model is read at the tag.",
    ),
)
