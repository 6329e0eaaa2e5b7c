"""A reward model from human first-error labels, measured on problems it has never seen.

    OMP_NUM_THREADS=1 python benchmarks/real_prm.py [--data ../shared/data] [--out DIR] [--quick]
        [--variants "prm;processbench-only"] [split pretrain train evaluate table]

Trained on BIG-Bench Mistake and one half of ProcessBench, evaluated on the other half; the halves are split by
problem. No public checkpoint is needed: tokenizer and backbone are made here, from text of the training side and
from public problems with solutions; whatever shares an evaluation problem with them is left out.

    split      the evaluation half, a tuning fifth of the training half (thresholds), and the rest to fit on
    pretrain   byte-level BPE and a small Llama, as a language model
    train      one reward model per variant
    evaluate   every reward model and every rule: ProcessBench's figures, intervals over problems
    table      the results as markdown

Every stage leaves files in `--out` and is skipped where they are there. `--quick` runs all of it on a few dozen
rows in seconds; its figures mean nothing. Left out: a search for good settings, several seeds.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import platform
import re
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from real_prm_rules import Logistic, Rule, rules
from real_prm_split import Overlap, Sides, check_written, read_sides, write_split

from preceptor.annotate.rules.first_error import first_error_targets
from preceptor.bench.discrimination import auroc
from preceptor.bench.first_error import (
    f1_of_sums,
    first_error_rows,
    tune_first_error_threshold,
    up_to_first_error,
)
from preceptor.bench.processbench import ProcessBenchReport, bench_processbench
from preceptor.bench.statistics import bootstrap, cluster_sums, percentile_interval, resampled_sums
from preceptor.judgement import Judgement, Question, Scorer, Source
from preceptor.policy.render import text_ids
from preceptor.trace import Trace, steps_from_ends
from preceptor.worlds.readers import LabelledTrace

HERE = Path(__file__).resolve().parent
SEED = 0
LONGEST = 4000
"""Characters of a training trace; steps beyond are cut off."""


@dataclass(frozen=True)
class Size:
    rows: int | None = None
    """Rows per file at most."""
    vocabulary: int = 5000
    hidden: int = 160
    layers: int = 4
    context: int = 1024
    pretrain_tokens: int = 800_000
    pretrain_rows: int = 2
    epochs: float = 2.0
    resamples: int = 2000


FULL = Size()
QUICK = Size(24, 400, 32, 1, 512, 6_000, 2, 1.0, 50)


@dataclass(frozen=True)
class Variant:
    """A way to train; the default is the run that the task asks for."""

    data: tuple[str, ...] = ("processbench", "bigbench_mistake")
    after_error: str = "mask"
    """Steps behind the first error: no target (the trace is cut there, which is the same for a model that
    reads left to right), or "wrong". These labels say nothing of them, so to keep them is to mask them."""
    objective: str = "hard-ce"
    pretrained: bool = True
    backbone: str = ""
    """A policy that comes with the package; "": the one made here."""
    epochs: float = 1.0
    """Share of the size's epochs."""


ONE = ("processbench",)
VARIANTS = {
    "prm": Variant(),
    "processbench-only": Variant(data=ONE),
    "processbench-only, wrong": Variant(data=ONE, after_error="wrong"),
    "processbench-only, no pretraining": Variant(data=ONE, pretrained=False),
    "processbench-only, shipped backbone": Variant(data=ONE, backbone="world:arithmetic"),
}


# Backbone


def public_texts(data: Path) -> Iterator[tuple[str, str, str]]:
    """(set, problem, solution) of public text without step labels, right solutions only."""
    for row in json_lines(data / "gsm8k" / "train.jsonl"):
        yield "gsm8k train", row["question"], re.sub(r"<<.*?>>", "", row["answer"])
    for row in json_lines(data / "math500" / "test500.jsonl"):
        yield "math500", row["problem"], row["solution"]
    for row in json_lines(data / "sampled_math" / "math_cot_100.jsonl"):
        for text, right in zip(row["code"], row["score"]):
            if right:
                yield "sampled_math", row["question"], text
    for row in json_lines(data / "bon_pools" / "gsm8k_250x32.jsonl.gz"):
        for candidate in [c for c in row["candidates"] if c["is_correct"]][:2]:
            yield "bon_pools", row["question"], "\n\n".join(candidate["steps"])


def json_lines(path: Path) -> Iterator[dict[str, Any]]:
    if path.exists():
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
            yield from map(json.loads, file)


