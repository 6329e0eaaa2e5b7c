"""Credit schemes in training: held-out accuracy against generated tokens, on the arithmetic world.

    OMP_NUM_THREADS=1 nice -n 5 python benchmarks/credit.py pilot    # learning rates for `outcome`, dev split
    OMP_NUM_THREADS=1 nice -n 5 python benchmarks/credit.py run      # seed by seed; finished cells are skipped
    OMP_NUM_THREADS=1 python benchmarks/credit.py long               # some schemes, 3 times as many updates, or --steps
    python benchmarks/credit.py table                                # credit.md and its pictures

A cell is a scheme and a seed: `learn` from the shipped policy, the same problems in the same order, the same number of
completions. The seed decides the order and the samples. Tokens generated are those sampled for training (a tree's
shared prefixes once), plus what a scorer writes; tokens that a model only reads are counted apart. Held-out
measurements cost nothing here.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from search_scorers import trained

from preceptor import worlds
from preceptor.annotate import WorldOracle
from preceptor.annotate.judges import Asking, critique
from preceptor.generation import Sampling
from preceptor.judgement import Question, Scorer
from preceptor.learn import learn
from preceptor.learn.online import OnlineImplicitPRM
from preceptor.learn.rollouts import RolloutSource
from preceptor.learn.signals import Critiques, MonteCarloValues, TreeSource, producer
from preceptor.policy import load_policy

HERE = Path(__file__).parent
ROWS = HERE / "credit.jsonl"
SETTINGS: dict[str, Any] = {
    "steps": 36,
    "prompts_per_step": 16,
    "generations": 16,
    "lr": 1e-4,
    "max_tokens": 128,
    "micro_batch": 64,
    "eval_every": 6,
    "eval_samples": 1,
}
HELD_OUT = 400
TRAIN = 1024
PILOTS: tuple[dict[str, Any], ...] = (
    *({"lr": lr, "steps": 24, "eval_samples": 2} for lr in (1e-4, 3e-4)),
    *(
        {"lr": lr, "steps": 120, "prompts_per_step": 8, "generations": 8, "eval_every": 20}
        for lr in (1e-4, 5e-5)
    ),
)
SEEDS = (0, 1, 2)


@cache
def prm() -> Scorer:
    """How likely `world:arithmetic-solver` finds a step's least likely token, calibrated: validity."""
    return trained("arithmetic")


def nothing(policy: Any) -> None:
    return None


def oracle(question: Question) -> Callable[[Any], Any]:
    return lambda policy: WorldOracle(question)


def model(policy: Any) -> Any:
    return prm()


def made(method: str, helped: bool = True) -> Callable[[Any], Any]:
    """The method's own producer, from the policy and, where it takes one, the PRM."""
    return lambda policy: producer(method, policy, prm() if helped else None)


def rollouts(policy: Any) -> Any:
    return MonteCarloValues(policy, 2, Sampling(1.0, max_tokens=128))


def implicit(policy: Any) -> Any:
    """The policy's own order of learning rate: the default, 1e-6, moves a model of this size nowhere."""
    return OnlineImplicitPRM(policy.model, policy.tokenizer, lr=1e-4, accuracy=(0.2, 0.8))


def judge(policy: Any) -> Any:
    """The shipped judge reads and writes its own format only, which names the first wrong step."""
    asking = Asking(chat=False, sampling=Sampling(1.0, max_tokens=256))
    return Critiques(load_policy("world:arithmetic-judge"), 1, critique.TEMPLATE, asking)


@dataclass(frozen=True)
class Scheme:
    """A row of `METHODS` and who gives it its signals."""

    method: str
    signals: str
    scorer: Callable[[Any], Any] = nothing
    sampler: Any = RolloutSource

    @property
    def name(self) -> str:
        return f"{self.method}, {self.signals}"


PRM, VALUE, VALIDITY = "PRM", "oracle value", "oracle validity"
SCHEMES = (
    Scheme("outcome", "none"),
    Scheme("rloo", "none"),
    Scheme("vpr_pooled", VALIDITY, oracle(Question.VALIDITY)),
    Scheme("vpr_pooled", PRM, model),
    Scheme("progress", VALUE, oracle(Question.VALUE)),
    Scheme("progress", VALIDITY, oracle(Question.VALIDITY)),
    Scheme("progress", PRM, model),
    Scheme("shepherd_ppo", PRM, model),
    Scheme("pure", PRM, model),
    Scheme("pav", VALUE, oracle(Question.VALUE)),
    Scheme("treeps_rag", "tree of rollouts", nothing, TreeSource),
    Scheme("igpo", "beliefs", made("igpo", False)),
    Scheme("prime", "online implicit PRM", implicit),
    Scheme("vsrm", "oracle value at steps", oracle(Question.VALUE)),
    Scheme("g_ra", PRM, made("g_ra")),
    Scheme("p_grpo", PRM, made("p_grpo")),
    Scheme("prof", PRM, model),
    Scheme("pav", "2 rollouts a step", rollouts),
    Scheme("capo", "small judge", judge),
)


LONG = {"eval_every": 12, "eval_samples": 4}
LONGER = tuple(
    s
    for s in SCHEMES
    if s.method in ("outcome", "g_ra", "prof") or s.name in (f"vpr_pooled, {PRM}", f"progress, {PRM}")
)


