"""Training policies with process signals; thin over TRL and `transformers` (extra `rl`).

    run.py        learn(): from a policy, problems and a method to a trained model and its metrics
    session.py    one run: trainer settings, a row a step, held-out measurements
    grpo.py       CreditGRPOTrainer: GRPO with per-token advantages from `preceptor.credit`
    rollouts.py   the seam to generation: problems in, graded traces out
    settings.py   settings.json; metrics.py: metrics.jsonl

A new credit method needs nothing here: add its row to `preceptor.credit.METHODS`. A new objective
(preference, supervised) is one file beside `grpo.py` with its own entry.
"""

from typing import TYPE_CHECKING, Any

from preceptor.learn.run import LearnResult, learn

if TYPE_CHECKING:
    from preceptor.learn.grpo import CreditGRPOTrainer

__all__ = ["CreditGRPOTrainer", "LearnResult", "learn"]


def __getattr__(name: str) -> Any:
    if name == "CreditGRPOTrainer":
        from preceptor.learn.grpo import CreditGRPOTrainer

        return CreditGRPOTrainer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