def reading(sides: Sides, data: Path, size: Size) -> tuple[list[str], dict[str, Any]]:
    """Text for tokenizer and language model in a fixed random order, and what was left out of it."""
    held = Overlap(i.trace.problem.prompt for i in (*sides.evaluation, *sides.tuning))
    texts = [f"{i.trace.problem.prompt}\n{cut(i.trace, LONGEST).text}" for i in sides.fit]
    used, removed = Counter({"fit": len(texts)}), Counter[str]()
    for k, (name, problem, solution) in enumerate(public_texts(data)):
        if size.rows is not None and k >= size.rows:
            break
        if held.reason(problem, solution) is None:
            texts.append(f"{problem}\n{solution}")
            used[name] += 1
        else:
            removed[name] += 1
    order = np.random.default_rng(SEED).permutation(len(texts))
    return [texts[i] for i in order], {"texts": dict(used), "removed": dict(removed)}


def make_tokenizer(texts: Sequence[str], vocabulary: int) -> Any:
    """Byte-level BPE with single digits."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<|end|>", "<|pad|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer=trainer)
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|end|>", pad_token="<|pad|>")


def pretrain(sides: Sides, data: Path, out: Path, size: Size) -> None:
    """`out/backbone`, the same with random weights as `out/random`, and `pretrain.json`."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    texts, report = reading(sides, data, size)
    tokenizer = make_tokenizer(texts, size.vocabulary)
    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=size.hidden,
        intermediate_size=size.hidden * 27 // 10,
        num_hidden_layers=size.layers,
        num_attention_heads=max(1, size.hidden // 32),
        max_position_embeddings=size.context,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    for name in ("random", "backbone"):
        tokenizer.save_pretrained(out / name)
    model.save_pretrained(out / "random")
    report |= language_model(model, blocks(texts, tokenizer, size), size)
    report["perplexity_tuning"] = perplexity(model, tokenizer, sides.tuning[:100], size)
    report["parameters"] = sum(p.numel() for p in model.parameters())
    model.save_pretrained(out / "backbone")
    (out / "pretrain.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def blocks(texts: Sequence[str], tokenizer: Any, size: Size) -> Any:
    """(blocks, context) ids: texts one after the other up to `pretrain_tokens`."""
    import torch

    ids: list[int] = []
    for text in texts:
        ids += [*text_ids(tokenizer, text), tokenizer.eos_token_id]
        if len(ids) >= size.pretrain_tokens:
            break
    n = max(1, len(ids) // size.context)
    return torch.tensor(ids[: n * size.context]).reshape(n, -1)


def language_model(model: Any, data: Any, size: Size) -> dict[str, Any]:
    """One pass over the blocks."""
    import torch

    began, cpu = time.perf_counter(), time.process_time()
    batches = data.split(size.pretrain_rows)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, betas=(0.9, 0.95), weight_decay=0.05)
    warm = max(1, len(batches) // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min((s + 1) / warm, (len(batches) - s) / max(1, len(batches) - warm))
    )
    losses = []
    for batch in batches:
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
        if len(losses) % 25 == 0:
            print(f"pretrain {len(losses)}/{len(batches)} loss {np.mean(losses[-25:]):.3f}", flush=True)
    return {
        "tokens": data.numel(),
        "loss_first": losses[0],
        "loss_last": float(np.mean(losses[-20:])),
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
    }


def perplexity(model: Any, tokenizer: Any, items: Sequence[LabelledTrace], size: Size) -> float:
    """Per token, on texts that neither tokenizer nor model has seen."""
    import torch

    total, n = 0.0, 0
    for item in items:
        ids = text_ids(tokenizer, f"{item.trace.problem.prompt}\n{item.trace.text}")[: size.context]
        row = torch.tensor([ids])
        with torch.no_grad():
            total += float(model(input_ids=row, labels=row).loss) * (len(ids) - 1)
        n += len(ids) - 1
    return math.exp(total / max(n, 1))


# Training


@dataclass(frozen=True)
class Labels:
    traces: tuple[Trace, ...]
    judgements: tuple[Judgement, ...]


def cut(trace: Trace, longest: int, steps: int | None = None) -> Trace:
    """The first steps of a trace; at least one."""
    ends = [s.end for s in trace.steps[:steps]]
    kept = [e for k, e in enumerate(ends) if k == 0 or e <= longest]
    return replace(trace, text=trace.text[: kept[-1]], steps=steps_from_ends(kept))


def labels(items: Sequence[LabelledTrace], variant: Variant) -> Labels:
    """Targets from the human's first error: 1 before it, 0 at it; behind it as the variant says."""
    traces, judgements = [], []
    for item in items:
        if item.trace.problem.world not in variant.data:
            continue
        policy: Any = "truncate" if variant.after_error == "mask" else variant.after_error
        targets = first_error_targets(item.judgement.first_error, len(item.trace.steps), policy=policy)
        trace = cut(item.trace, LONGEST, len(targets))
        traces.append(trace)
        scores = targets[: len(trace.steps)]
        judgements.append(replace(item.judgement, trace=trace.id, scores=scores, first_error=None))
    return Labels(tuple(traces), tuple(judgements))


def train_variant(name: str, sides: Sides, out: Path, size: Size) -> None:
    """`out/models/NAME`, with a record of cost beside training's own."""
    from preceptor.policy import load_policy
    from preceptor.reward import train

    sides.check()
    variant = VARIANTS[name]
    given = labels(sides.fit, variant)
    own = str(out / ("backbone" if variant.pretrained else "random"))
    began, cpu = time.perf_counter(), time.process_time()
    prm = train(
        given,
        backbone=load_policy(variant.backbone) if variant.backbone else own,
        out=out / "models" / name,
        objective=variant.objective,
        after_error="wrong" if variant.after_error == "wrong" else "mask",
        epochs=size.epochs * variant.epochs,
        lr=5e-4,
        weight_decay=0.01,
        batch_rows=8,
        batch_tokens=2048,
        held_out=0.05,
        seed=SEED,
        progress=lambda done, total, note="": (
            print(f"{name} {done}/{total} {note}", flush=True) if done % 50 == 0 else None
        ),
    )
    report = json.loads((out / "models" / name / "training.json").read_text(encoding="utf-8"))
    kept_back = set(report["held_out_problems"])
    fitted = [t for t in given.traces if t.problem.id not in kept_back]
    rows = [row for trace in fitted for row in prm.render(trace).rows]
    record = {
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "traces": len(fitted),
        "tokens": round(sum(len(r.token_ids) for r in rows) * size.epochs * variant.epochs),
        "parameters": sum(p.numel() for p in prm.model.parameters()),
    }
    (out / "models" / name / "cost.json").write_text(json.dumps(record) + "\n", encoding="utf-8")


# Evaluation


@dataclass
class Remembered:
    """A scorer that scores each trace once, whichever run it was in."""

    scorer: Scorer
    file: Path | None = None
    known: dict[str, Judgement] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.file is not None:
            own = [Judgement.from_record(r) for r in json_lines(self.file)]
            self.known |= {j.trace: j for j in own if j.source == self.source}

    @property
    def source(self) -> Source:
        return self.scorer.source

    @property
    def question(self) -> Question:
        return self.scorer.question

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        new = [t for t in traces if t.id not in self.known]
        found = self.scorer.score(new) if new else []
        self.known |= {j.trace: j for j in found}
        if self.file is not None and found:
            with self.file.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(j.to_record()) + "\n" for j in found)
        return [self.known[t.id] for t in traces]


def evaluate(name: str, scorer: Scorer, sides: Sides, out: Path, size: Size) -> dict[str, Any]:
    """The figures at 0.5 and at the threshold tuned on the tuning side; one row of results."""
    began, cpu, once = time.perf_counter(), time.process_time(), Remembered(scorer)
    judged = once.score([i.trace for i in sides.tuning])
    stated = all(j.first_error is not None for j in judged)
    truth = [i.judgement.first_error for i in sides.tuning]
    cuts: dict[str, float] = {"0.5": 0.5}
    if not stated:
        best = tune_first_error_threshold([j.scores or () for j in judged], truth)
        cuts["tuned"] = 0.5 if best is None else best
    reports = {
        how: bench_processbench(out / "evaluation", once, threshold=at, resamples=size.resamples, seed=SEED)
        for how, at in cuts.items()
    }
    seconds, used = time.perf_counter() - began, time.process_time() - cpu
    last = reports["tuned" if "tuned" in reports else "0.5"]
    last.write_items(out / "items" / f"{name}.jsonl")
    row: dict[str, Any] = {
        "name": name,
        "thresholds": cuts,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(used, 1),
    }
    row["reports"] = {how: report.to_record() for how, report in reports.items()}
    row["auroc_equal_index"] = None if stated else equal_index(last, size)
    row["scored_tokens"] = sum(j.usage.scorer.scored for j in once.known.values())
    row["windowed"] = sum("windowed" in j.flags for j in once.known.values())
    row["errors"] = sum(j.error is not None for j in once.known.values())
    row["rows"] = {s.name: problem_rows(last, s.name, s.threshold).tolist() for s in last.subsets}
    return row


def problem_rows(report: ProcessBenchReport, subset: str, threshold: float) -> np.ndarray:
    items = report.items[subset]
    rows = first_error_rows([i.predicted(threshold) for i in items], [i.label for i in items])
    return cluster_sums([i.trace.problem.id for i in items], rows)


def equal_index(report: ProcessBenchReport, size: Size) -> dict[str, Any]:
    """AUROC among steps of one index (mean over indices, weighted by pairs): what is known beyond position."""
    by_problem: dict[str, list[tuple[int, float, bool]]] = defaultdict(list)
    for items in report.items.values():
        for item in items:
            scores, good, _ = up_to_first_error(item.judgement.scores or (), item.label)
            by_problem[item.trace.problem.id] += zip(range(len(scores)), scores, good)
    tables = [np.array(v, dtype=float).reshape(-1, 3) for v in by_problem.values()]

    def figure(drawn: np.ndarray) -> float | None:
        steps = np.concatenate([tables[i] for i in drawn])
        top = bottom = 0.0
        for t in np.unique(steps[:, 0]):
            own = steps[steps[:, 0] == t]
            good = own[:, 2] > 0.5
            pairs = float(good.sum()) * float((~good).sum())
            if pairs:
                top, bottom = top + pairs * (auroc(own[:, 1], good) or 0.0), bottom + pairs
        return top / bottom if bottom else None

    return bootstrap(
        np.arange(len(tables)), figure, resamples=min(300, size.resamples), seed=SEED
    ).to_record()


def against(rows: Mapping[str, Any], base: Mapping[str, Any], size: Size) -> dict[str, Any]:
    """Difference of the mean F1s (each at its own tuned threshold), both on the same resampled problems."""

    def mean(of: Mapping[str, Any]) -> tuple[float, np.ndarray]:
        tables = [np.array(of[name]) for name in sorted(of)]
        draws = [
            f1_of_sums(resampled_sums(t, resamples=size.resamples, seed=k)) for k, t in enumerate(tables)
        ]
        return float(np.mean([f1_of_sums(t.sum(0)) for t in tables])), np.mean(draws, axis=0)

    (a, many_a), (b, many_b) = mean(rows), mean(base)
    return percentile_interval(a - b, many_a - many_b, sum(map(len, rows.values()))).to_record()


def evaluate_all(sides: Sides, out: Path, size: Size, names: Sequence[str]) -> None:
    """`results.json`: one row per scorer; rows that are there stay."""
    from preceptor.reward import load_scorer

    path = out / "results.json"
    (out / "items").mkdir(exist_ok=True)
    found = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else {}
    fitted_on = [i for i in sides.fit if i.trace.problem.world == "processbench"]
    known = rules(fitted_on)
    shape = known["shape"]
    for name, rule in known.items():
        if name not in found:
            found[name] = evaluate(name, rule, sides, out, size)
    for name in names:
        directory = out / "models" / name
        if not (directory / "cost.json").exists():
            continue
        model = Remembered(load_scorer(directory), out / "items" / f"{name}.scores.jsonl")
        if name not in found:
            print(f"evaluate {name}", flush=True)
            found[name] = evaluate(name, model, sides, out, size)
            trained = json.loads((directory / "training.json").read_text(encoding="utf-8"))
            keep = ("parity", "held_out", "problems", "rows", "dropped", "objective")
            found[name]["training"] = {k: trained[k] for k in keep}
            found[name]["cost"] = json.loads((directory / "cost.json").read_text(encoding="utf-8"))
        both = f"{name} + shape"
        if both not in found:
            found[both] = evaluate(both, together(both, shape, model, sides.tuning), sides, out, size)
    for row in found.values():
        row["over"] = {base: against(row["rows"], found[base]["rows"], size) for base in BASES}
    path.write_text(json.dumps({**stamp(), "rows": found}) + "\n", encoding="utf-8")


def together(name: str, one: Scorer, other: Scorer, items: Sequence[LabelledTrace]) -> Rule:
    """Logistic regression on the log-odds of two scorers: does the one know what the other does not?"""

    def features(trace: Trace) -> np.ndarray:
        scores = [scorer.score([trace])[0].scores for scorer in (one, other)]
        filled = [[0.5 if s is None else s for s in own or [None] * len(trace.steps)] for own in scores]
        odds = np.clip(np.array(filled, dtype=float).T, 1e-6, 1 - 1e-6)
        return np.concatenate([np.log(odds / (1 - odds)), np.ones((len(odds), 1))], axis=1)

    return Rule(name, Logistic(features, items))


def stamp() -> dict[str, Any]:
    import torch

    said = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=HERE
    )
    return {
        "commit": said.stdout.strip(),
        "date": time.strftime("%Y-%m-%d"),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
    }


