"""Scoring throughput: steps per second of four ways to the same scores, interleaved in one process.

    OMP_NUM_THREADS=1 PYTHONPATH=src python benchmarks/score.py --size s2 --dtype float32

Real solutions (ProcessBench, GSM8K and MATH in turn), a byte-level BPE of 8,192 entries trained on them at run time,
a separator after each step, and Llama bodies with random weights. A score is the sigmoid of a random
linear head at a separator; the head is the same for all ways, so scores differ only by hidden states.

    per step     one forward pass for each step over all that stands before it, as several public wrappers do
    padded       batches of 16 (--batch) in the order given, padded, with an attention mask
    packed       `PackedForward`
    prefixes     every beginning of a third of the traces, each a row of its own
    beams        16 problems (--problems) x 8 beams x 6 steps, scored after each step: cache against re-encoding

The limit is the time the model's matrix products need for the tokens that must be computed, at the rate of
a forward pass over rows of one token, where attention has nothing to do. With one thread, seconds are the
process's own time on its processor, so that other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaModel

from preceptor.policy.packed import PackedForward

SIZES = {
    "s2": {"hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 5, "num_attention_heads": 6}
    | {"num_key_value_heads": 2},
    "s10": {"hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 6, "num_attention_heads": 6}
    | {"num_key_value_heads": 6},
}
SEPARATOR = 0
PARTS = ("traces", "prefixes", "beams")
BEAMS = (8, 6)
"""Beams of a problem, and rounds."""
Scores = list[list[float]]


@dataclass(frozen=True)
class Row:
    ids: list[int]
    at: list[int]


@dataclass
class Bench:
    body: LlamaModel
    head: torch.Tensor
    rows: list[Row]

    def scores(self, hidden: Sequence[torch.Tensor]) -> Scores:
        return [torch.sigmoid(h.float() @ self.head).tolist() for h in hidden]


def solutions(data: Path, count: int) -> list[tuple[str, list[str]]]:
    """(problem, steps) of both data sets in turn, in a random order."""
    found = []
    for name in ("gsm8k", "math"):
        items = json.loads((data / "processbench" / f"{name}.json").read_text())
        items = [(x["problem"], [step + "\n\n" for step in x["steps"]]) for x in items]
        found.append(random.Random(0).sample(items, count // 2))
    return [x for pair in zip(*found) for x in pair]


def tokenizer(data: Path) -> Tokenizer:
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=8192, special_tokens=["<|step|>"], initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator((p + "\n" + "".join(s) for p, s in solutions(data, 800)), trainer)
    return core


def render(core: Tokenizer, problem: str, steps: Sequence[str], limit: int = 1024) -> Row | None:
    ids, at = core.encode(problem + "\n").ids, []
    for step in steps:
        ids += [*core.encode(step).ids, SEPARATOR]
        at.append(len(ids) - 1)
    return Row(ids, at) if len(ids) <= limit else None


def body_of(size: str, dtype: torch.dtype, vocabulary: int) -> LlamaModel:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary, max_position_embeddings=1024, initializer_range=0.08, **SIZES[size]
    )
    return LlamaModel(config).to(dtype).eval()


def per_step(bench: Bench, rows: Sequence[Row]) -> Scores:
    out = []
    for row in rows:
        last = [bench.body(torch.tensor([row.ids[: p + 1]])).last_hidden_state[0, -1] for p in row.at]
        out.append(torch.stack(last))
    return bench.scores(out)


def padded(bench: Bench, rows: Sequence[Row], batch: int = 16) -> Scores:
    out = []
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        width = max(len(r.ids) for r in part)
        ids = torch.tensor([r.ids + [0] * (width - len(r.ids)) for r in part])
        mask = torch.tensor([[1] * len(r.ids) + [0] * (width - len(r.ids)) for r in part])
        hidden = bench.body(ids, attention_mask=mask, use_cache=False).last_hidden_state
        out += [hidden[k, r.at] for k, r in enumerate(part)]
    return bench.scores(out)


def packed(bench: Bench, rows: Sequence[Row], forward: PackedForward | None = None) -> Scores:
    forward = forward or PackedForward(bench.body)
    return bench.scores(forward.hidden([r.ids for r in rows], [r.at for r in rows])[0])


def prefixes(rows: Sequence[Row]) -> list[Row]:
    """Every beginning of every trace, shuffled, read at its end."""
    parts = [Row(r.ids[: p + 1], [p]) for r in rows for p in r.at]
    random.Random(1).shuffle(parts)
    return parts


def beams(rows: Sequence[Row], problems: int) -> list[list[Row]]:
    """Rounds of rows as a beam search has them: of eight beams four are continued, each by two steps.

    The steps are real ones of the solutions at hand; each row is read at its last separator.
    """
    width, rounds = BEAMS
    rng = random.Random(2)
    prompts = [r.ids[: r.at[0] // 2 + 1] for r in rows[:problems]]
    steps = [r.ids[a + 1 : b + 1] for r in rows for a, b in zip(r.at, r.at[1:]) if b - a < 100]
    live = [[p] * width for p in prompts]
    out = []
    for _ in range(rounds):
        live = [[b + rng.choice(steps) for b in beam] for beam in live]
        out.append([Row(ids, [len(ids) - 1]) for beam in live for ids in beam])
        live = [[b for b in rng.sample(beam, width // 2) for _ in range(2)] for beam in live]
    return out


def beam_search(
    bench: Bench, rounds: Sequence[Sequence[Row]], way: Callable[[Bench, Sequence[Row]], Scores]
) -> Scores:
    return [scores for rows in rounds for scores in way(bench, rows)]


def clock() -> float:
    """Seconds of this process on its processor, or, with several threads, of wall time."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def interleaved(
    ways: dict[str, Callable[[], Scores]], repeat: int
) -> tuple[dict[str, list[float]], dict[str, Scores]]:
    results: dict[str, Scores] = {}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeat):
        for name, way in ways.items():
            begin = clock()
            results[name] = way()
            seconds[name].append(clock() - begin)
    return seconds, results


