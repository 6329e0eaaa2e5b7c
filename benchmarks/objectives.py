"""Every training objective on the same labels, against the arithmetic world's oracle.

    OMP_NUM_THREADS=1 python benchmarks/objectives.py data                  # traces and labels, once
    OMP_NUM_THREADS=1 python benchmarks/objectives.py run NAME [NAME ...]   # "all"; --extra-layers, --epochs, --seed
    python benchmarks/objectives.py table                                   # objectives.jsonl as markdown

Training traces: 320 problems, 8 traces each, from the shipped policy, each with its graded answer. Two sets of
step labels on them: `oracle`, exact validity (what a person would give), and `rollouts`, 4 rollouts per prefix
(counts). Objectives of validity get the first, those of success rates the second, outcome models only the grades.
Measured on 160 other problems, 16 traces each, with the exact oracle: first-error F1 (threshold tuned on one half
of the problems, measured on the other), step AUROC up to the first error
(validity) and of all steps against "the answer is still in reach" (value), ECE (scores that are probabilities),
`within`: how often a right solution scores above a wrong one of the same problem, and the accuracy of the best of
16 under the objective's own aggregation, less picking at random and less majority, paired by problem.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from preceptor.annotate import Labels, MathShepherd, WorldOracle, label
from preceptor.bench.calibration import calibration_figures
from preceptor.bench.discrimination import bootstrap_auroc
from preceptor.bench.first_error import (
    f1_of_sums,
    first_error_rows,
    tune_first_error_threshold,
    up_to_first_error,
)
from preceptor.bench.selection import selection
from preceptor.bench.statistics import bootstrap_sums, cluster_sums
from preceptor.generation import Sampling
from preceptor.judgement import NO_ERROR, Judgement, Question, first_below
from preceptor.policy import load_policy, sample
from preceptor.reward import train
from preceptor.reward.likelihood import Uncertainty
from preceptor.reward.objectives import OBJECTIVES
from preceptor.store import Store
from preceptor.trace import Trace
from preceptor.worlds import arithmetic

HERE = Path(__file__).parent
DATA = HERE.parent / "runs" / "objectives"
ROWS = HERE / "objectives.jsonl"
SAMPLING = Sampling(max_tokens=160)
TRAIN, PER_TRAIN, ROLLOUTS, TEST, PER_TEST = 320, 8, 4, 160, 16
ROLLOUT_LABELS = {"pav", "scan", "soft-bce", "soft-ce", "sorm"}
AGGREGATE = {"orm": "last", "ovm": "last", "tvm": "last", "hindsight": "last", "pairwise": "last"}
AGGREGATE |= dict.fromkeys(("implicit-ce", "implicit-dpo", "implicit-kto", "implicit-nca"), "last")
AGGREGATE |= dict.fromkeys(("verify-rm", "cooper"), "last")
"""Outcome and value models are read at the end; the others by their weakest step."""
REFERENCES: dict[str, Any] = {
    "(min log-prob)": lambda: Uncertainty(load_policy("world:arithmetic"), statistic="min_logprob"),
    "(oracle)": WorldOracle,
}
"""Rows without training, for comparison."""


@dataclass
class Backbone:
    model: Any
    tokenizer: Any


def data() -> None:
    policy = load_policy("world:arithmetic")
    DATA.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with Store(DATA / "run.db") as store:
        for split, n, per in (("train", TRAIN, PER_TRAIN), ("test", TEST, PER_TEST)):
            traces = sample(policy, arithmetic(split, n, 0), per, 0, SAMPLING, store)
            store.put_traces(traces)
            if split == "train":
                scorer = MathShepherd(
                    policy, rollouts=ROLLOUTS, target="soft", sampling=SAMPLING, seed=0, store=store
                )
                found = label(scorer, traces, store)
                cost = sum(j.usage.policy.generated for j in found.judgements)
                print(f"{len(traces)} traces, {cost} rollout tokens, {time.monotonic() - began:.0f} s")


def load() -> tuple[dict[str, Labels], list[Trace]]:
    """Label sets by name, and the test traces."""
    with Store(DATA / "run.db") as store:
        train_traces = list(store.traces([p.id for p in arithmetic("train", TRAIN, 0)]))
        test_traces = list(store.traces([p.id for p in arithmetic("test", TEST, 0)]))
        wanted = {t.id for t in train_traces}
        judgements = [j for j in store.judgements() if j.trace in wanted and j.source.name == "math-shepherd"]
    traces = {t.id: t for t in train_traces}
    pairs = [(traces[j.trace], j) for j in judgements]
    rollouts = Labels(tuple(t for t, _ in pairs), tuple(j for _, j in pairs), len(pairs), 0, 0)
    exact = Labels(rollouts.traces, tuple(WorldOracle().score(rollouts.traces)), len(pairs), 0, 0)
    return {"rollouts": rollouts, "oracle": exact}, test_traces


def deeper(policy: Any, extra: int) -> Backbone:
    """The policy with layers on top that change nothing before training: their outputs begin at zero."""
    model = copy.deepcopy(policy.model)
    for _ in range(extra):
        layer = copy.deepcopy(model.model.layers[-1])
        layer.self_attn.layer_idx = len(model.model.layers)
        torch.nn.init.zeros_(layer.self_attn.o_proj.weight)
        torch.nn.init.zeros_(layer.mlp.down_proj.weight)
        model.model.layers.append(layer)
    model.config.num_hidden_layers = len(model.model.layers)
    if getattr(model.config, "layer_types", None):
        model.config.layer_types = [model.config.layer_types[0]] * len(model.model.layers)
    return Backbone(model, policy.tokenizer)


def run(names: list[str], extra: int, epochs: float, lr: float, seed: int) -> None:
    labels, test = load()
    policy = load_policy("world:arithmetic")
    oracle = WorldOracle().score(test)
    for name in names:
        if name in REFERENCES:
            row = {"objective": name, "labels": "-", "seconds": 0.0}
            keep(row, name, test, REFERENCES[name]().score(test), oracle)
            continue
        source = "rollouts" if name in ROLLOUT_LABELS else "oracle"
        backbone = deeper(policy, extra) if extra else policy
        with tempfile.TemporaryDirectory() as out:
            began = time.monotonic()
            scorer = train(
                labels[source],
                backbone=backbone,
                out=out,
                objective=name,
                epochs=epochs,
                lr=lr,
                held_out=0.05,
                seed=seed,
            )
            seconds = time.monotonic() - began
            scored = scorer.score(test)
        row = {
            "objective": name,
            "labels": source,
            "extra_layers": extra,
            "epochs": epochs,
            "lr": lr,
            "seed": seed,
        }
        keep({**row, "seconds": round(seconds, 1)}, name, test, scored, oracle)


def keep(
    row: dict[str, Any], name: str, test: list[Trace], scored: list[Judgement], oracle: list[Judgement]
) -> None:
    row |= {**figures(name, test, scored, oracle), **stamp()}
    with ROWS.open("a") as file:
        file.write(json.dumps(row) + "\n")
    print(json.dumps(row))


def figures(
    name: str, traces: list[Trace], scored: list[Judgement], oracle: list[Judgement]
) -> dict[str, Any]:
    truth = [NO_ERROR if j.first_error is None else j.first_error for j in oracle]
    scores = [j.scores or () for j in scored]
    problems = list(dict.fromkeys(t.problem.id for t in traces))
    side = {p: i % 2 for i, p in enumerate(problems)}
    tune = [i for i, t in enumerate(traces) if side[t.problem.id] == 0]
    rest = [i for i, t in enumerate(traces) if side[t.problem.id] == 1]
    # An outcome model scores the last step alone: it cannot say where the first error is.
    stepwise = any(sum(x is not None for x in s) > 1 for s in scores)
    at = tune_first_error_threshold([scores[i] for i in tune], [truth[i] for i in tune]) if stepwise else None
    found = [first_below(scores[i], at if at is not None else 0.5) for i in rest]
    rows = cluster_sums(
        [traces[i].problem.id for i in rest], first_error_rows(found, [truth[i] for i in rest])
    )
    f1 = bootstrap_sums(rows, f1_of_sums)
    steps = [up_to_first_error(s, e)[:2] for s, e in zip(scores, truth, strict=True)]
    told = [
        (t.problem.id, x, float(y))
        for t, (s, own) in zip(traces, steps, strict=True)
        for x, y in zip(s, own, strict=True)
        if x is not None
    ]
    owners, flat, good = (list(column) for column in zip(*told, strict=True))
    auroc = bootstrap_auroc(owners, flat, good)
    alive = [
        (t.problem.id, x, float(v > 0.5))
        for t, s, j in zip(traces, scores, WorldOracle(Question.VALUE).score(traces), strict=True)
        for x, v in zip(s, j.scores or (), strict=True)
        if x is not None and v is not None
    ]
    value = bootstrap_auroc(*(list(column) for column in zip(*alive, strict=True)))
    probability = bool(flat) and min(flat) >= 0 and max(flat) <= 1
    picks = selection(traces, scored)
    assert picks is not None
    rule = AGGREGATE.get(name, "min")
    pick = next(p for p in picks.picks if p.rule == f"scorer, {rule}")
    return {
        "f1": f1.to_record() if stepwise else None,
        "threshold": at,
        "auroc": auroc.to_record(),
        "value_auroc": value.to_record(),
        "ece": calibration_figures(flat, good).ece if probability else None,
        "steps": len(flat),
        "within": within(traces, scored, rule),
        "aggregate": rule,
        "picks": {p.rule: p.accuracy.value for p in picks.picks},
        "best_of_16": pick.accuracy.to_record(),
        "over_random": pick.over_random.to_record(),
        "over_majority": pick.over_majority.to_record(),
        "problems": picks.problems,
    }


def within(traces: list[Trace], scored: list[Judgement], rule: str) -> float:
    """Share of (right, wrong) pairs of one problem in which the right solution scores above; ties half."""
    from preceptor.search.aggregate import aggregate

    by_problem: dict[str, tuple[list[float], list[float]]] = {}
    for trace, judgement in zip(traces, scored, strict=True):
        if trace.grade is not None and trace.grade.decided and judgement.scores:
            side = by_problem.setdefault(trace.problem.id, ([], []))[not trace.grade.correct]
            side.append(float(aggregate(judgement.scores, rule) or 0.0))
    wins, n = 0.0, 0
    for right, wrong in by_problem.values():
        a, b = np.array(right)[:, None], np.array(wrong)[None, :]
        wins += float((a > b).sum() + 0.5 * (a == b).sum())
        n += a.size * b.size
    return wins / max(n, 1)


def stamp() -> dict[str, Any]:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return {
        "commit": commit.stdout.strip(),
        "date": time.strftime("%Y-%m-%d"),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
    }


def table() -> None:
    rows = [json.loads(line) for line in ROWS.read_text().splitlines()]

    def shown(e: dict[str, float] | None) -> str:
        if e is None or e["value"] is None:
            return "-"
        return f"{e['value']:.3f} ({e['low']:.3f}, {e['high']:.3f})"

    head = [
        "objective",
        "labels",
        "first-error F1",
        "validity AUROC",
        "value AUROC",
        "ECE",
        "within",
        "best of 16",
        "over random",
        "over majority",
        "s",
    ]
    print(f"| {' | '.join(head)} |")
    print("|---" * len(head) + "|")
    for r in sorted(rows, key=lambda r: str(r["objective"])):
        ece = "-" if r["ece"] is None else f"{r['ece']:.3f}"
        cells = [
            r["objective"],
            r["labels"],
            shown(r["f1"]),
            shown(r["auroc"] if r["f1"] else None),  # one score per solution says nothing of its steps
            shown(r["value_auroc"]),
            ece,
            f"{r['within']:.3f}",
        ]
        cells += [f"{shown(r['best_of_16'])} {r['aggregate']}", shown(r["over_random"])]
        print(f"| {' | '.join([*cells, shown(r['over_majority']), str(round(r['seconds']))])} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["data", "run", "table"])
    parser.add_argument("names", nargs="*", default=[])
    parser.add_argument("--extra-layers", type=int, default=0)
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.what == "run":
        chosen = sorted(OBJECTIVES) if args.names in ([], ["all"]) else args.names
        run(chosen, args.extra_layers, args.epochs, args.lr, args.seed)
    else:
        {"data": data, "table": table}[args.what]()
