"""Preference and supervised methods by name: from sampled traces, or trees, to a trained policy.

    material = Material(policy, problems, traces, judgements)
    train_offline("step_dpo", material, out="runs/dpo")

`RECIPES` has those that need nothing but traces, a scorer's judgements and the policy; `ELSEWHERE` says why the others
are called from Python. A method's published settings are the defaults; a scorer's first error is the one it states,
else its first step below 0.5 (ours). `sft`: the distinct right answers, once each, which is one round of ReST-style
self-training.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from inspect import signature
from pathlib import Path
from typing import Any

from preceptor.annotate import MonteCarlo
from preceptor.errors import InputError
from preceptor.generation import Sampling
from preceptor.judgement import Judgement, Question, Scorer, first_below
from preceptor.learn.data import alphamath, mcts_nll
from preceptor.learn.data.rows import whole_row
from preceptor.learn.preference import (
    METHODS,
    Built,
    PreferenceConfig,
    crew_dpo_pairs,
    orpo_pairs,
    step_dpo_pairs,
    step_kto_attempts,
    train_preference,
    traj_dpo_pairs,
    w_dpo_pairs,
)
from preceptor.learn.supervised import train_supervised
from preceptor.learn.supervised.rounds import rest_mcts_round, search_round
from preceptor.progress import Progress, silent
from preceptor.store import Store
from preceptor.trace import Problem, Trace


@dataclass(frozen=True)
class Material:
    """What a method learns from."""

    policy: Any
    """Loaded; trained in place."""
    problems: Sequence[Problem]
    traces: Sequence[Trace] = ()
    """Graded samples; none for a method that searches."""
    judgements: Sequence[Judgement] = ()
    """One a trace; none for a method that reads outcomes alone."""
    scorer: Scorer | None = None
    store: Store | None = None
    """Where rollouts are kept."""
    sampling: Sampling | None = None
    seed: int = 0


@dataclass(frozen=True)
class Trained:
    """Figures of a run; `model` is a directory."""

    model: Path
    metrics: Path
    steps: int
    records: int
    """Pairs, attempts or rows trained on."""
    dropped: Mapping[str, int]
    """What could not be used, by reason: by the builder, then by the training."""


@dataclass(frozen=True)
class Recipe:
    """`train(material, out, **options)`; `searches`: it samples trees of its own instead of traces."""

    train: Callable[..., Trained]
    settings: Mapping[str, Any]
    """Published, or the package's own."""
    accepts: frozenset[str]
    """Settings that can be given."""
    judged: bool = True
    searches: bool = False


def train_offline(
    method: str,
    material: Material,
    *,
    out: str | Path,
    resume: bool = False,
    progress: Progress = silent,
    **more: Any,
) -> Trained:
    """Build the method's records and train on them; `more` are settings of the training. Writes what
    `train_preference` or `train_supervised` writes. InputError where nothing is left to train on."""
    recipe = recipe_of(method)
    if unknown := sorted(set(more) - recipe.accepts):
        raise InputError(
            f"method {method}: got the settings {unknown}, expected some of {sorted(recipe.accepts)}."
        )
    if not recipe.searches and recipe.judged and len(material.judgements) != len(material.traces):
        raise InputError(
            f"method {method}: got {len(material.judgements)} judgements of {len(material.traces)} traces, expected "
            "one each. Name a scorer, or a store of labels."
        )
    options = {**recipe.settings, **more, "resume": resume, "seed": material.seed, "progress": progress}
    return recipe.train(material, Path(out), **options)


def recipe_of(method: str) -> Recipe:
    """InputError says why a method has none."""
    if method in RECIPES:
        return RECIPES[method]
    why = ELSEWHERE.get(method)
    raise InputError(
        f"method: got {method!r}, expected one of {sorted(RECIPES)}."
        if why is None
        else f"method {method}: runs from Python only: it needs {why}."
    )


def _preference(name: str, build: Callable[[Material], Built[Any]]) -> Recipe:
    def train(material: Material, out: Path, **options: Any) -> Trained:
        built = build(material)
        if not built.records:
            raise InputError(
                f"method {name}: got {len(material.traces)} traces and no pair of them ({_told(built.dropped)}), "
                "expected some. Sample more attempts a problem, or harder problems."
            )
        done = train_preference(material.policy, built.records, out=out, **options)
        dropped = Counter(built.dropped) + Counter(done.dropped)
        return Trained(done.model, done.metrics, done.steps, done.records, dict(dropped))

    accepts = {f.name for f in fields(PreferenceConfig)} - {"loss", "seed"} | {"save_every"}
    return Recipe(train, METHODS[name], frozenset(accepts))


