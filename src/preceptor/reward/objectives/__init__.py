"""Training objectives by name, each a composition of head, link, rows and loss (see `objective.py`).

    binary.py    one label per step, soft and hard, sigmoid and softmax; outcome models
    value.py     OVM, TVM, discounted hindsight: values from outcomes
    noisy.py     FreePRM, SORM, SCAN: labels that are wrong in places
    ranking.py   pairs of solutions, PQM
    heads.py     BiRM's two heads, ActPRM's ensemble, one output per objective
    progress.py  PAV
    classes.py   human ratings -1, 0, 1: three classes, or two
    trajectory.py  ReasonFlux-PRM, Fin-PRM: the steps and the whole trajectory
    reference.py   Cooper: an outcome verifier that is shown the reference answer
    token_pairs.py LLM2: right tokens above sampled ones
    saffron.py   values of all next tokens at once
    bilevel.py   DreamPRM: how much each domain counts
    mixture.py   several languages in proportions
    language.py  models that stay language models (LANGUAGE_OBJECTIVES): implicit rewards, written verdicts
    rows.py      what they share

To add one: a function or constant in a file here that gives an `Objective`, a row in `OBJECTIVES`, and a case
in `tests/reward/test_objectives.py`. Users' own: any `Objective` goes to `train(objective=...)`.
"""

from __future__ import annotations

from preceptor.reward.objective import Objective
from preceptor.reward.objectives.bilevel import DREAMPRM, dreamprm
from preceptor.reward.objectives.binary import HARD_BCE, HARD_CE, ORM, SOFT_BCE, SOFT_CE
from preceptor.reward.objectives.classes import LIGHTMAN, lightman, rated
from preceptor.reward.objectives.heads import BIRM, ENSEMBLE, MULTI, birm, channels
from preceptor.reward.objectives.mixture import MPRM, mixed, mprm, translated
from preceptor.reward.objectives.noisy import FREEPRM, SCAN, SORM
from preceptor.reward.objectives.progress import PAV, pav
from preceptor.reward.objectives.ranking import PAIRWISE, PQM
from preceptor.reward.objectives.reference import COOPER, COOPER_PAIRS, cooper
from preceptor.reward.objectives.saffron import SAFFRON, saffron
from preceptor.reward.objectives.token_pairs import LLM2, Negatives, llm2
from preceptor.reward.objectives.trajectory import FINPRM, REASONFLUX, finprm, reasonflux
from preceptor.reward.objectives.value import HINDSIGHT, OVM, TVM, discounted

OBJECTIVES: dict[str, Objective] = {
    "birm": BIRM,
    "cooper": COOPER,
    "cooper-pairs": COOPER_PAIRS,
    "dreamprm": DREAMPRM,
    "ensemble": ENSEMBLE,
    "fin-prm": FINPRM,
    "freeprm": FREEPRM,
    "hard-bce": HARD_BCE,
    "hard-ce": HARD_CE,
    "hindsight": HINDSIGHT,
    "lightman": LIGHTMAN,
    "llm2": LLM2,
    "mprm": MPRM,
    "multi": MULTI,
    "orm": ORM,
    "ovm": OVM,
    "pairwise": PAIRWISE,
    "pav": PAV,
    "pqm": PQM,
    "reasonflux-prm": REASONFLUX,
    "saffron": SAFFRON,
    "scan": SCAN,
    "soft-bce": SOFT_BCE,
    "soft-ce": SOFT_CE,
    "sorm": SORM,
    "tvm": TVM,
}

__all__ = [
    "OBJECTIVES",
    "Negatives",
    "Objective",
    "birm",
    "channels",
    "cooper",
    "discounted",
    "dreamprm",
    "finprm",
    "lightman",
    "llm2",
    "mixed",
    "mprm",
    "pav",
    "rated",
    "reasonflux",
    "saffron",
    "translated",
]
