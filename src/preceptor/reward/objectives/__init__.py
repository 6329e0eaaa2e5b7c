"""Training objectives by name, each a composition of head, link, rows and loss (see `objective.py`).

    binary.py    one label per step, soft and hard, sigmoid and softmax; outcome models
    value.py     OVM, TVM, discounted hindsight: values from outcomes
    noisy.py     FreePRM, SORM, SCAN: labels that are wrong in places
    ranking.py   pairs of solutions, PQM
    heads.py     BiRM's two heads, ActPRM's ensemble, one output per objective
    progress.py  PAV
    rows.py      what they share

To add one: a function or constant in a file here that gives an `Objective`, a row in `OBJECTIVES`, and a case
in `tests/reward/test_objectives.py`. Users' own: any `Objective` goes to `train(objective=...)`.
"""

from __future__ import annotations

from preceptor.reward.objective import Objective
from preceptor.reward.objectives.binary import HARD_BCE, HARD_CE, ORM, SOFT_BCE, SOFT_CE
from preceptor.reward.objectives.heads import BIRM, ENSEMBLE, MULTI, birm, channels
from preceptor.reward.objectives.noisy import FREEPRM, SCAN, SORM
from preceptor.reward.objectives.progress import PAV, pav
from preceptor.reward.objectives.ranking import PAIRWISE, PQM
from preceptor.reward.objectives.value import HINDSIGHT, OVM, TVM, discounted

OBJECTIVES: dict[str, Objective] = {
    "birm": BIRM,
    "ensemble": ENSEMBLE,
    "freeprm": FREEPRM,
    "hard-bce": HARD_BCE,
    "hard-ce": HARD_CE,
    "hindsight": HINDSIGHT,
    "multi": MULTI,
    "orm": ORM,
    "ovm": OVM,
    "pairwise": PAIRWISE,
    "pav": PAV,
    "pqm": PQM,
    "scan": SCAN,
    "soft-bce": SOFT_BCE,
    "soft-ce": SOFT_CE,
    "sorm": SORM,
    "tvm": TVM,
}

__all__ = ["OBJECTIVES", "Objective", "birm", "channels", "discounted", "pav"]