def dense_rate(body: LlamaModel, tokens: int = 2048) -> float:
    """Tokens per second of a forward pass without attention to anything."""
    ids = torch.zeros(tokens, 1, dtype=torch.long)
    times = []
    for _ in range(4):
        begin = clock()
        body(ids, use_cache=False)
        times.append(clock() - begin)
    return tokens / min(times[1:])


def show(name: str, ways: dict[str, Callable[[], Scores]], tokens: int, rate: float, repeat: int) -> None:
    """One line a way; ratios are to the last one, which is ours."""
    seconds, results = interleaved(ways, repeat)
    ours = list(ways)[-1]
    reads = sum(map(len, results[ours]))
    for way, times in seconds.items():
        middle = statistics.median(times)
        ratios = sorted(t / o for t, o in zip(times, seconds[ours]))
        worst = max(
            abs(a - b) for x, y in zip(results[way], results[ours]) for a, b in zip(x, y, strict=True)
        )
        limit = f"{tokens / rate / middle:4.0%}" if way == ours else ""
        print(
            f"{name:9} {way:10} {reads / middle:8.0f} steps/s   ours is {statistics.median(ratios):5.2f}x "
            f"({ratios[0]:.2f}-{ratios[-1]:.2f})   difference {worst:.1e}   {limit}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=SIZES, default="s2")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--traces", type=int, default=48)
    parser.add_argument("--problems", type=int, default=16, help="of the beam search")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--batch", type=int, default=16, help="rows of a padded batch")
    parser.add_argument("--min-steps", type=int, default=1, help="leave shorter solutions out")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    args = parser.parse_args()
    core = tokenizer(args.data)
    rows = [
        r
        for p, s in solutions(args.data, args.traces)
        if (r := render(core, p, s)) and len(s) >= args.min_steps
    ]
    body = body_of(args.size, getattr(torch, args.dtype), core.get_vocab_size())
    bench = Bench(body, torch.randn(body.config.hidden_size) / body.config.hidden_size**0.5, rows)
    with torch.inference_mode():
        run(bench, args)


def run(bench: Bench, args: argparse.Namespace) -> None:
    rows, rate = bench.rows, dense_rate(bench.body)
    tokens = sum(len(r.ids) for r in rows)
    size = sum(p.numel() for p in bench.body.layers.parameters()) / 1e6
    print(
        f"{args.size} ({size:.1f}M without embeddings), {args.dtype}, torch {torch.__version__}, "
        f"{torch.get_num_threads()} thread(s), {platform.machine()}\n{len(rows)} traces, "
        f"{sum(len(r.at) for r in rows)} steps, {tokens} tokens; dense rate {rate:.0f} tokens/s",
        flush=True,
    )
    forward = PackedForward(bench.body)
    forward.probe()
    if "traces" in args.parts:
        ways = {
            "per step": lambda: per_step(bench, rows),
            "padded": lambda: padded(bench, rows, args.batch),
            "packed": lambda: packed(bench, rows, forward),
        }
        show("traces", ways, tokens, rate, args.repeat)
    if "prefixes" in args.parts:
        some = rows[: max(1, args.traces // 3)]
        parts = prefixes(some)
        ways = {
            "padded": lambda: padded(bench, parts, args.batch),
            "packed": lambda: packed(bench, parts, forward),
        }
        show("prefixes", ways, sum(len(r.ids) for r in some), rate, args.repeat)
    if "beams" in args.parts:
        run_beams(bench, forward, rate, args)


def run_beams(bench: Bench, forward: PackedForward, rate: float, args: argparse.Namespace) -> None:
    rounds = beams(bench.rows, args.problems)
    cached = PackedForward(bench.body, cache_tokens=1 << 20)
    cached.probe()

    def with_cache() -> Scores:
        cached.clear()
        return beam_search(bench, rounds, lambda b, r: packed(b, r, cached))

    costs = [cached.hidden([r.ids for r in rows], [r.at for r in rows])[1] for rows in rounds]
    fresh = sum(sum(cost.computed) for cost in costs)
    print(f"beams: {sum(len(r.ids) for g in rounds for r in g)} tokens in all rounds, {fresh} computed")
    ways = {
        "padded": lambda: beam_search(bench, rounds, padded),
        "no cache": lambda: beam_search(bench, rounds, lambda b, r: packed(b, r, forward)),
        "cache": with_cache,
    }
    show("beams", ways, fresh, rate, args.repeat)


if __name__ == "__main__":
    main()
