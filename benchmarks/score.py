"""Scoring throughput of a reward model: steps per second, one core.

    OMP_NUM_THREADS=1 PYTHONPATH=. python benchmarks/score.py [--traces 48] [--repeats 3]

Three ways to the same scores, interleaved in one process on real solutions (ProcessBench GSM8K, from
../shared/data, or --data DIR): one forward pass per step, as several public wrappers do; padded batches of
16 in the order given, with an attention mask; and `PRM.score`. A Llama of 1.4M parameters with random weights,
fp32, context 512 (longer texts are read through windows): the figures compare ways of
scoring, not models. The largest difference of a score is printed beside.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from preceptor.judgement import Question
from preceptor.reward import PRM
from preceptor.reward.head import build
from preceptor.reward.link import LINKS
from preceptor.reward.readout import collate, read
from preceptor.trace import Problem, Trace, steps_from_ends
from tests.tiny import save_tiny_policy

Scores = list[list[float]]


def solutions(path: Path) -> list[Trace]:
    traces = []
    for row in json.loads(path.read_text()):
        steps = [step + "\n\n" for step in row["steps"]]
        ends = [sum(map(len, steps[: t + 1])) for t in range(len(steps))]
        traces.append(Trace(Problem(row["problem"]), "".join(steps), steps_from_ends(ends)))
    return traces


def model(directory: Path) -> PRM:
    save_tiny_policy(directory / "lm", hidden=192, layers=4)
    torch.manual_seed(0)
    head, tokenizer, _ = build(directory / "lm", question=Question.VALIDITY)
    head.save_pretrained(directory / "prm")
    tokenizer.save_pretrained(directory / "prm")
    return PRM.load(directory / "prm", device="cpu")


@torch.inference_mode()
def one_forward_per_step(prm: PRM, traces: Sequence[Trace]) -> Scores:
    link, out = LINKS[prm.format.link].score, []
    for trace in traces:
        scores: list[float] = []
        for row in prm.render(trace).rows:
            for position in row.positions:
                ids = torch.tensor([row.token_ids[: position + 1]])
                scores.append(link(prm.model(input_ids=ids).logits[0, -1]).item())
        out.append(scores)
    return out


@torch.inference_mode()
def padded_in_order(prm: PRM, traces: Sequence[Trace], rows_per_batch: int = 16) -> Scores:
    link, out = LINKS[prm.format.link].score, [[] for _ in traces]
    rows = [(i, row) for i, trace in enumerate(traces) for row in prm.render(trace).rows]
    for start in range(0, len(rows), rows_per_batch):
        part = rows[start : start + rows_per_batch]
        values = link(read(prm.model, collate([row for _, row in part]), causal=False)).tolist()
        for (i, row), scores in zip(part, values, strict=True):
            out[i] += scores[: len(row.positions)]
    return out


def ours(prm: PRM, traces: Sequence[Trace]) -> Scores:
    return [[s if s is not None else float("nan") for s in j.scores or ()] for j in prm.score(traces)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--traces", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=3)
    shared = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=shared)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        prm = model(Path(directory))
    whole = [t for t in solutions(args.data / "processbench" / "gsm8k.json") if prm.render(t).error is None]
    traces = whole[: args.traces]
    ways: dict[str, Callable[[PRM, Sequence[Trace]], Scores]] = {
        "one forward per step": one_forward_per_step,
        "padded, order given": padded_in_order,
        "PRM.score": ours,
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    results: dict[str, Scores] = {}
    for name, way in ways.items():
        way(prm, traces[:2])
        results[name] = way(prm, traces)
    for _ in range(args.repeats):
        for name, way in ways.items():
            begin = time.perf_counter()
            way(prm, traces)
            seconds[name].append(time.perf_counter() - begin)
    report(prm, traces, seconds, results)


def report(
    prm: PRM, traces: Sequence[Trace], seconds: dict[str, list[float]], results: dict[str, Scores]
) -> None:
    steps = sum(len(t.steps) for t in traces)
    tokens = sum(j.usage.scorer.scored for j in prm.score(traces))
    print(f"{len(traces)} traces, {steps} steps, {tokens} tokens; {prm}")
    print(f"{platform.machine()}, torch {torch.__version__}, {torch.get_num_threads()} thread(s)")
    reference = results["one forward per step"]
    base = statistics.median(seconds["one forward per step"])
    print(f"{'':22}{'steps/s':>9}{'speed-up':>10}{'spread':>8}{'max score diff':>16}")
    for name, times in seconds.items():
        middle = statistics.median(times)
        worst = max(abs(a - b) for x, y in zip(results[name], reference) for a, b in zip(x, y, strict=True))
        spread = (max(times) - min(times)) / middle
        print(f"{name:22}{steps / middle:9.0f}{base / middle:9.1f}x{spread:8.0%}{worst:16.1e}")


if __name__ == "__main__":
    main()
