"""`preceptor label` and `preceptor methods`: step labels by any method, and the list of them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from inspect import Parameter, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from preceptor.cli import console
from preceptor.cli.options import (
    AsJson,
    Count,
    Options,
    ProblemsWord,
    Seed,
    StoreWord,
    options_of,
    policy_of,
    problems_of,
    stored_traces,
)
from preceptor.errors import InputError

if TYPE_CHECKING:
    from preceptor.annotate import Labels
    from preceptor.generation import Continuation
    from preceptor.judgement import Scorer
    from preceptor.store import Store

MIXED = {
    "active-judge": "an ensemble's members and a judge, two methods or more,",
    "consensus": "two methods",
    "dyve": "two methods that must agree",
    "weak-supervision": "two methods or more",
}
"""Methods made of other methods: `--of NAME`, repeated, in the order of their fields."""
SHARED = {"rollouts", "chat"}
"""Settings that a method made of others hands to its parts."""


def label(
    method: Annotated[
        str, typer.Option("--method", help="A name from `preceptor methods`, or MODULE:CLASS.")
    ],
    problems: ProblemsWord,
    store: StoreWord,
    policy: Annotated[
        str | None, typer.Option("--policy", help="Who completes prefixes, or judges (as for sample).")
    ] = None,
    rollouts: Annotated[
        int | None, typer.Option(min=1, help="Completions per probed prefix; the method's own by default.")
    ] = None,
    option: Options = None,
    of: Annotated[
        list[str] | None, typer.Option("--of", help="For methods made of methods: their parts, in order.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the work.")] = 1,
    unsafe_code: Annotated[
        bool, typer.Option("--unsafe-code", help="Run programs also where this system cannot seal them off.")
    ] = False,
    n: Count = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Label the steps of stored traces. Safe to kill: a second start continues and repeats nothing.

    Rollouts are kept in the store, so a second method pays only for what is new. Settings of a method go by
    --option: target=soft, confidence=0.99, budget=40, chat=false.

    \b
      preceptor label --method math-shepherd --policy world:arithmetic --problems world:arithmetic --n 64 \\
                      --store run.db
    """
    from preceptor.annotate import annotator
    from preceptor.annotate.workers import label_with_workers

    if ":" in method:
        sys.path.insert(0, "")
    annotator(method)
    asked = problems_of(problems, n, seed)
    settings: dict[str, Any] = {"seed": seed, **options_of(option)}
    if rollouts is not None:
        settings["rollouts"] = rollouts
    if unsafe_code:
        settings["unsafe_code"] = True
    make = partial(built, method, policy, settings, tuple(of or ()))
    with counting_store(store) as kept:
        traces = stored_traces(kept, asked)
        with console.stage("label", "traces") as line:
            labels = label_with_workers(make, traces, kept, workers, progress=line)
    first = labels.judgements[0]
    result = {
        "method": method,
        "source": str(first.source),
        "question": first.question.value,
        **_figures(labels, kept.served if workers == 1 else None),
        "store": str(store),
    }
    console.emit(result, as_json, _words(result))


def built(
    method: str, policy: str | None, settings: dict[str, Any], parts: Sequence[str], store: Store
) -> Scorer:
    """The method with these settings; one that it lacks, or that is no number where one is due, is an error."""
    from preceptor.annotate import annotator

    cls = annotator(method)
    has = signature(cls).parameters
    named = {name: value for name, value in settings.items() if name != "seed"}
    given: dict[str, Any] = {k: v for k, v in {"seed": settings["seed"], "store": store}.items() if k in has}
    if parts or method in MIXED:
        given |= _parts(method, parts, policy, settings, store)
        named = {name: value for name, value in named.items() if name not in SHARED or name in has}
    if "asking" in has and "chat" in named:
        from preceptor.annotate.judges import Asking

        given["asking"] = Asking(chat=bool(named.pop("chat")))
    if named.pop("unsafe_code", False):
        given |= _unsealed(method, has)
    _check(method, named, {name: has[name].default for name in has if _plain(has[name])} | _chat(has))
    if "policy" in has:
        if policy is None:
            raise InputError(f"--policy: method {method!r} asks a policy and got none. Give --policy P.")
        given["policy"] = policy_of(policy)
    try:
        return cls(**given, **named)
    except TypeError as error:
        raise InputError(f"method {method}: {error}. What is no number or word is set in Python.") from error


def _unsealed(method: str, has: Mapping[str, Parameter]) -> dict[str, Any]:
    """The method's own sandbox, allowed to run without a seal."""
    if "sandbox" not in has:
        raise InputError(f"--unsafe-code: {method} runs no programs. Drop it.")
    return {"sandbox": replace(has["sandbox"].default, unsafe=True)}


def _plain(parameter: Parameter) -> bool:
    """Can the command line set it?"""
    number = str(parameter.annotation) in ("int | None", "float | None")
    return number or isinstance(parameter.default, int | float | str)


def _chat(has: Mapping[str, Parameter]) -> dict[str, Any]:
    return {"chat": True} if "asking" in has else {}


