"""Training policies with process signals; thin over TRL and `transformers` (extra `rl`).

    run.py          learn(): from a policy, problems and a method to a trained model and its metrics
    parts.py        what learn() needs besides a method's name: signals, sampler, hooks, from one word
    hooks_by_name.py  the hooks of data/ by name, from problems and settings
    directory.py    what a run leaves on the disk          checkpoints.py  whole or absent; resuming
    session.py      one run: trainer settings, rows        settings.py, metrics.py: the files of these names
    grpo.py         CreditGRPOTrainer: GRPO with per-token advantages from `preceptor.credit`
    rollouts.py     the seam to generation: problems in, graded traces out
    episodes.py     turn by turn, an environment replying  first_attempts.py  every fourth draw, for R^3L
    trim.py         micro-batches of rows of like length
    figures.py      what is watched of a batch             monitor.py      what is wrong with it: HackWarning
    online.py       implicit reward models that learn along (PRIME, OPRL)
    cooper.py       a reward model that learns along from pairs (Cooper)
    verl.py         the same advantages inside verl
    offline.py      preference and supervised methods by name, from traces and judgements or from search
    signals/        what the methods read, made from traces: beliefs, verdicts, token log-ratios, trees, ...
    data/           hooks around sampling (curricula, repairs) and builders of rows to imitate
    preference/     pairs and labelled attempts, their losses, train_preference()
    supervised/     weighted likelihood, distillation, value heads, train_supervised(), rounds of self-training

A new credit method needs nothing here: add its row to `preceptor.credit.METHODS`; what it reads is a producer in
`signals/`. A new objective is a file in `preference/` or `supervised/`; a line in `offline.RECIPES` gives it a name on
the command line.
"""

from typing import TYPE_CHECKING, Any

from preceptor.learn.monitor import HackWarning, Monitor
from preceptor.learn.run import LearnResult, learn

if TYPE_CHECKING:
    from preceptor.learn.grpo import CreditGRPOTrainer

__all__ = ["CreditGRPOTrainer", "HackWarning", "LearnResult", "Monitor", "learn"]


def __getattr__(name: str) -> Any:
    if name == "CreditGRPOTrainer":
        from preceptor.learn.grpo import CreditGRPOTrainer

        return CreditGRPOTrainer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