# Table


def shown(e: Mapping[str, Any] | None, scale: float = 100.0) -> str:
    if e is None or e["value"] is None:
        return "-"
    return f"{scale * e['value']:.1f} [{scale * e['low']:.1f}, {scale * e['high']:.1f}]"


def table(out: Path) -> str:
    """The results as markdown."""
    found = json.loads((out / "results.json").read_text(encoding="utf-8"))
    rows = found["rows"].values()
    names = [s["name"] for s in next(iter(rows))["reports"]["0.5"]["subsets"]]
    lines = ["| scorer | threshold | " + " | ".join(f"{n}: error / correct acc | {n}: F1" for n in names)]
    lines[0] += " | mean F1 | " + " | ".join(f"over {base}" for base in BASES) + " |"
    lines.append("|---" * (3 + len(BASES) + 2 * len(names)) + "|")
    for row in rows:
        for how, report in row["reports"].items():
            at = "stated" if row["auroc_equal_index"] is None else f"{row['thresholds'][how]:.3f} ({how})"
            cells = []
            for s in report["subsets"]:
                both = (s["error_accuracy"]["value"], s["correct_accuracy"]["value"])
                cells.append(" / ".join("-" if v is None else f"{100 * v:.1f}" for v in both))
                cells.append(shown(s["f1"]))
            cells.append(shown(report["mean_f1"]))
            for base, over in row["over"].items():
                cells.append(shown(over) if how == "tuned" and row["name"] != base else "")
            lines.append(f"| {row['name']} | {at} | {' | '.join(cells)} |")
    lines += ["", "| scorer | " + " | ".join(f"AUROC {n}" for n in names) + " | AUROC at equal step index |"]
    lines.append("|---" * (2 + len(names)) + "|")
    for row in rows:
        if row["auroc_equal_index"] is not None:
            areas = [shown(s["auroc"]) for s in row["reports"]["0.5"]["subsets"]]
            lines.append(f"| {row['name']} | {' | '.join(areas)} | {shown(row['auroc_equal_index'])} |")
    lines += [
        "",
        "| model | parameters | traces | tokens trained | CPU s | own held-out AUROC | parity | windowed |",
    ]
    lines.append("|---" * 8 + "|")
    for row in rows:
        if "cost" in row:
            cost, trained = row["cost"], row["training"]
            lines.append(
                f"| {row['name']} | {cost['parameters'] / 1e6:.2f}M | {cost['traces']} | {cost['tokens']} | "
                f"{cost['cpu_seconds']:.0f} | {held_out(trained)} | {trained['parity']['max_difference']:.1g} | "
                f"{row['windowed']} |"
            )
    return "\n".join(lines)


