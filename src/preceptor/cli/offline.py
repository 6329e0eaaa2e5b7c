"""The half of `preceptor learn` that samples, or reads a store, and then trains: preferences and right answers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from preceptor.cli import console
from preceptor.cli.options import open_store, options_of, scorer_of
from preceptor.cli.reading import labels_of
from preceptor.errors import InputError

if TYPE_CHECKING:
    from preceptor.judgement import Judgement, Scorer
    from preceptor.learn.offline import Material, Recipe
    from preceptor.store import Store
    from preceptor.trace import Problem, Trace

StoreOption = Annotated[
    Path | None,
    typer.Option(
        "--store", help="Preferences: samples and rollouts are kept there; without --scorer, its labels."
    ),
]
SourceOption = Annotated[
    str | None,
    typer.Option("--source", help="Whose labels of the store: the beginning of the source's name."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="NAME=VALUE: a setting of the training (beta=0.1, batch=32) or of --with; repeat."
    ),
]
CHUNK = 256


def trained(
    *,
    method: str,
    policy: str,
    problems: Sequence[Problem],
    held_out: Sequence[Problem],
    out: Path,
    scorer: Any,
    store: Path | None,
    source: str | None,
    steps: int | None,
    lr: float | None,
    generations: int,
    max_tokens: int,
    save_every: int,
    resume: bool,
    seed: int,
    settings: Sequence[str] | None,
) -> dict[str, Any]:
    """The record of a run, which is also left in `learn.json` beside the metrics."""
    from preceptor.learn.checkpoints import write_json
    from preceptor.learn.offline import recipe_of, train_offline
    from preceptor.learn.rollouts import trainable

    recipe = recipe_of(method)
    if store is not None and scorer is None and recipe.judged and not store.exists():
        raise InputError(
            f"--store: got {store}, no such file, expected a store with labels. Or give --scorer WORD."
        )
    given = {"steps": steps, "lr": lr, "save_every": save_every or None, **_settings(recipe, settings)}
    loaded = trainable(policy)
    before = _measured(loaded, held_out, max_tokens, seed)
    with nullcontext(None) if store is None else open_store(store) as kept:
        found = _material(
            method, recipe, loaded, problems, scorer, store, kept, source, generations, max_tokens, seed
        )
        with console.stage("learn", "steps") as line:
            options = {name: value for name, value in given.items() if value is not None}
            result = train_offline(method, found, out=out, resume=resume, progress=line, **options)
    after = _measured(trainable(str(result.model)), held_out, max_tokens, seed) if held_out else None
    record = {
        "method": method,
        "steps": result.steps,
        "model": str(result.model),
        "metrics": str(result.metrics),
        "before": estimate(before),
        "after": estimate(after),
        "traces": len(found.traces),
        "records": result.records,
        "dropped": dict(result.dropped),
    }
    write_json(result.metrics.with_name("learn.json"), record)
    return record


def estimate(found: Any) -> dict[str, Any] | None:
    """An `Accuracy` with its interval over problems; None stays None."""
    from preceptor.bench import bootstrap_mean

    return None if found is None else bootstrap_mean(found.by_problem).to_record()


def _settings(recipe: Recipe, words: Sequence[str] | None) -> dict[str, Any]:
    found = options_of(words, "--set")
    if strange := sorted(set(found) - recipe.accepts):
        raise InputError(f"--set: got {', '.join(strange)}, expected some of {sorted(recipe.accepts)}")
    return found


def _material(
    method: str,
    recipe: Recipe,
    policy: Any,
    problems: Sequence[Problem],
    scorer: Any,
    path: Path | None,
    store: Store | None,
    source: str | None,
    generations: int,
    max_tokens: int,
    seed: int,
) -> Material:
    """Samples with a scorer's judgements, or the labels of a store."""
    from preceptor.generation import Sampling
    from preceptor.learn.offline import Material

    if scorer is not None and not recipe.judged:
        raise InputError(
            f"--scorer: got one with --method {method}, which reads outcomes alone. Leave it out."
        )
    if recipe.judged and scorer is None and (path is None or recipe.searches):
        labels = "" if recipe.searches else ", or --store with labels of `preceptor label`"
        raise InputError(f"--method {method}: got no scorer, expected one: --scorer WORD{labels}.")
    judge = scorer_of(scorer) if scorer is None or isinstance(scorer, str) else scorer
    sampling = Sampling(temperature=1.0, max_tokens=max_tokens)
    traces: list[Trace] = []
    judgements: list[Judgement] = []
    if recipe.judged and judge is None and path is not None:
        asked = {p.id for p in problems}
        labels_here = labels_of(path, source)
        pairs = [(t, j) for t, j in zip(labels_here.traces, labels_here.judgements) if t.problem.id in asked]
        if not pairs:
            raise InputError(
                f"--store: got {path} without labels of these {len(problems)} problems. Label them first."
            )
        traces, judgements = [t for t, _ in pairs], [j for _, j in pairs]
    elif not recipe.searches:
        traces = _sampled(policy, problems, generations, sampling, seed, store)
        judgements = [] if judge is None else _judged(judge, traces)
    return Material(policy, problems, traces, judgements, judge, store, sampling, seed)


def _sampled(
    policy: Any, problems: Sequence[Problem], samples: int, sampling: Any, seed: int, store: Store | None
) -> list[Trace]:
    from preceptor.policy import sample

    with console.stage("sample", "traces") as line:
        return sample(policy, problems, samples, seed, sampling, store=store, progress=line)


def _judged(judge: Scorer, traces: Sequence[Trace]) -> list[Judgement]:
    found: list[Judgement] = []
    with console.stage("score", "traces") as line:
        for start in range(0, len(traces), CHUNK):
            found += judge.score(traces[start : start + CHUNK])
            line(len(found), len(traces))
    return found


def _measured(policy: Any, problems: Sequence[Problem], max_tokens: int, seed: int) -> Any:
    """Greedy accuracy; None without problems."""
    if not problems:
        return None
    from preceptor.generation import Sampling
    from preceptor.learn.rollouts import RolloutSource

    return RolloutSource(policy, Sampling(max_tokens=max_tokens), seed).accuracy(problems)
