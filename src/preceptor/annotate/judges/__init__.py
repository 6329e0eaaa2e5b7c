"""Language models as judges: scorers that need no training, only a policy that can answer questions.

    step_judge.py    `StepJudge`: one question per step, answered by a weighed word or by votes
    critique.py      `Critique`: the whole solution at once, the first wrong paragraph as answer, K votes
    self_prm.py      `SelfPRM`: the writer judges its own solutions; `kept_vote`, `self_verdicts`
    criteria.py      `CriteriaJudge`: a step on several criteria; `dominates`, `pareto_pairs`
    spare.py         `Spare`: one generation aligns all steps with a reference; pairs in `spare_pairs.py`
    spark.py         `Spark`: many verifications, four ways to merge them; text format in `verification.py`
    consensus_steps.py  `ConsensusSteps`: labels that a reasoning judge confirms (Dyve), and its training rows
    natural_program.py  `NaturalProgram`: each step by the lines it cites alone; text in `program.py`
    data_prm.py      `DataPRM`: turns of an agent, judged by one that runs code of its own
    rubric.py        `RubricJudge`: a rubric per problem, miracle steps; text in `rubric_text.py`
    opv.py           `OPV`: first wrong key step of a summary by M runs; `summary.py` keeps the spans
    sneaky.py        `SneakyGenerator`: planted errors proved by rollouts; text in `sneaky_text.py`
    sensitivity.py   `sensitivity`: how much verdicts depend on numbering, order and a shown answer

    asking.py        one batched call for all prompts; by weighing two words or by votes in words
    verdict.py       pure text: templates, fences around untrusted text, reading boxes and verdicts
    checks.py        pure text: steps as numbered lines, and the check that comes before a verdict
    loose_json.py    pure text: objects out of JSON as models write it
    share.py         a share with its interval

Any policy will do: local, served, scripted. One that can weigh words (`preceptor.generation.Chooser`) gives
probabilities, any other gives votes. For a base model set `Asking(chat=False, lead="Verdict:")`.

To add a judge: a frozen dataclass with `source`, `question` and `score` that fences whatever others wrote
(`verdict.fence`), asks through `asking.Asking.request` and `asking.once`, and counts what it cannot read.
"""

from preceptor.annotate.judges.asking import Asking
from preceptor.annotate.judges.consensus_steps import ConsensusSteps
from preceptor.annotate.judges.criteria import CriteriaJudge, dominates, pareto_pairs
from preceptor.annotate.judges.critique import Critique
from preceptor.annotate.judges.data_prm import DataPRM
from preceptor.annotate.judges.natural_program import NaturalProgram, contenders, unanimity_plurality
from preceptor.annotate.judges.opv import OPV, index_reward, rejection_targets, uncertainty, uncertainty_of
from preceptor.annotate.judges.program import Program, cited_by_numbers
from preceptor.annotate.judges.rubric import RubricJudge, verified_pass_at_n
from preceptor.annotate.judges.rubric_text import Criterion, Rubric
from preceptor.annotate.judges.self_prm import SelfPRM, SelfVerdicts, kept_vote, self_verdicts
from preceptor.annotate.judges.sensitivity import Sensitivity, compared, sensitivity
from preceptor.annotate.judges.share import Share
from preceptor.annotate.judges.sneaky import Sneak, SneakyGenerator, accepted, critic, rewards
from preceptor.annotate.judges.spare import Spare
from preceptor.annotate.judges.spare_pairs import Preference, preferences
from preceptor.annotate.judges.spark import Spark, Verification, kept_verification, step_majority
from preceptor.annotate.judges.step_judge import StepJudge
from preceptor.annotate.judges.summary import Summary
from preceptor.annotate.judges.verdict import boxed_index, verdict_word

__all__ = [
    "OPV",
    "Asking",
    "ConsensusSteps",
    "CriteriaJudge",
    "Criterion",
    "Critique",
    "DataPRM",
    "NaturalProgram",
    "Preference",
    "Program",
    "Rubric",
    "RubricJudge",
    "SelfPRM",
    "SelfVerdicts",
    "Sensitivity",
    "Share",
    "Sneak",
    "SneakyGenerator",
    "Spare",
    "Spark",
    "StepJudge",
    "Summary",
    "Verification",
    "accepted",
    "boxed_index",
    "cited_by_numbers",
    "compared",
    "contenders",
    "critic",
    "dominates",
    "index_reward",
    "kept_verification",
    "kept_vote",
    "pareto_pairs",
    "preferences",
    "rejection_targets",
    "rewards",
    "self_verdicts",
    "sensitivity",
    "step_majority",
    "unanimity_plurality",
    "uncertainty",
    "uncertainty_of",
    "verdict_word",
    "verified_pass_at_n",
]
