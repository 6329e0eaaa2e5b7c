"""Train reward models that are language models, and open them again.

The same `StepTrainer` as for reward models with heads, on the log-probabilities of the tokens the model writes. Two
kinds: implicit rewards (`train_implicit`), served as the log-ratio to a reference that is recorded or kept beside the
model; and generative ones (`language_teaching.py`), served in the style they were taught in. Either directory is an
ordinary causal language model whose `config.json` says under `preceptor` how it scores; `training.json` has the keys
that every training has.

Reference log-probabilities are computed once, before training, in fp32. Left out: mixing kinds, updates of the
reference, and PRIME's online loop (its update is the CE step on fresh samples).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.errors import InputError, ModelError
from preceptor.judgement import Judgement, Question, Scorer, Source
from preceptor.progress import Progress, silent
from preceptor.reward import parity
from preceptor.reward.examples import Dropped, Group, Labelled, Labels, split
from preceptor.reward.format import KEY, context_length
from preceptor.reward.head import TokenLogprob
from preceptor.reward.language_model import LanguageModel, build_language, logprobs
from preceptor.reward.language_rows import outcome_pairs, response_examples, with_reference
from preceptor.reward.link import VALUE
from preceptor.reward.metrics import auroc
from preceptor.reward.objective import Objective
from preceptor.reward.objectives.language import Implicit
from preceptor.reward.quiet import quiet

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from preceptor.reward.training import TrainConfig

REFERENCE = "reference"
"""Folder of the copied reference, beside a model whose backbone was no directory."""


@dataclass
class Run:
    """What the two kinds of training share while they run."""

    model: LanguageModel
    tokenizer: PreTrainedTokenizerBase
    config: TrainConfig
    out: Path
    progress: Progress
    dropped: Dropped = field(default_factory=Dropped)
    begin: float = field(default_factory=time.perf_counter)

    @classmethod
    def start(cls, backbone: Any, config: TrainConfig, out: str | Path, progress: Progress) -> Run:
        from preceptor.reward.training import _seed

        if not config.train_body:
            raise InputError("train_body: got False, expected True: a language model has no head of its own")
        _seed(config.seed)
        model, tokenizer = build_language(backbone)
        return cls(model, tokenizer, config, Path(out), progress)

    @property
    def limit(self) -> int:
        """Tokens of one row."""
        context = context_length(self.model.config)
        return min(self.config.max_length or context, context)

    def fit(
        self, groups: Sequence[Group], loss: Any, record: dict[str, Any]
    ) -> tuple[Any, list[list[float]]]:
        """Train and save, with `record` in the config."""
        from preceptor.reward.training import _fit, _save

        if not groups:
            raise InputError(
                f"labels: got no usable row ({dict(self.dropped.reasons)}). Implicit objectives need traces with a "
                "decided grade, and pairs of right and wrong ones; generative ones need judged steps."
            )
        setattr(self.model.whole.config, KEY, record)
        aim = Objective(loss=loss, head=TokenLogprob(), link=VALUE)
        trainer, curve = _fit(
            self.model, self.tokenizer, groups, aim, self.config, self.out, self.progress, ()
        )
        _save(trainer, self.tokenizer, self.out)
        return trainer, curve

    def report(self, trainer: Any, scorer: Scorer, difference: float, **facts: Any) -> None:
        """Write training.json, then fail if serving and training disagree."""
        train, held = facts.pop("sides")
        checked = len(held or train)
        found = {
            "config": asdict(self.config),
            "question": scorer.question.value,
            "problems": {"train": _problems(train), "held_out": _problems(held)},
            "held_out_problems": sorted({i.trace.problem.id for i in held}),
            "dropped": dict(sorted(self.dropped.reasons.items())),
            "parity": {"traces": checked, "max_difference": difference, "tolerance": parity.TOLERANCE},
            "source": str(scorer.source),
            "seed": self.config.seed,
            "seconds": round(time.perf_counter() - self.begin, 3),
        }
        if trainer.is_world_process_zero():
            text = json.dumps(facts | found, indent=1)
            (self.out / "training.json").write_text(text + "\n", encoding="utf-8")
        parity.check(difference)


def train_language(
    labels: Labels,
    *,
    backbone: Any,
    out: str | Path,
    objective: str | Any,
    progress: Progress = silent,
    **settings: Any,
) -> Scorer:
    """Train on `labels` and return the scorer as loaded from `out`.

    `objective`: a name of `LANGUAGE_OBJECTIVES`, or an `Implicit`, `GenerativeSFT` or `GenerativeDPO`; `settings`:
    fields of `TrainConfig`. Implicit objectives use the traces' grades alone. Raises InputError when nothing
    can be learned from, ModelError when the backbone does not fit, CheckFailed when serving and training disagree.
    """
    from preceptor.reward.language_teaching import train_generative
    from preceptor.reward.objectives.language import LANGUAGE_OBJECTIVES
    from preceptor.reward.training import TrainConfig

    name = objective if isinstance(objective, str) else type(objective).__name__
    aim = LANGUAGE_OBJECTIVES.get(objective) if isinstance(objective, str) else objective
    if aim is None:
        raise InputError(f"objective: got {objective!r}, expected one of {sorted(LANGUAGE_OBJECTIVES)}")
    run = Run.start(backbone, TrainConfig(**settings), out, progress)
    if isinstance(aim, Implicit):
        return train_implicit(labels, run, aim, backbone, name)
    return train_generative(labels, run, aim, name)


def train_implicit(labels: Labels, run: Run, aim: Implicit, backbone: Any, name: str) -> Scorer:
    """Outcomes in, a log-ratio scorer out."""
    config, make = run.config, outcome_pairs if aim.pairs else _singles
    items = graded(labels, run.dropped)
    sides = split(items, config.held_out, config.seed)
    groups = make(run.tokenizer, sides[0], run.limit, run.dropped)
    base, reference = run.model, _place(backbone, aim)
    if aim.reference is not None:
        base, _ = build_language(aim.reference)
        base.to(run.model.device)
    held = response_examples(run.tokenizer, sides[1] or sides[0], run.limit, Dropped())
    rows = [e.row for group in groups for e in group]
    known = logprobs(base, rows, config.batch_tokens)
    before = logprobs(base, [e.row for e in held], config.batch_tokens)
    if reference is None and groups:
        reference = REFERENCE
        base.save(run.out / REFERENCE)
        run.tokenizer.save_pretrained(run.out / REFERENCE)
    record = {"version": 2, "kind": "implicit", "form": aim.form, "beta": aim.beta, "coef": aim.beta}
    trainer, curve = run.fit(
        with_reference(groups, known), aim.loss(), {**record, "reference": reference, "name": name}
    )
    after = trainer.score_rows([e.row for e in held], VALUE)
    trained = [
        aim.beta * math.fsum(a - b for a, b in zip(x, y, strict=True))
        for x, y in zip(after, before, strict=True)
    ]
    scorer = open_language(run.out, device=str(run.model.device))
    by_step: Any = replace(scorer, form="single", sigmoid=False, threshold=None)  # type: ignore[type-var]
    shown = _fitting(sides[1] or sides[0], run)
    served = [
        sum(s for s in j.scores or () if s is not None) for j in by_step.score([i.trace for i in shown])
    ]
    difference = max((abs(a - b) for a, b in zip(trained, served, strict=True)), default=0.0)
    right = np.array([i.outcome == 1.0 for i in shown], dtype=bool)
    figures = {"traces": len(shown), "auroc": auroc(np.array(served), right)}
    run.report(
        trainer,
        scorer,
        difference,
        sides=sides,
        objective=name,
        rows=len(rows),
        loss=curve,
        held_out=figures if sides[1] else None,
    )
    return scorer


def graded(labels: Labels, dropped: Dropped) -> list[Labelled]:
    """Every trace of decided outcome once, whatever its judgements are; undecided is not wrong."""
    out = []
    for trace in {t.id: t for t in labels.traces}.values():
        item = Labelled(
            trace,
            (None,) * len(trace.steps),
            Judgement(trace.id, Question.VALUE, Source("outcome"), None),
        )
        if item.outcome is None:
            dropped.add("no-outcome")
        else:
            out.append(item)
    return out


def open_language(directory: str | Path, **options: Any) -> Scorer:
    """The scorer of a directory that `train_language` wrote.

    Options: `device`, `dtype`; for implicit models `reference`, `coef`, `form`, `sigmoid`, `threshold` of
    `likelihood.LogRatio` (by default sigma(q_t) at the training beta, which is the chance of success); for generative
    ones `samples`, `sampling`, `seed`, `missing` of `GenerativePRM`.
    """
    from preceptor.policy import TransformersPolicy
    from preceptor.reward.model import read_config

    directory = Path(directory)
    record = getattr(read_config(directory), KEY, None)
    if not isinstance(record, dict) or record.get("kind") not in KINDS:
        raise ModelError(
            f"{directory}: got {record} as its {KEY!r} record, expected one of the kinds {sorted(KINDS)}. Open "
            "it with load_scorer."
        )
    place: dict[str, Any] = {k: options.pop(k) for k in ("device", "dtype") if k in options}
    with quiet():
        policy = TransformersPolicy.load(directory, **place)
    try:
        return KINDS[record["kind"]](directory, record, policy, place, options)
    except (KeyError, TypeError) as e:
        raise ModelError(
            f"{directory}: its record {record} does not fit the options {options} ({type(e).__name__}: {e})"
        ) from e


def _open_implicit(
    directory: Path, record: dict[str, Any], policy: Any, place: dict[str, Any], options: dict[str, Any]
) -> Scorer:
    from preceptor.policy import TransformersPolicy
    from preceptor.reward.likelihood.log_ratio import LogRatio

    reference = options.pop("reference", None) or record["reference"]
    reference = str(directory / REFERENCE) if reference == REFERENCE else reference
    with quiet():
        other: Any = None if reference == "none" else TransformersPolicy.load(reference, **place)
    sigmoid = options.pop("sigmoid", True)
    given = {"coef": record["coef"], "threshold": 0.5 if sigmoid else None} | options
    return LogRatio(policy, other, sigmoid=sigmoid, **given)


def _open_generative(
    directory: Path, record: dict[str, Any], policy: Any, place: dict[str, Any], options: dict[str, Any]
) -> Scorer:
    from preceptor.reward.generative import GenerativePRM, style_from_record

    given = {"chat": record["chat"]} | options
    return GenerativePRM(policy, style_from_record(record["style"]), **given)


KINDS = {"generative": _open_generative, "implicit": _open_implicit}


def _place(backbone: Any, aim: Implicit) -> str | None:
    """What the record says of the reference; None: it has to be kept beside the model."""
    if aim.reference is not None:
        backbone = aim.reference
    if not isinstance(backbone, str | Path):
        return None
    return str(Path(backbone).resolve()) if Path(backbone).exists() else str(backbone)


def _singles(tokenizer: Any, items: Sequence[Labelled], limit: int, dropped: Dropped) -> list[Group]:
    return [(e,) for e in response_examples(tokenizer, items, limit, dropped)]


def _fitting(items: Sequence[Labelled], run: Run) -> list[Labelled]:
    """Those of which `response_examples` makes a row."""
    return [i for i in items if response_examples(run.tokenizer, [i], run.limit, Dropped())]


def _problems(items: Sequence[Labelled]) -> int:
    return len({item.trace.problem.prompt for item in items})
