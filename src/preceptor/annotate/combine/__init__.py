"""Labels made from labels: scorers made of scorers, and the choice of what is worth a label.

    weak_supervision.py   `WeakSupervision`: several scorers, merged by a label model
    label_model.py        the model for independent steps: EM over votes and abstentions, `dependent` pairs
    first_error_model.py  the model for one first error per trace, with a confusion per labeller
    consensus.py          `Consensus`: traces on which two scorers agree, with hard labels
    active.py             `ActiveJudge`: a costly scorer for the traces an ensemble is not sure of
    opv_selection.py      items on which a verifier's runs differ, for experts
    convincing.py         the most convincing wrong answers, for people
    easy_to_hard.py       problems by level or pass rate; dense rewards from step scores
    outcome_copy.py       `OutcomeCopy`, `FreePRM`: the outcome at every step
    data_report.py        outcome and step error rates; a subset with another step error rate

    parts.py              one checked call per part, summed costs

A combination asks each part once for all traces and offers `join` for judgements that are there already. To add one:
a frozen dataclass with `source`, `question` and `score` that does so, named here.
"""

from preceptor.annotate.combine.active import ActiveJudge, Trust, skipped, trusted
from preceptor.annotate.combine.consensus import Consensus
from preceptor.annotate.combine.convincing import convincing, to_label
from preceptor.annotate.combine.data_report import DataReport, at_step_error_rate, report
from preceptor.annotate.combine.easy_to_hard import by_level, by_pass_rate, dense_rewards, pass_rates
from preceptor.annotate.combine.first_error_model import Confusion, FirstErrorModel
from preceptor.annotate.combine.label_model import EM, LabelModel, dependent
from preceptor.annotate.combine.opv_selection import ForExperts, for_experts, judged_for_experts
from preceptor.annotate.combine.outcome_copy import FreePRM, OutcomeCopy
from preceptor.annotate.combine.weak_supervision import WeakSupervision

__all__ = [
    "EM",
    "ActiveJudge",
    "Confusion",
    "Consensus",
    "DataReport",
    "FirstErrorModel",
    "ForExperts",
    "FreePRM",
    "LabelModel",
    "OutcomeCopy",
    "Trust",
    "WeakSupervision",
    "at_step_error_rate",
    "by_level",
    "by_pass_rate",
    "convincing",
    "dense_rewards",
    "dependent",
    "for_experts",
    "judged_for_experts",
    "pass_rates",
    "report",
    "skipped",
    "to_label",
    "trusted",
]
