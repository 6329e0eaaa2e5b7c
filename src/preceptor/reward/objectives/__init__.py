"""Training objectives by name, each a composition of head, link, rows and loss (see `objective.py`).

    binary.py    one label per step: soft and hard, sigmoid and softmax; outcome models

To add one: a function or constant in a file here that gives an `Objective`, a row in `OBJECTIVES`, and a case
in `benchmarks/objectives.py`. Users' own: any `Objective` goes to `train(objective=...)`.
"""

from __future__ import annotations

from preceptor.reward.objective import Objective
from preceptor.reward.objectives.binary import HARD_BCE, HARD_CE, ORM, SOFT_BCE, SOFT_CE

OBJECTIVES: dict[str, Objective] = {
    "hard-bce": HARD_BCE,
    "hard-ce": HARD_CE,
    "orm": ORM,
    "soft-bce": SOFT_BCE,
    "soft-ce": SOFT_CE,
}

__all__ = ["OBJECTIVES", "Objective"]
