"""Options that several verbs share, and how their words become objects."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from preceptor.errors import InputError

if TYPE_CHECKING:
    from preceptor.generation import Policy
    from preceptor.judgement import Scorer
    from preceptor.store import Store
    from preceptor.trace import Problem, Trace
    from preceptor.usage import Budget

PolicyWord = Annotated[
    str,
    typer.Option(
        "--policy", help="world:arithmetic, a Hugging Face directory or hub id, or openai:URL#model."
    ),
]
ProblemsWord = Annotated[
    str,
    typer.Option(
        "--problems", help="world:NAME[?split=test&seed=0], a JSONL file, or a known data set's folder."
    ),
]
StoreWord = Annotated[Path, typer.Option("--store", help="The store: one SQLite file, made when absent.")]
ScorerWord = Annotated[
    str | None,
    typer.Option(
        "--scorer",
        help="A reward model's directory, world:NAME for the oracle, judge:POLICY, visible-tests, ...",
    ),
]
Count = Annotated[int | None, typer.Option("--n", min=1, help="At most so many problems.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of every random stream.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, everything else on stderr.")]
FormatWord = Annotated[
    str | None, typer.Option("--format", help="How the model is read: a name from `preceptor formats`.")
]
Options = Annotated[
    list[str] | None,
    typer.Option("--option", help="NAME=VALUE or NAME=@FILE for the scorer, e.g. reference=DIR; repeat."),
]
Out = Annotated[Path, typer.Option("--out", help="Directory to write to.")]


def policy_of(word: str) -> Policy:
    from preceptor.policy import load_policy

    return load_policy(word)


def problems_of(word: str, n: int | None, seed: int = 0) -> list[Problem]:
    from preceptor.worlds import load_problems

    return load_problems(word, n=n, seed=seed)


def scorer_of(word: str | None, **options: Any) -> Scorer | None:
    from preceptor.reward import load_scorer

    if word == "visible-tests":  # of the search room, which the reward room does not know
        from preceptor.search.refine import VisibleTests

        options = {name: value for name, value in options.items() if value is not None}
        try:
            return VisibleTests(**options)
        except TypeError as error:
            raise InputError(f"scorer visible-tests: got the options {sorted(options)} ({error})") from error
    return None if word is None else load_scorer(word, **options)


def budget_of(word: str | None) -> Budget | None:
    from preceptor.usage import Budget

    if word is None:
        return None
    try:
        return Budget.parse(word)
    except ValueError as error:
        raise InputError(f"--budget: {error}. Example: --budget tokens=2000") from error


def open_store(path: Path) -> Store:
    from preceptor.store import Store

    return Store(path)


def stored_traces(store: Store, problems: list[Problem]) -> list[Trace]:
    """The store's traces of these problems; InputError when there are none."""
    traces = list(store.traces([p.id for p in problems]))
    if not traces:
        raise InputError(
            f"the store has no traces of these {len(problems)} problems. Sample them first: "
            "preceptor sample --policy P --problems D --samples 8 --store S"
        )
    return traces


def grades(traces: list[Trace]) -> dict[str, Any]:
    """How many traces came out how; the rate is of the decided ones, with its 95 % interval."""
    from preceptor.bench import wilson

    correct = sum(t.grade is not None and t.grade.correct for t in traces)
    decided = sum(t.grade is not None and t.grade.decided for t in traces)
    rate = wilson(correct, decided) if decided else None
    return {
        "traces": len(traces),
        "correct": correct,
        "decided": decided,
        "undecided": len(traces) - decided,
        "failed": sum(t.error is not None for t in traces),
        "cut_at_length": sum(t.finish.value == "length" for t in traces),
        "accuracy": None if rate is None else [rate.value, rate.low, rate.high],
    }


def options_of(words: Sequence[str] | None, flag: str = "--option") -> dict[str, Any]:
    """`NAME=VALUE` as Python values: numbers, true and false by their looks, a file's text for `@FILE`.

    >>> options_of(["guided=true", "coef=0.001", "reference=base/"])
    {'guided': True, 'coef': 0.001, 'reference': 'base/'}
    """
    found: dict[str, Any] = {}
    for word in words or ():
        name, sign, value = word.partition("=")
        if not sign or not name.isidentifier() or name in ("format", "separator", "question"):
            raise InputError(f"{flag}: got {word!r}, expected NAME=VALUE or NAME=@FILE, e.g. reference=DIR")
        if value.startswith("@"):
            try:
                found[name] = Path(value[1:]).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise InputError(f"{flag} {name}: got {value[1:]}, which cannot be read ({error})") from error
            continue
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
        if not isinstance(found[name], int | float | bool):
            found[name] = value
    return found
