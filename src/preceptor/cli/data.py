"""`preceptor sample`: graded traces in a store."""

from __future__ import annotations

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
)


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
