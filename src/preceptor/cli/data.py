"""`preceptor sample` and `preceptor label`: traces and their labels, in a store."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any

import typer

from preceptor.cli import console
from preceptor.cli.options import (
    AsJson,
    Count,
    PolicyWord,
    ProblemsWord,
    Seed,
    StoreWord,
    grades,
    open_store,
    policy_of,
    problems_of,
    stored_traces,
)
from preceptor.errors import InputError


def sample(
    policy: PolicyWord,
    problems: ProblemsWord,
    store: StoreWord,
    samples: Annotated[int, typer.Option("--samples", min=1, help="Traces per problem.")] = 8,
    n: Count = None,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 is greedy.")] = 1.0,
    max_tokens: Annotated[int, typer.Option(min=1, help="New tokens per trace.")] = 256,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Sample whole traces, grade them and keep them in a store.

    A second run with the same arguments samples nothing again.

    \b
      preceptor sample --policy world:arithmetic --problems world:arithmetic --n 64 --samples 8 --store run.db
    """
    from preceptor.generation import Sampling
    from preceptor.policy import sample as draw

    asked = problems_of(problems, n, seed)
    with open_store(store) as kept, console.stage("sample", "traces") as line:
        traces = draw(
            policy_of(policy),
            asked,
            samples=samples,
            seed=seed,
            sampling=Sampling(temperature=temperature, max_tokens=max_tokens),
            store=kept,
            progress=line,
        )
        kept.put_traces(traces)
    result = {
        "problems": len(asked),
        **grades(traces),
        "generated_tokens": sum(t.usage.generated for t in traces),
        "reused_tokens": sum(t.usage.reused for t in traces),
        "store": str(store),
    }
    console.emit(result, as_json, _words(result))


def _words(r: dict[str, Any]) -> str:
    rate = "no trace could be graded"
    if r["accuracy"] is not None:
        value, low, high = r["accuracy"]
        rate = f"correct {value:.3f} [{low:.3f}, {high:.3f}] of {r['decided']} decided"
    return (
        f"{r['traces']} traces of {r['problems']} problems: {rate}; {r['undecided']} undecided, {r['failed']} failed, "
        f"{r['cut_at_length']} cut at the length limit; {r['generated_tokens']:,} tokens generated"
    )


def label(
    method: Annotated[str, typer.Option("--method", help="oracle, math-shepherd, omegaprm, ...")],
    problems: ProblemsWord,
    store: StoreWord,
    policy: Annotated[
        str | None, typer.Option("--policy", help="Who completes prefixes (as for sample).")
    ] = None,
    rollouts: Annotated[int, typer.Option(min=1, help="Completions per probed prefix.")] = 8,
    target: Annotated[str | None, typer.Option(help="math-shepherd: hard or soft.")] = None,
    n: Count = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Label the steps of stored traces. Safe to kill: a second start continues and repeats nothing.

    Rollouts are kept in the store, so a second method pays only for what is new.

    \b
      preceptor label --method math-shepherd --policy world:arithmetic --problems world:arithmetic --n 64 --store run.db
    """
    from preceptor.annotate import ANNOTATORS
    from preceptor.annotate import label as apply

    if method not in ANNOTATORS:
        raise InputError(f"--method: got {method!r}, expected one of {sorted(ANNOTATORS)}")
    asked = problems_of(problems, n, seed)
    with open_store(store) as kept:
        traces = stored_traces(kept, asked)
        settings: dict[str, Any] = {"rollouts": rollouts, "seed": seed, "store": kept}
        if target is not None:
            settings["target"] = target
        annotator = _annotator(ANNOTATORS[method], method, policy, settings)
        with console.stage("label", "traces") as line:
            labels = apply(annotator, traces, store=kept, progress=line)
    judged = [j for j in labels.judgements if j.scores is not None]
    steps = sum(s is not None for j in judged for s in j.scores or ())
    result = {
        "method": method,
        "source": str(annotator.source),
        "question": annotator.question.value,
        "traces": len(traces),
        "labelled": len(judged),
        "failed": len(labels.judgements) - len(judged),
        "step_labels": steps,
        "with_error": sum((j.first_error or 0) >= 0 and j.first_error is not None for j in judged),
        "generated_tokens": labels.usage.policy.generated,
        "reused_tokens": labels.usage.policy.reused,
        "store": str(store),
    }
    console.emit(
        result,
        as_json,
        f"{result['labelled']} of {len(traces)} traces labelled ({steps} steps, {result['failed']} failed) by "
        f"{result['source']}: {result['generated_tokens']:,} tokens generated, {result['reused_tokens']:,} reused",
    )


def _annotator(cls: type, name: str, policy: str | None, settings: dict[str, Any]) -> Any:
    """Build an annotator from the options it has fields for."""
    known = {f.name for f in fields(cls)}
    if "policy" in known:
        if policy is None:
            raise InputError(
                f"--policy: method {name!r} completes prefixes and got no policy. Give --policy P."
            )
        settings["policy"] = policy_of(policy)
    return cls(**{k: v for k, v in settings.items() if k in known})