def held_out(trained: Mapping[str, Any]) -> str:
    value = (trained["held_out"] or {}).get("auroc")
    return "-" if value is None else f"{value:.3f}"


BASES = ("length", "shape")
"""The strongest rules: scorers are compared with them problem by problem."""
STAGES = ("split", "pretrain", "train", "evaluate", "table")


def main(data: Path, out: Path, size: Size, stages: Sequence[str], variants: Sequence[str]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    sides = read_sides(data, size.rows)
    if not (out / "split.json").exists():
        write_split(sides, data, out)
    check_written(sides, out)
    if "pretrain" in stages and not (out / "pretrain.json").exists():
        pretrain(sides, data, out, size)
    for name in variants if "train" in stages else ():
        if not (out / "models" / name / "cost.json").exists():
            train_variant(name, sides, out, size)
    if "evaluate" in stages:
        evaluate_all(sides, out, size, variants)
    if "table" in stages:
        print(table(out))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stages", nargs="*", default=list(STAGES), help=" ".join(STAGES))
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared" / "data")
    parser.add_argument("--out", type=Path, help="runs/real_prm, or runs/real_prm_quick")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--variants", default=";".join(VARIANTS), help="names, with ; between them")
    args = parser.parse_args()
    where = args.out or HERE.parent / "runs" / ("real_prm_quick" if args.quick else "real_prm")
    main(args.data, where, QUICK if args.quick else FULL, args.stages, args.variants.split(";"))
