"""Step-DPO against trajectory DPO and SFT on right traces, at equal training tokens, on the arithmetic world.

    OMP_NUM_THREADS=1 python benchmarks/preference.py pilot     # learning rates, on the dev split
    OMP_NUM_THREADS=1 python benchmarks/preference.py run       # three seeds, on the test split
    OMP_NUM_THREADS=1 python benchmarks/preference.py lower     # the two DPO arms again at LOWER, an afterthought
    python benchmarks/preference.py table                       # preference.jsonl as markdown

The policy is the shipped one. For each seed: PROBLEMS training problems with SAMPLES traces each at temperature 1;
first errors by the world's oracle. `step_dpo`: pairs at the first error, one a wrong trace, from ROLLOUTS
continuations. `traj_dpo`: right against wrong answers to the same problem. `sft`: distinct right answers. Each arm
trains until TOKENS tokens (prompts and prefixes included) went through the model. Held out: the same problems, draws
and seeds for all.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from preceptor.annotate import MonteCarlo, WorldOracle
from preceptor.bench.statistics import Estimate, bootstrap_mean, paired_bootstrap
from preceptor.generation import Sampling
from preceptor.learn.preference import (
    Attempt,
    Piece,
    step_dpo_pairs,
    train_preference,
    traj_dpo_pairs,
)
from preceptor.policy import load_policy, sample
from preceptor.trace import Problem, Trace
from preceptor.worlds import WORLDS

ROWS = Path(__file__).parent / "preference.jsonl"
POLICY = "world:arithmetic"
PROBLEMS, SAMPLES, ROLLOUTS = 250, 4, 8
TOKENS, BATCH = 250_000, 32
SEEDS = (0, 1, 2)
SAMPLING = Sampling(temperature=1.0, max_tokens=128)
HELD_OUT, DRAWS = 200, 4
LOWER = 3e-5
GRID = (3e-5, 1e-4, 3e-4, 1e-3)
ARMS: dict[str, dict[str, Any]] = {
    "step_dpo": {"loss": "dpo", "beta": 0.4, "batch": BATCH},
    "traj_dpo": {"loss": "dpo", "beta": 0.1, "batch": BATCH},
    "sft": {"loss": "nll", "batch": 2 * BATCH},
}


def data(seed: int, split: str = "train") -> tuple[dict[str, Sequence[Any]], dict[str, Any]]:
    """The records of each arm and what they cost to generate."""
    policy = load_policy(POLICY, dtype="float32")
    problems = WORLDS["arithmetic"].problems(split, PROBLEMS, seed)
    traces = sample(policy, problems, SAMPLES, seed, SAMPLING)
    judgements = WorldOracle().score(traces)
    monte_carlo = MonteCarlo(policy, ROLLOUTS, SAMPLING, seed=seed)
    steps = step_dpo_pairs(traces, judgements, monte_carlo, per_state=1)
    whole = traj_dpo_pairs(traces, judgements, margin=1.0, max_wrong=2)
    right = {(t.problem.id, t.text): t for t in traces if t.grade is not None and t.grade.correct}
    sft = [Attempt(t.problem, Piece(t.text, t.token_ids)) for t in right.values()]
    arms = {"step_dpo": steps.records, "traj_dpo": whole.records, "sft": sft}
    wrong = sum(t.grade is not None and t.grade.decided and not t.grade.correct for t in traces)
    about = {
        "traces": len(traces),
        "wrong": wrong,
        "trace_tokens": sum(t.usage.generated for t in traces),
        "rollouts": wrong * ROLLOUTS,
        "records": {name: len(r) for name, r in arms.items()},
        "dropped": dict(steps.dropped),
    }
    return arms, about


def tokens_a_step(records: Sequence[Any], batch: int) -> float:
    """Tokens that one optimizer step sends through the model, on average."""
    from preceptor.learn.preference.rows import Encoder

    encoder = Encoder(load_policy(POLICY, dtype="float32"))
    rows = encoder.attempts(records) if isinstance(records[0], Attempt) else encoder.pairs(records)
    return batch * sum(len(s) for row in rows for s in row.sequences) / len(rows)


def measure(policy: Any, problems: Sequence[Problem]) -> dict[str, Any]:
    """Share of right answers of each problem: drawn at temperature 1, and greedy."""
    drawn = sample(policy, problems, DRAWS, 1000, SAMPLING)
    greedy = sample(policy, problems, 1, 1000, Sampling(temperature=0.0, max_tokens=128))
    steps = WorldOracle().score(drawn)
    valid = [s for j in steps for s in (j.scores or ()) if s is not None]
    return {
        "sampled": _shares(drawn, DRAWS),
        "greedy": _shares(greedy, 1),
        "valid_steps": round(sum(valid) / len(valid), 4),
        "cut": sum(t.finish.value == "length" for t in drawn),
        "tokens": round(sum(len(t.token_ids or ()) for t in drawn) / len(drawn), 1),
    }


def _shares(traces: Sequence[Trace], each: int) -> list[float]:
    right = [float(t.grade is not None and t.grade.correct) for t in traces]
    return [sum(right[i : i + each]) / each for i in range(0, len(right), each)]


def one(
    arm: str, records: Sequence[Any], lr: float, seed: int, tokens: int, problems: Sequence[Problem]
) -> dict[str, Any]:
    policy = load_policy(POLICY, dtype="float32")
    settings = ARMS[arm]
    steps = max(1, round(tokens / tokens_a_step(records, settings["batch"])))
    began = time.process_time()
    with tempfile.TemporaryDirectory() as out:
        result = train_preference(policy, records, out=out, lr=lr, steps=steps, seed=seed, **settings)
        last = json.loads(result.metrics.read_text().splitlines()[-1])
    trained = time.process_time() - began
    return {
        "arm": arm,
        "lr": lr,
        "seed": seed,
        "steps": steps,
        "records": result.records,
        "processed_tokens": result.processed_tokens,
        "trained_tokens": result.trained_tokens,
        "last": {k: last[k] for k in ("loss", "margin", "accuracy") if k in last},
        "train_cpu_s": round(trained, 1),
        **measure(policy, problems),
    }


def write(row: dict[str, Any]) -> None:
    with ROWS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    shown = {k: v for k, v in row.items() if k not in ("sampled", "greedy")}
    if "sampled" in row:
        shown |= {k: round(float(np.mean(row[k])), 4) for k in ("sampled", "greedy")}
    print(json.dumps(shown), flush=True)


def pilot() -> None:
    """Every learning rate of the grid, a third of the tokens, 100 dev problems, one seed of its own."""
    problems = WORLDS["arithmetic"].problems("dev", 100)
    lines = ROWS.read_text().splitlines() if ROWS.exists() else []
    done = {(r["arm"], r["lr"]) for r in map(json.loads, lines) if r["kind"] == "pilot"}
    arms, _ = data(100)
    for arm, records in arms.items():
        for lr in (rate for rate in GRID if (arm, rate) not in done):
            write({"kind": "pilot", **one(arm, records, lr, 100, TOKENS // 3, problems)})


def chosen() -> dict[str, float]:
    """The learning rate of each arm with the best sampled accuracy in the pilot."""
    best: dict[str, tuple[float, float]] = {}
    for row in map(json.loads, ROWS.read_text().splitlines()):
        if row["kind"] == "pilot":
            best[row["arm"]] = max(
                best.get(row["arm"], (-1.0, 0.0)), (float(np.mean(row["sampled"])), row["lr"])
            )
    return {arm: lr for arm, (_, lr) in best.items()}


def run() -> None:
    rates, problems = chosen(), WORLDS["arithmetic"].problems("test", HELD_OUT)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout
    write({"kind": "machine", "commit": commit.strip(), "python": platform.python_version(), "rates": rates})
    write({"kind": "start", **measure(load_policy(POLICY, dtype="float32"), problems)})
    for seed in SEEDS:
        began = time.process_time()
        arms, about = data(seed)
        write({"kind": "data", "seed": seed, **about, "cpu_s": round(time.process_time() - began, 1)})
        for arm, records in arms.items():
            write({"kind": "run", **one(arm, records, rates[arm], seed, TOKENS, problems)})


def lower() -> None:
    """Decided on after `run` had shown that both DPO arms over-train; not a choice made on the dev split."""
    problems = WORLDS["arithmetic"].problems("test", HELD_OUT)
    for seed in SEEDS:
        arms, _ = data(seed)
        for arm in ("step_dpo", "traj_dpo"):
            write({"kind": "run", **one(arm, arms[arm], LOWER, seed, TOKENS, problems)})


def table() -> None:
    rows = [json.loads(line) for line in ROWS.read_text().splitlines()]
    start = next(r for r in rows if r["kind"] == "start")
    runs = [r for r in rows if r["kind"] == "run"]
    found: dict[tuple[str, float], list[dict[str, Any]]] = {}
    for r in runs:
        found.setdefault((r["arm"], r["lr"]), []).append(r)
    sft = np.mean([r["sampled"] for r in runs if r["arm"] == "sft"], axis=0)
    print("| arm | lr | steps | sampled | minus start | minus sft | greedy | minus start | valid steps |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    before = {k: bootstrap_mean(start[k]) for k in ("sampled", "greedy")}
    print(
        f"| start | | | {_show(before['sampled'])} | | | {_show(before['greedy'])} | | {start['valid_steps']:.3f} |"
    )
    for (arm, lr), rs in found.items():
        s, g = (np.mean([r[k] for r in rs], axis=0) for k in ("sampled", "greedy"))
        gaps = [paired_bootstrap(s, start["sampled"]), paired_bootstrap(s, sft)]
        cells = [_show(bootstrap_mean(s)), *map(_show, gaps), _show(bootstrap_mean(g))]
        cells.append(_show(paired_bootstrap(g, start["greedy"])))
        cells.append(f"{np.mean([r['valid_steps'] for r in rs]):.3f}")
        steps = "/".join(str(r["steps"]) for r in rs)
        print(f"| {arm} | {lr:g} | {steps} | " + " | ".join(cells) + " |")
    print()
    for (arm, lr), rs in found.items():
        other = found.get(("traj_dpo", lr))
        seeds = [round(float(np.mean(r["sampled"])), 3) for r in rs]
        line = f"{arm} at {lr:g}: sampled by seed {seeds}"
        if arm == "step_dpo" and other:
            gap = [np.mean([r["sampled"] for r in x], axis=0) for x in (rs, other)]
            line += f"; minus traj_dpo {_show(paired_bootstrap(*gap))}"
        print(line)


def _show(e: Estimate) -> str:
    return f"{e.value:.3f} [{e.low:.3f}, {e.high:.3f}]"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("pilot", "run", "lower", "table"))
    {"pilot": pilot, "run": run, "lower": lower, "table": table}[parser.parse_args().what]()
