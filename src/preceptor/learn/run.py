"""Train a policy by reinforcement: sample, grade, score steps, assign credit, update, measure."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.credit import METHODS, CreditConfig
from preceptor.errors import InputError
from preceptor.generation import Sampling
from preceptor.judgement import Scorer
from preceptor.learn.directory import RunDirectory
from preceptor.learn.monitor import HackWarning, Monitor
from preceptor.learn.rollouts import Accuracy, RolloutSource, TrainablePolicy, needs_trl, trainable
from preceptor.learn.settings import Settings, wanted
from preceptor.progress import Progress, silent
from preceptor.trace import Problem, content_id
from preceptor.usage import Ledger

if TYPE_CHECKING:
    from preceptor.learn.data.hooks import Amend, Prepare
    from preceptor.learn.session import Session


@dataclass(frozen=True)
class LearnResult:
    """What came of a run. Accuracies are None where no held-out problems were given."""

    model: Path
    """Directory in the Hugging Face format; adapters are merged into it."""
    metrics: Path
    steps: int
    """Steps made: fewer than asked for where a warning stopped the run."""
    before: Accuracy | None
    after: Accuracy | None
    undecided: int
    """Training completions without a verdict."""
    usage: Ledger
    """`policy`: all sampling, held-out included; `scorer`: everything the scorer spent."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """generation, grading, scoring, credit, update, evaluation."""
    stopped: HackWarning | None = None
    """The warning that ended the run."""

    def to_record(self) -> dict[str, Any]:
        """JSON; paths are those of the directory it lies in and are left away."""
        return {
            "steps": self.steps,
            "before": None if self.before is None else self.before.to_record(),
            "after": None if self.after is None else self.after.to_record(),
            "undecided": self.undecided,
            "usage": self.usage.to_record(),
            "seconds": dict(self.seconds),
            "stopped": None if self.stopped is None else asdict(self.stopped),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any], here: RunDirectory) -> LearnResult:
        return cls(
            model=here.model,
            metrics=here.metrics,
            steps=record["steps"],
            before=Accuracy.from_record(record["before"]),
            after=Accuracy.from_record(record["after"]),
            undecided=record["undecided"],
            usage=Ledger.from_record(record["usage"]),
            seconds=record["seconds"],
            stopped=None if record["stopped"] is None else HackWarning(**record["stopped"]),
        )


def learn(
    policy: str | Path | TrainablePolicy,
    problems: Sequence[Problem],
    *,
    out: str | Path,
    method: str | CreditConfig = "outcome",
    scorer: Scorer | None = None,
    sampler: Callable[[TrainablePolicy, Sampling, int], RolloutSource] = RolloutSource,
    steps: int = 100,
    prompts_per_step: int = 16,
    generations: int = 8,
    num_iterations: int = 1,
    lr: float = 1e-5,
    temperature: float = 1.0,
    max_tokens: int = 256,
    kl: float = 0.0,
    micro_batch: int | None = None,
    echo: float = 0.0,
    echo_longest: int | None = None,
    ratio_free: bool = False,
    lora: int = 0,
    vllm: Mapping[str, Any] | None = None,
    held_out: Sequence[Problem] = (),
    eval_every: int = 0,
    eval_samples: int = 0,
    prepare: Prepare | None = None,
    amend: Amend | None = None,
    monitor: Monitor | None = None,
    save_every: int = 0,
    resume: bool = False,
    report_to: Sequence[str] = (),
    seed: int = 0,
    progress: Progress = silent,
) -> LearnResult:
    """Train `policy` on `problems` and save it under `out`; `Settings` explains the numbers.

    `policy`: what `load_policy` takes, or a loaded policy, whose model is then trained in place. `method`: a
    name in `preceptor.credit.METHODS` or one's own `CreditConfig`; methods that read scores need a `scorer`,
    whose question decides what progress means; one with `update` learns along. `sampler`: makes the source of
    rollouts from (policy, sampling, seed), e.g. `signals.TreeSource` for `treeps_rag`, `EpisodeSource` for agents.
    `prepare`, `amend`: see `grpo.py`; `hooks_by_name.hooks` makes those that ship. `monitor`: a `Monitor()` with limits
    of one's own; by default it warns and never stops a run.

    `save_every` N: a checkpoint every N steps; after a crash the same call with `resume=True` goes on from
    the last one and, on a CPU, ends with the same weights and rows as if nothing had happened. A finished run is
    read, not repeated. Under `accelerate launch` or `torchrun` the batch is split over the processes.

    Writes `out/model`, `out/metrics.jsonl` (a row a step, rows of held-out accuracy), `out/settings.json` and
    `out/result.json`. The same seed gives the same order and samples and, on a CPU, the same weights. Raises
    InputError for settings that cannot work, before anything is loaded or written, or that are not those of
    the run to resume, and MissingExtra without the extra `rl`.
    """
    credit = _credit(method, scorer)
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    settings = Settings(
        method=method if isinstance(method, str) else repr(method),
        steps=steps,
        prompts_per_step=prompts_per_step,
        generations=generations,
        num_iterations=num_iterations,
        lr=lr,
        temperature=temperature,
        max_tokens=max_tokens,
        kl=kl,
        micro_batch=micro_batch or max(1, prompts_per_step * generations // processes),
        echo=echo,
        echo_longest=echo_longest,
        ratio_free=ratio_free,
        lora=lora,
        vllm=dict(vllm or {}),
        eval_every=eval_every,
        eval_samples=eval_samples,
        seed=seed,
        processes=processes,
    )
    _check_saving(save_every, num_iterations)
    problems = _distinct(problems, prompts_per_step)
    needs_trl("policy training")
    loaded = trainable(policy)
    source = sampler(loaded, Sampling(temperature, max_tokens=max_tokens), seed)
    _check_observed(echo, source)
    hooks = {"prepare": prepare, "amend": amend}
    named = {**hooks, **({} if sampler is RolloutSource else {"sampler": sampler})}
    about = _about(settings, source, scorer, problems, held_out, named)
    here = RunDirectory(Path(out), int(os.environ.get("RANK", "0")))
    checkpoint = None
    if resume:
        here.refuse_other(about)
        if (done := here.finished()) is not None:
            return LearnResult.from_record(done, here)
        checkpoint = here.checkpoints.latest()
    _wait(processes)
    log = here.open(about, checkpoint)
    from preceptor.learn.session import Session

    session = Session(
        source,
        problems,
        list(held_out),
        credit,
        scorer,
        settings,
        log,
        here.checkpoints,
        save_every=save_every,
        monitor=monitor or Monitor(),
        progress=progress,
        report_to=report_to,
        **hooks,
    )
    session.train(checkpoint)
    return _close(session, loaded, here)


def _close(session: Session, policy: TrainablePolicy, here: RunDirectory) -> LearnResult:
    result = LearnResult(
        model=here.model,
        metrics=here.metrics,
        steps=int(session.trainer.state.global_step),
        before=session.before,
        after=session.after,
        undecided=session.undecided,
        usage=session.usage,
        seconds=session.seconds,
        stopped=session.stopped,
    )
    if session.settings.lora:
        # the adapters were put into the policy's own model; merging takes them out of it again
        session.trainer.accelerator.unwrap_model(session.trainer.model).merge_and_unload()
    if here.rank == 0:
        here.close(policy, result.to_record())
    session.trainer.accelerator.wait_for_everyone()
    policy.refresh()
    return result


def _about(
    settings: Settings,
    source: RolloutSource,
    scorer: Scorer | None,
    problems: Sequence[Problem],
    held_out: Sequence[Problem],
    hooks: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything that decides what comes out, as far as it has a name or a hash."""
    return {
        **asdict(settings),
        "scorer": None if scorer is None else str(scorer.source),
        "problems": len(problems),
        "problems_id": content_id([p.id for p in problems]),
        "held_out": len(held_out),
        "held_out_id": content_id([p.id for p in held_out]),
        "start": source.name,
        **{
            k: None if f is None else getattr(f, "__qualname__", type(f).__qualname__)
            for k, f in hooks.items()
        },
        **({"hooks": told} if (told := _settings_of_hooks(hooks)) else {}),
    }


