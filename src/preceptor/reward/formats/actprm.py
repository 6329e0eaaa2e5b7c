"""ActPRM (arXiv 2504.10559): 32 small heads at `<extra_0>`, their mean as score and their spread as doubt.

The steps follow the chat template's generation prompt without an end of turn. `actprm-spread` reads the same
checkpoint's standard deviation over heads; `losses/ensemble.py` has the rule that says which steps to trust.
"""

from __future__ import annotations

from preceptor.judgement import Question
from preceptor.reward.format import Format
from preceptor.reward.head import Ensemble
from preceptor.reward.layout import Chat, Tagged
from preceptor.reward.link import SIGMOID, Link

SYSTEM = (
    "You are a helpful and harmless assistant. You should think step-by-step and put your final answer within "
    "\\boxed{}."
)

ACTPRM = Format(
    name="actprm",
    models=("ActPRM/ActPRM", "ActPRM/ActPRM-X", "sail/ActPRM", "sail/ActPRM-X"),
    architectures=("Qwen2ForEnsemblePRM",),
    layout=Tagged("<extra_0>", Chat(SYSTEM, generation_prompt=True), ids=(151665,), single=True),
    head=Ensemble(32, 128),
    link=SIGMOID,
    aggregate="first_error:0.5",
    notes=(
        "`<extra_0>` has another id than in Qwen's own reward models: use the checkpoint's tokenizer.",
        "`score.reg_model.*` is a copy of the first weights for the training penalty, and is not read.",
        "The heads are computed in fp32.",
        "The context is 4096 tokens.",
    ),
)
ACTPRM_SPREAD = Format(
    name="actprm-spread",
    layout=ACTPRM.layout,
    head=ACTPRM.head,
    link=Link("sigmoid", spread=True),
    question=Question.QUALITY,
    aggregate="max",
    threshold=None,
    unsure=("aggregation: not found",),
    notes=(
        "A second reading of ActPRM's checkpoints: by how much the 32 heads differ.",
        "A high score says doubt. A step is trusted when this is at most 0.01 and the score of `actprm` is at "
        "least 0.9 or at most 0.1 (the repository's defaults).",
    ),
)
