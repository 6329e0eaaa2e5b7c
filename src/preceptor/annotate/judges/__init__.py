"""Language models as judges: scorers that need no training, only a policy that can answer questions.

    step_judge.py    `StepJudge`: one question per step, answered by a weighed word or by votes
    critique.py      `Critique`: the whole solution at once, the first wrong paragraph as answer, K votes
    self_prm.py      `SelfPRM`: the writer judges its own solutions; `kept_vote`, `self_verdicts`
    criteria.py      `CriteriaJudge`: a step on several criteria; `dominates`, `pareto_pairs`
    sensitivity.py   `sensitivity`: how much verdicts depend on numbering, order and a shown answer

    asking.py        one batched call for all prompts; by weighing two words or by votes in words
    verdict.py       pure text: templates, fences around untrusted text, reading boxes and verdicts
    share.py         a share with its interval

Any policy will do: local, served, scripted. One that can weigh words (`preceptor.generation.Chooser`) gives
probabilities, any other gives votes. For a base model set `Asking(chat=False, lead="Verdict:")`.

To add a judge: a frozen dataclass with `source`, `question` and `score` that fences whatever others wrote
(`verdict.fence`), asks through `asking.Asking.request` and `asking.once`, and counts what it cannot read.
"""

from preceptor.annotate.judges.asking import Asking
from preceptor.annotate.judges.criteria import CriteriaJudge, dominates, pareto_pairs
from preceptor.annotate.judges.critique import Critique
from preceptor.annotate.judges.self_prm import SelfPRM, SelfVerdicts, kept_vote, self_verdicts
from preceptor.annotate.judges.sensitivity import Sensitivity, compared, sensitivity
from preceptor.annotate.judges.share import Share
from preceptor.annotate.judges.step_judge import StepJudge
from preceptor.annotate.judges.verdict import boxed_index, verdict_word

__all__ = [
    "Asking",
    "CriteriaJudge",
    "Critique",
    "SelfPRM",
    "SelfVerdicts",
    "Sensitivity",
    "Share",
    "StepJudge",
    "boxed_index",
    "compared",
    "dominates",
    "kept_vote",
    "pareto_pairs",
    "self_verdicts",
    "sensitivity",
    "verdict_word",
]
