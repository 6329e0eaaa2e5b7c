"""Reward models that write: a language model verifies a solution in words, and its verdict is weighed.

    scorer.py     `GenerativePRM(policy, style)`: the scorer, for any policy that generates and weighs words
    genprm.py     `GenPRM`: a critique per step in one chat, with analysis and optional code
    thinkprm.py   `ThinkPRM`: one long chain about the whole solution, step verdicts in boxes
    rprm.py       `RPRM`: a prompt per step, the mean of ten analyses
    multi_rm.py   `GenORM`, `MultiGenPRM`: whole answers, the mean of ten chains

    talk.py       talks as generators, run in batches; parts that remember who wrote them
    style.py      what styles share: untrusted text, the verdict question, training texts

`formats/generative.py` opens the public checkpoints; `reward/language.py` trains such models. To add a style: a
frozen dataclass with the members of `style.Style`, a row in `STYLES`, and a record in `formats/generative.py`.
"""

from __future__ import annotations

from typing import Any

from preceptor.reward.generative.genprm import GenPRM
from preceptor.reward.generative.multi_rm import GenORM, MultiGenPRM
from preceptor.reward.generative.rprm import RPRM
from preceptor.reward.generative.scorer import GenerativePRM, style_from_record
from preceptor.reward.generative.style import Style, Taught
from preceptor.reward.generative.talk import Chain, Part
from preceptor.reward.generative.thinkprm import ThinkPRM, step_verdicts

STYLES: dict[str, Any] = {style.name: style for style in (GenPRM, ThinkPRM, RPRM, GenORM, MultiGenPRM)}

__all__ = [
    "RPRM",
    "STYLES",
    "Chain",
    "GenORM",
    "GenPRM",
    "GenerativePRM",
    "MultiGenPRM",
    "Part",
    "Style",
    "Taught",
    "ThinkPRM",
    "step_verdicts",
    "style_from_record",
]