def _settings_of_hooks(hooks: Mapping[str, Any]) -> dict[str, Any]:
    """Class -> its fields that have a value, a fingerprint or a source; state, as a list, has none of these."""
    found: dict[str, Any] = {}
    for hook in (getattr(f, "__self__", f) for f in hooks.values()):
        if is_dataclass(hook) and not isinstance(hook, type):
            values = {f.name: _identity(getattr(hook, f.name)) for f in fields(hook)}
            found[type(hook).__name__] = {k: v for k, v in values.items() if v is not None}
    return found


def _identity(value: Any) -> Any:
    if isinstance(value, str) and len(value) > 80:
        return content_id(value)
    if isinstance(value, int | float | str):
        return value
    if isinstance(value, Sampling):
        return repr(value)
    named = getattr(value, "fingerprint", None) or getattr(value, "source", None)
    return None if named is None else str(named)


def _credit(method: str | CreditConfig, scorer: Scorer | None) -> CreditConfig:
    if isinstance(method, str):
        if method not in METHODS:
            raise InputError(f"method: got {method!r}, expected one of {sorted(METHODS)} or a CreditConfig.")
        method = METHODS[method]
    missing = sorted(wanted(method) if scorer is None else wanted(method) - {"scores", "question"})
    if missing and not hasattr(scorer, "signals"):
        raise InputError(
            f"method that reads {', '.join(missing)}: got {'no scorer' if scorer is None else scorer.source}, "
            "expected one that gives them. Step scores come from any scorer, all else from one with "
            "`signals(traces)`; a method of the outcome alone needs none."
        )
    return method


def _check_saving(save_every: int, num_iterations: int) -> None:
    if save_every < 0 or save_every % num_iterations:
        raise InputError(
            f"save_every: got {save_every}, expected a multiple of num_iterations={num_iterations}: between them "
            "a batch is half used, and is not saved. 0 for no checkpoints."
        )


def _check_observed(echo: float, source: RolloutSource) -> None:
    if echo and not source.observes:
        raise InputError(
            f"echo: got {echo} with attempts that are written in one go, expected an environment that answers: "
            "nothing would be observed. Sample turn by turn (`sampler=EpisodeSource`; --episodes), or take echo=0."
        )


def _wait(processes: int) -> None:
    """Until every process has read what is on the disk."""
    if processes > 1:
        import torch
        from accelerate import PartialState

        PartialState(cpu=not torch.cuda.is_available()).wait_for_everyone()


def _distinct(problems: Sequence[Problem], prompts: int) -> list[Problem]:
    """One problem an id: two rows of one problem would draw the same completions."""
    found = list({p.id: p for p in problems}.values())
    if len(found) < prompts:
        raise InputError(
            f"problems: got {len(found)} different ones, expected at least prompts_per_step={prompts}. Give "
            "more problems or ask for fewer prompts a step."
        )
    return found