def cell(scheme: Scheme, seed: int, split: str = "test", **changed: Any) -> dict[str, Any]:
    """Train once; what came out, as one row."""
    settings = {**SETTINGS, **changed}
    policy = load_policy("world:arithmetic", dtype="float32")
    scorer = scheme.scorer(policy)
    written: list[int] = []
    began, cpu = time.perf_counter(), time.process_time()

    def progress(step: int, *_: Any) -> None:
        written.append(getattr(getattr(scorer, "spent", None), "generated", 0))

    with tempfile.TemporaryDirectory() as out:
        result = learn(
            policy,
            worlds.arithmetic(split="train", n=TRAIN),
            out=out,
            method=scheme.method,
            scorer=scorer,
            sampler=scheme.sampler,
            held_out=worlds.arithmetic(split=split, n=HELD_OUT),
            seed=seed,
            progress=progress,
            **settings,
        )
        rows = [json.loads(line) for line in result.metrics.read_text().splitlines()]
    after = result.after
    return {
        "method": scheme.method,
        "signals": scheme.signals,
        "seed": seed,
        "split": split,
        **settings,
        "held_out": HELD_OUT,
        "train": TRAIN,
        **figures(rows, written),
        "by_problem": [] if after is None else list(after.by_problem),
        "undecided": result.undecided,
        "scorer_scored": result.usage.scorer.scored,
        "seconds": round(time.perf_counter() - began, 1),
        "cpu": round(time.process_time() - cpu, 1),
        "parts": {k: round(v, 1) for k, v in result.seconds.items()},
        "commit": commit(),
    }


def figures(rows: Sequence[dict[str, Any]], written: Sequence[int]) -> dict[str, Any]:
    """The curve and what is watched, from the run's metrics; `written`: tokens of the scorer, a number a step."""
    curve, steps, warnings = [], [], []
    generated = scorer = before = 0
    for row in rows:
        if "held_out_accuracy" in row:
            accuracy = [row["held_out_correct"], row["held_out_n"], row["held_out_undecided"]]
            curve.append(
                {"step": row["step"], "generated": generated, "by_scorer": scorer, "held_out": accuracy}
            )
        else:
            generated += row["generated_tokens"] - before
            scorer += written[row["step"] - 1]
            watched = row["watched"]
            names = ("outcome", "length", "steps", "repetition", "flat_groups", "score")
            steps.append([row["step"], *(round(watched[k], 4) if k in watched else None for k in names)])
            warnings += [{"step": row["step"], **w} for w in row.get("warnings", [])]
        before = row["generated_tokens"]
    return {"curve": curve, "watched": steps, "warnings": warnings}


def commit() -> str:
    asked = ["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"]
    return subprocess.run(asked, capture_output=True, text=True).stdout.strip()


def kept() -> list[dict[str, Any]]:
    return [json.loads(line) for line in ROWS.read_text().splitlines()] if ROWS.exists() else []


def keep(row: dict[str, Any]) -> None:
    with ROWS.open("a") as file:
        file.write(json.dumps(row) + "\n")


def run(seeds: Sequence[int], only: str, part: int, parts: int) -> None:
    plan = {"kind": "plan", "schemes": [[s.method, s.signals] for s in SCHEMES], "seeds": list(SEEDS)}
    if plan not in kept():
        keep(plan)
    done = {(r["method"], r["signals"], r["seed"]) for r in kept() if r.get("kind") == "cell"}
    for seed in seeds:
        for scheme in SCHEMES[part::parts]:
            if (scheme.method, scheme.signals, seed) in done or only not in scheme.name:
                continue
            try:
                row = {"kind": "cell", **cell(scheme, seed)}
            except Exception as error:  # noqa: BLE001 - the other cells are worth having
                print(
                    f"{scheme.name}, seed {seed}: {type(error).__name__}: {error}",
                    file=sys.stderr,
                    flush=True,
                )
                continue
            keep(row)
            shares = [f"{c['held_out'][0] / c['held_out'][1]:.3f}" for c in row["curve"]]
            print(
                f"{scheme.name}, seed {seed}: {' '.join(shares)} ({row['seconds']} s, {row['cpu']} cpu)",
                flush=True,
            )
            report()


def longer(seeds: Sequence[int], only: str, steps: int) -> None:
    for seed in seeds:
        for scheme in LONGER:
            if only in scheme.name:
                row = {"kind": "long", **cell(scheme, seed, steps=steps, **LONG)}
                keep(row)
                print(scheme.name, seed, [c["held_out"][0] for c in row["curve"]], row["cpu"], flush=True)


def report() -> None:
    subprocess.run([sys.executable, str(HERE / "credit_summary.py")], check=False)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("do", choices=("pilot", "run", "long", "table"))
    parser.add_argument("--seeds", type=int, nargs="*", default=SEEDS)
    parser.add_argument(
        "--part", default="0/1", help="every n-th scheme from the k-th on, k/n: to share the work"
    )
    parser.add_argument("--only", default="", help="schemes whose name contains this")
    parser.add_argument("--steps", type=int, default=108, help="updates of a long run")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.do == "pilot":
        for changed in PILOTS:
            row = {"kind": "pilot", **cell(SCHEMES[0], 0, "dev", **changed)}
            keep(row)
            print(
                changed,
                [c["held_out"][0] / c["held_out"][1] for c in row["curve"]],
                row["seconds"],
                row["cpu"],
                flush=True,
            )
    elif args.do == "long":
        longer(args.seeds, args.only, args.steps)
    elif args.do == "run":
        run(args.seeds, args.only, *map(int, args.part.split("/")))
    else:
        report()


if __name__ == "__main__":
    main()
