"""Labels from people: task files out, answers back as judgements.

    tasks.py      `make_tasks`: traces, proposals and hidden quality-control items as JSON lines to fill in
    answers.py    `read_answers`: filled files as judgements, with what was wrong and who failed the controls
    agreement.py  Cohen's and Fleiss' kappa
    settle.py     `settle`: one label per trace out of several annotators'

What people label is chosen in `combine/` (`convincing`, `opv_selection`). One more kind of answer: a field under
`answer` in `tasks.py`, and its reader in `answers.py`.
"""

from preceptor.annotate.human.agreement import Agreement, agreement, cohen_kappa, fleiss_kappa
from preceptor.annotate.human.answers import Answers, read_answers
from preceptor.annotate.human.settle import settle
from preceptor.annotate.human.tasks import INSTRUCTIONS, Control, Task, Tasks, make_tasks

__all__ = [
    "INSTRUCTIONS",
    "Agreement",
    "Answers",
    "Control",
    "Task",
    "Tasks",
    "agreement",
    "cohen_kappa",
    "fleiss_kappa",
    "make_tasks",
    "read_answers",
    "settle",
]
