"""Several languages or domains in given proportions as one training set (multilingual PRMs).

`mixed` takes traces of several label sets in proportions; `translated` makes a set in another language from
labelled traces and their translated steps. MPRM is soft cross entropy on such a mixture whose `training.json`
counts first errors by language: the published check, as a model can look better by erring later. The separator
is a token, so it is the same in every language. Published: seven languages in training, eleven in evaluation.
Left out: the translating.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from preceptor.annotate.rules import aligned, error_positions, mix
from preceptor.judgement import Judgement, first_below
from preceptor.reward.examples import Labelled, Labels
from preceptor.reward.objective import Objective
from preceptor.reward.objectives.binary import SOFT_CE
from preceptor.trace import Trace, steps_from_ends

LANGUAGE = "language"
"""Key of `Problem.meta`."""


@dataclass(frozen=True)
class Mixture:
    """A label set. `dropped`: what was left out of it, by reason."""

    traces: tuple[Trace, ...]
    judgements: tuple[Judgement, ...]
    dropped: Mapping[str, int]


def language(item: Labelled) -> str:
    """The problem's language, else the world or data set it is from."""
    problem = item.trace.problem
    return str(problem.meta.get(LANGUAGE) or problem.world or "unnamed")


def mixed(
    sets: Mapping[str, Labels], proportions: Mapping[str, float], total: int, *, seed: int = 0
) -> Mixture:
    """`total` judged traces of the named sets in these proportions, without replacement. Every problem is
    marked with its set's name as its language, and prompts stay what decides the held-out split. InputError when a
    set is too small."""
    pairs = {}
    for name, of in sets.items():
        found = {t.id: t for t in of.traces}
        pairs[name] = [(found[j.trace], j) for j in of.judgements if j.trace in found]
    traces, judgements = [], []
    for name, (trace, judgement) in mix(pairs, proportions, total, seed=seed):
        problem = replace(trace.problem, meta={**trace.problem.meta, LANGUAGE: name})
        marked = replace(trace, problem=problem)
        traces.append(marked)
        judgements.append(replace(judgement, trace=marked.id))
    return Mixture(tuple(traces), tuple(judgements), {})


def translated(labels: Labels, texts: Mapping[str, tuple[str, Sequence[str]]], name: str) -> Mixture:
    """The same labels on translated traces. `texts`: per trace id the problem's and the steps' translation.
    One with another number of steps, or with an empty step, is left out and counted."""
    traces = {t.id: t for t in labels.traces}
    pairs = [(traces[j.trace], j) for j in labels.judgements if j.trace in traces]
    missing = sum(t.id not in texts for t, _ in pairs)
    known = [(t, j, *texts[t.id]) for t, j in pairs if t.id in texts]
    kept = aligned((t.step_texts, steps) for t, _, _, steps in known)
    made: list[Trace] = []
    judged: list[Judgement] = []
    for k in kept.kept:
        trace, judgement, prompt, steps = known[k]
        ends = [sum(map(len, steps[: i + 1])) for i in range(len(steps))]
        problem = replace(trace.problem, prompt=prompt, id="", meta={**trace.problem.meta, LANGUAGE: name})
        other = Trace(problem, "".join(steps), steps_from_ends(ends), trace.finish, trace.grade)
        made.append(other)
        judged.append(replace(judgement, trace=other.id))
    dropped = {**kept.dropped, **({"no-translation": missing} if missing else {})}
    return Mixture(tuple(made), tuple(judged), dropped)


def mprm(of: Callable[[Labelled], str] = language, threshold: float = 0.5) -> Objective:
    """`of`: the language of a labelled trace; a step below `threshold` is an error."""

    def describe(items: Sequence[Labelled]) -> dict[str, Any]:
        errors: dict[str, list[int | None]] = {}
        for item in items:
            errors.setdefault(of(item), []).append(first_below(item.targets, threshold))
        counted = error_positions(dict(sorted(errors.items())))
        shown = {
            name: {"unknown" if e is None else str(e): n for e, n in c.items()} for name, c in counted.items()
        }
        return {"first_errors": shown}

    return replace(SOFT_CE, describe=describe, source="Multilingual PRM")


MPRM = mprm()
