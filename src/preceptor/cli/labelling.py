"""`preceptor label` and `preceptor methods`: step labels by any method, and the list of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import partial
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
    open_store,
    options_of,
    policy_of,
    problems_of,
    stored_traces,
)
from preceptor.errors import InputError

if TYPE_CHECKING:
    from preceptor.annotate import Labels
    from preceptor.judgement import Scorer
    from preceptor.store import Store

MIXED = ("active-judge", "consensus", "weak-supervision")
"""Methods made of other methods: `--of NAME`, repeated, in the order of their fields."""


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
    from preceptor.annotate.workers import label_with_workers

    asked = problems_of(problems, n, seed)
    settings: dict[str, Any] = {"seed": seed, **options_of(option)}
    if rollouts is not None:
        settings["rollouts"] = rollouts
    make = partial(built, method, policy, settings, tuple(of or ()))
    with open_store(store) as kept:
        traces = stored_traces(kept, asked)
        with console.stage("label", "traces") as line:
            labels = label_with_workers(make, traces, kept, workers, progress=line)
        source, question = str(make(kept).source), make(kept).question.value
    result = {
        "method": method,
        "source": source,
        "question": question,
        **_figures(labels),
        "store": str(store),
    }
    console.emit(result, as_json, _words(result))


def built(
    method: str, policy: str | None, settings: dict[str, Any], parts: Sequence[str], store: Store
) -> Scorer:
    """The method with the settings it has fields for; settings given by name that it lacks are an error."""
    from preceptor.annotate import annotator

    cls = annotator(method)
    known = {f.name for f in fields(cls) if f.init}
    common = {"seed": settings["seed"], "store": store}
    given = {k: v for k, v in settings.items() if k != "seed"}
    if "chat" in given and "asking" in known:
        from preceptor.annotate.judges import Asking

        given["asking"] = Asking(chat=bool(given.pop("chat")))
    if strange := sorted(set(given) - known):
        raise InputError(
            f"--option: {method} has no setting {strange}; it has {sorted(known - {'store', 'policy'})}"
        )
    given |= {k: v for k, v in common.items() if k in known}
    if method in MIXED:
        return _mixed(cls, method, policy, settings, parts, store, given)
    if "policy" in known:
        if policy is None:
            raise InputError(f"--policy: method {method!r} asks a policy and got none. Give --policy P.")
        given["policy"] = policy_of(policy)
    try:
        return cls(**given)
    except TypeError as error:
        raise InputError(f"method {method}: {error}") from error


def _mixed(
    cls: type[Any],
    method: str,
    policy: str | None,
    settings: dict[str, Any],
    parts: Sequence[str],
    store: Store,
    given: dict[str, Any],
) -> Scorer:
    if len(parts) < 2:
        raise InputError(
            f"--of: {method} is made of other methods and got {len(parts)}. Give --of twice or more."
        )
    scorers = [built(part, policy, {"seed": settings["seed"]}, (), store) for part in parts]
    if method == "weak-supervision":
        return cls(tuple(scorers), **given)
    return cls(*scorers, **given)


def _figures(labels: Labels) -> dict[str, Any]:
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
        "saved": policy.reused / (spent + policy.reused) if spent + policy.reused else None,
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
    if r["reused_tokens"]:
        lines.append(
            f"reused {r['reused_tokens']:,} tokens from the store: {r['saved']:.0%} of the work was there"
        )
    if failed:
        lines.append(f"not labelled: {failed}")
    return "\n".join(lines)


def methods(as_json: AsJson = False) -> None:
    """List the labelling methods: the question each answers and what a trace costs.

    T steps, K rollouts per prefix, e the first error, M votes.

    \b
      preceptor methods
    """
    from preceptor.annotate import ANNOTATORS, annotator

    rows = []
    for name in ANNOTATORS:
        cls = annotator(name)
        question = getattr(cls, "question", None)
        asks = sorted({f.name for f in fields(cls)} & {"policy", "store"})
        rows.append(
            {
                "method": name,
                "question": getattr(question, "value", "set by option"),
                "needs_policy": "policy" in asks,
                "shares_rollouts": "store" in asks,
                "cost": getattr(cls, "cost", "nothing"),
            }
        )
    shown = [[r["method"], r["question"], "yes" if r["needs_policy"] else "no", r["cost"]] for r in rows]
    width = max(len(str(r[0])) for r in shown)
    lines = [f"{'method':<{width}}  {'question':<13}  policy  cost of a trace"]
    lines += [f"{m:<{width}}  {q:<13}  {p:<6}  {c}" for m, q, p, c in shown]
    console.emit({"methods": rows}, as_json, "\n".join(lines))
