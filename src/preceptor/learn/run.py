"""Train a policy by reinforcement: sample, grade, score steps, assign credit, update, measure.

Left out: vLLM, adapters, several updates a batch.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.credit import METHODS, CreditConfig
from preceptor.errors import InputError, MissingExtra
from preceptor.generation import Sampling
from preceptor.judgement import Scorer
from preceptor.learn.metrics import MetricsLog
from preceptor.learn.rollouts import Accuracy, RolloutSource, TrainablePolicy
from preceptor.learn.settings import Settings
from preceptor.progress import Progress, silent
from preceptor.trace import Problem
from preceptor.usage import Ledger

if TYPE_CHECKING:
    from preceptor.learn.session import Session


@dataclass(frozen=True)
class LearnResult:
    """What came of a run. Accuracies are None where no held-out problems were given."""

    model: Path
    """Directory in the Hugging Face format."""
    metrics: Path
    steps: int
    before: Accuracy | None
    after: Accuracy | None
    undecided: int
    """Training completions without a verdict; none of them was trained on."""
    usage: Ledger
    """`policy`: all sampling, held-out included; `scorer`: everything the scorer spent."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """generation, grading, scoring, credit, update, evaluation."""


def learn(
    policy: str | Path | TrainablePolicy,
    problems: Sequence[Problem],
    *,
    out: str | Path,
    method: str | CreditConfig = "outcome",
    scorer: Scorer | None = None,
    steps: int = 100,
    prompts_per_step: int = 16,
    generations: int = 8,
    lr: float = 1e-5,
    temperature: float = 1.0,
    max_tokens: int = 256,
    kl: float = 0.0,
    micro_batch: int | None = None,
    held_out: Sequence[Problem] = (),
    eval_every: int = 0,
    eval_samples: int = 0,
    seed: int = 0,
    progress: Progress = silent,
) -> LearnResult:
    """Train `policy` on `problems` and save it under `out`; `Settings` explains the numbers.

    `policy`: what `load_policy` takes, or a loaded policy, whose model is then trained in place. `method`:
    a name in `preceptor.credit.METHODS` or one's own `CreditConfig`; methods with step rewards need a
    `scorer`, whose question decides what progress means. Undecided completions are counted, not trained on.

    Writes `out/model`, `out/metrics.jsonl` (a row a step, rows of held-out accuracy) and `out/settings.json`.
    The same seed gives the same order and samples and, on a CPU, the same weights. Raises InputError for
    settings that cannot work, before anything is loaded or written, and MissingExtra without the extra `rl`.
    """
    credit = _credit(method, scorer)
    settings = Settings(
        method=method if isinstance(method, str) else repr(method),
        steps=steps,
        prompts_per_step=prompts_per_step,
        generations=generations,
        lr=lr,
        temperature=temperature,
        max_tokens=max_tokens,
        kl=kl,
        micro_batch=micro_batch or prompts_per_step * generations,
        eval_every=eval_every,
        eval_samples=eval_samples,
        seed=seed,
    )
    problems = _distinct(problems, prompts_per_step)
    loaded = _load(policy)
    source = RolloutSource(loaded, Sampling(temperature, max_tokens=max_tokens), seed)
    log = _open(Path(out), source, settings, scorer, len(problems), len(held_out))
    from preceptor.learn.session import Session

    with tempfile.TemporaryDirectory() as scratch:
        session = Session(
            source, problems, list(held_out), credit, scorer, settings, log, progress, Path(scratch)
        )
        session.train()
    return _save(session, loaded, Path(out) / "model")


def _open(
    out: Path, source: RolloutSource, settings: Settings, scorer: Scorer | None, problems: int, held_out: int
) -> MetricsLog:
    """The run's directory with its settings and an empty log."""
    log = MetricsLog(out / "metrics.jsonl")
    about = {
        **asdict(settings),
        "scorer": None if scorer is None else str(scorer.source),
        "problems": problems,
        "held_out": held_out,
        "start": source.name,
    }
    (out / "settings.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return log


def _save(session: Session, policy: TrainablePolicy, model: Path) -> LearnResult:
    policy.model.save_pretrained(model)
    policy.tokenizer.save_pretrained(model)
    policy.refresh()
    return LearnResult(
        model=model,
        metrics=session.log.path,
        steps=session.settings.steps,
        before=session.before,
        after=session.after,
        undecided=session.undecided,
        usage=session.usage,
        seconds=session.seconds,
    )


def _credit(method: str | CreditConfig, scorer: Scorer | None) -> CreditConfig:
    if isinstance(method, str):
        if method not in METHODS:
            raise InputError(f"method: got {method!r}, expected one of {sorted(METHODS)} or a CreditConfig.")
        method = METHODS[method]
    if method.step_reward != "none" and scorer is None:
        raise InputError(
            f"method with step_reward={method.step_reward!r}: got no scorer, expected one. Give "
            "`scorer=`, or use a method of the outcome alone."
        )
    return method


def _distinct(problems: Sequence[Problem], prompts: int) -> list[Problem]:
    """One problem an id: two rows of one problem would draw the same completions."""
    found = list({p.id: p for p in problems}.values())
    if len(found) < prompts:
        raise InputError(
            f"problems: got {len(found)} different ones, expected at least prompts_per_step={prompts}. Give "
            "more problems or ask for fewer prompts a step."
        )
    return found


def _load(policy: Any) -> TrainablePolicy:
    try:
        import trl  # noqa: F401
    except ImportError as error:
        raise MissingExtra("policy training", "rl") from error
    if isinstance(policy, str | Path):
        from preceptor.policy.load import load_policy

        options = {} if str(policy).startswith("openai:") else {"dtype": "float32"}
        policy = load_policy(str(policy), **options)
    if not hasattr(policy, "model") or not hasattr(policy, "tokenizer"):
        raise InputError(
            f"policy: got a {type(policy).__name__} without weights at hand, expected a Hugging Face "
            "directory or a TransformersPolicy: a server's model cannot be trained from here."
        )
    return policy