def _check(method: str, named: dict[str, Any], settings: dict[str, Any]) -> None:
    if strange := sorted(set(named) - set(settings)):
        raise InputError(f"--option: {method} has no setting {strange}; it has {sorted(settings)}")
    for name, value in named.items():
        if isinstance(value, str) and not isinstance(settings[name], str):
            raise InputError(f"--option {name}: got {value!r}, expected a number, true or false")


def _parts(
    method: str, parts: Sequence[str], policy: str | None, settings: dict[str, Any], store: Store
) -> dict[str, Any]:
    """The fields that hold other methods. `--rollouts` and `--option chat` go to the parts that have them."""
    if method not in MIXED:
        raise InputError(
            f"--of: {method} is not made of other methods; {', '.join(MIXED)} are. Leave it out."
        )
    if len(parts) < 2 or (len(parts) > 2 and method in ("consensus", "dyve")):
        raise InputError(f"--of: {method} is made of {MIXED[method]} and got {len(parts)}. Repeat --of NAME.")
    scorers = [_part(part, policy, settings, store) for part in parts]
    if method == "weak-supervision":
        return {"parts": tuple(scorers)}
    if method == "active-judge":
        return {"members": tuple(scorers[:-1]), "judge": scorers[-1]}
    if method == "consensus":
        return {"first": scorers[0], "second": scorers[1]}
    from preceptor.annotate import Consensus

    return {"consensus": Consensus(scorers[0], scorers[1])}


def _part(name: str, policy: str | None, settings: dict[str, Any], store: Store) -> Scorer:
    from preceptor.annotate import annotator

    has = signature(annotator(name)).parameters
    takes = {"seed", *(SHARED & {*has, *_chat(has)})}
    return built(name, policy, {k: v for k, v in settings.items() if k in takes}, (), store)


def counting_store(path: Path) -> Any:
    """A store that counts the tokens of the rollouts it hands out in `served`.

    The ledger's `reused` cannot tell: it also has the prefixes that an engine keeps in its cache.
    """
    from preceptor.store import Store

    class Counting(Store):
        served = 0

        def get_rollouts(self, keys: Iterable[str]) -> dict[str, Continuation]:
            found = super().get_rollouts(keys)
            self.served += sum(c.usage.generated for c in found.values())
            return found

    return Counting(path)


def _figures(labels: Labels, served: int | None) -> dict[str, Any]:
    judged = [j for j in labels.judgements if j.scores is not None]
    steps = sum(s is not None for j in judged for s in j.scores or ())
    policy, scorer = labels.usage.policy, labels.usage.scorer
    spent = policy.generated + scorer.generated
    return {
        "traces": len(labels),
        "labelled": len(judged),
        "failed": len(labels) - len(judged),
        "errors": labels.errors,
        "step_labels": steps,
        "with_error": sum(j.first_error is not None and j.first_error >= 0 for j in judged),
        "calls": policy.calls + scorer.calls,
        "generated_tokens": policy.generated,
        "judge_tokens": scorer.generated,
        "scored_tokens": scorer.scored,
        "reused_tokens": policy.reused,
        "stored_tokens": served,
        "saved": served / (spent + served) if served is not None and spent + served else None,
        "tokens_per_label": spent / steps if steps else None,
    }


def _words(r: dict[str, Any]) -> str:
    failed = ", ".join(f"{count} {kind}" for kind, count in r["errors"].items())
    lines = [
        f"{r['labelled']} of {r['traces']} traces labelled ({r['step_labels']} steps) by {r['source']}, question: "
        f"{r['question']}",
        f"generated {r['generated_tokens']:,} tokens for rollouts and {r['judge_tokens']:,} by judges "
        f"in {r['calls']:,} calls",
    ]
    if r["tokens_per_label"] is not None:
        lines[1] += f": {r['tokens_per_label']:.1f} a label"
    if r["stored_tokens"]:
        lines.append(
            f"took {r['stored_tokens']:,} tokens of rollouts from the store: {r['saved']:.0%} of the work was there"
        )
    if failed:
        lines.append(f"not labelled: {failed}")
    return "\n".join(lines)


def methods(as_json: AsJson = False) -> None:
    """List the labelling methods: the question each answers and what a trace costs.

    T steps, K rollouts per prefix, e the first error, M votes.

    \b
      preceptor methods --json
    """
    from preceptor.annotate import ANNOTATORS, annotator

    rows = []
    for name in ANNOTATORS:
        cls = annotator(name)
        has = signature(cls).parameters
        rows.append(
            {
                "method": name,
                "question": getattr(getattr(cls, "question", None), "value", "as its parts"),
                "needs_policy": "policy" in has,
                "shares_rollouts": {"policy", "store"} <= set(has),
                "cost": getattr(cls, "cost", "nothing"),
            }
        )
    shown = [[r["method"], r["question"], "yes" if r["needs_policy"] else "no", r["cost"]] for r in rows]
    width = max(len(str(r[0])) for r in shown)
    lines = [f"{'method':<{width}}  {'question':<13}  policy  cost of a trace"]
    lines += [f"{m:<{width}}  {q:<13}  {p:<6}  {c}" for m, q, p, c in shown]
    console.emit({"methods": rows}, as_json, "\n".join(lines))