_SUPERVISED = frozenset(signature(train_supervised).parameters) - {
    "policy",
    "rows",
    "out",
    "seed",
    "resume",
    "progress",
}
_SFT = {"epochs": 2.0, "batch": 32}


def _sft(material: Material, out: Path, **options: Any) -> Trained:
    right = {
        (t.problem.id, t.text): t
        for t in material.traces
        if t.grade is not None and t.grade.correct and t.steps
    }
    if not right:
        raise InputError(
            f"method sft: got {len(material.traces)} traces and no right one, expected some to learn from."
        )
    done = train_supervised(material.policy, [whole_row(t) for t in right.values()], out=out, **options)
    return Trained(done.model, done.metrics, done.steps, done.rows, done.dropped)


def _searched(rows: Callable[..., Any], **fixed: Any) -> Callable[..., Trained]:
    def train(material: Material, out: Path, **options: Any) -> Trained:
        strategy = alphamath.AlphaMathTraining()
        found = search_round(
            material.policy, material.problems, out=out, strategy=strategy, rows=rows, **{**fixed, **options}
        )
        done = found.policy
        return Trained(done.model, done.metrics, done.steps, done.rows, done.dropped)

    return train


def _rest_mcts(material: Material, out: Path, **options: Any) -> Trained:
    """The policy in `out/policy`, the next round's reward model in `out/reward`."""
    if material.scorer is None:
        raise InputError("method rest_mcts: got no scorer, expected one: it guides the search.")
    done = rest_mcts_round(material.policy, material.problems, material.scorer, out=out, **options).policy
    return Trained(done.model, done.metrics, done.steps, done.rows, done.dropped)


def _step_dpo(material: Material) -> Built[Any]:
    drawing = MonteCarlo(
        material.policy, sampling=material.sampling or Sampling(), store=material.store, seed=material.seed
    )
    return step_dpo_pairs(material.traces, stated(material.judgements), drawing)


def stated(judgements: Sequence[Judgement], threshold: float = 0.5) -> list[Judgement]:
    """With a first error: the one that is stated, else the first step below the threshold, where scores are of
    validity or value."""
    readable = (Question.VALIDITY, Question.VALUE)
    return [
        replace(j, first_error=first_below(j.scores, threshold))
        if j.first_error is None and j.scores is not None and j.question in readable
        else j
        for j in judgements
    ]


def _told(dropped: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {why}" for why, n in dropped.items() if n) or "nothing dropped"


RECIPES: dict[str, Recipe] = {
    "step_dpo": _preference("step_dpo", _step_dpo),
    "traj_dpo": _preference("traj_dpo", lambda m: traj_dpo_pairs(m.traces, m.judgements)),
    "step_kto": _preference("step_kto", lambda m: step_kto_attempts(m.traces, m.judgements)),
    "orpo_self": _preference("orpo_self", lambda m: orpo_pairs(m.traces, m.judgements)),
    "crew_dpo": _preference("crew_dpo", lambda m: crew_dpo_pairs(m.traces, m.judgements)),
    "steporlm": _preference("steporlm", lambda m: w_dpo_pairs(m.traces, m.judgements)),
    "sft": Recipe(_sft, _SFT, _SUPERVISED, judged=False),
    "mcts_nll": Recipe(_searched(mcts_nll.tree_rows), _SFT, _SUPERVISED, judged=False, searches=True),
    "alphamath": Recipe(
        _searched(alphamath.tree_rows),
        {**_SFT, "value_weight": 0.1},
        _SUPERVISED,
        judged=False,
        searches=True,
    ),
    "rest_mcts": Recipe(_rest_mcts, _SFT, _SUPERVISED, searches=True),
}

ELSEWHERE: dict[str, str] = {
    "longdpo": "principles, a critic and a corpus of long texts (`preference.LongDPO`)",
    "ipr": "an expert's trajectories (`preference.ipr_pairs`)",
    "mah_dpo": "pairs of several objectives, marked in `Pair.meta` (`train_preference(loss='mah_dpo', heads=...)`)",
    "ipo_safe": "a judge of safety and a pool of triggers (`preference.InterventionPairs`)",
    "fcp": "a critic (`preference.fcp_attempts`)",
    "drm_dpo": "the three-dimension reward of whole answers (`preference.best_worst_pairs`)",
    "dagger": "a teacher (`supervised.rounds.dagger`)",
    "scope_opd": "a teacher (`supervised.scope_opd`)",
    "uni_opd": "a teacher (`supervised.uni_opd`)",
    "intervention": "a writer of corrections (`data.Interventions`)",
}
"""Method -> what it needs that a command line does not give."""
