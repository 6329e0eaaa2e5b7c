"""Train the small judges that ship with the package: Llamas that check the steps of a world's solutions.

    python scripts/train_judge.py --world arithmetic --out src/preceptor/worlds/arithmetic_judge
    python scripts/train_judge.py --world game24 --out src/preceptor/worlds/game24_judge

Starts from the world's shipped policy, whose tokenizer gets a token for each line that prompts and replies always
have. Learns the replies of `judge_formats.py` to prompts about traces of the train split: samples of the shipped
policy, plays of scripted ones, and either with one line spoiled, so that right and wrong solutions and every kind
of error occur. Prints its figures on the test split and saves them in figures.json.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import torch
from judge_formats import FORMATS, Told, drill
from small_models import Row, batches, fit, row_of, save
from tokenizers import AddedToken
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from preceptor.bench.first_error import f1_of_sums, first_error_rows
from preceptor.bench.statistics import bootstrap_sums
from preceptor.errors import InputError
from preceptor.generation import Continuation, Policy, Request
from preceptor.judgement import first_below
from preceptor.policy import ScriptedGame24, ScriptedPolicy, TransformersPolicy, load_policy, trace_of
from preceptor.policy.checkpoint import load_checkpoint
from preceptor.policy.load import WORLD_POLICIES
from preceptor.trace import Finish, Problem, Trace, stream_seed
from preceptor.worlds import WORLDS, first_invalid

SCRIPTED: dict[str, tuple[Policy, ...]] = {
    "arithmetic": tuple(ScriptedPolicy(error) for error in (0.0, 0.1, 0.3)),
    "game24": tuple(ScriptedGame24(wise) for wise in (1.0, 1.0, 0.3)),
}
CHANGES = {"arithmetic": (0, 1, 2, 2, 3), "game24": (0, 0, 1, 1, 2)}
"""How many lines of a training trace are changed, each number as likely. Where errors are rare, a small judge never
learns to find them: it copies what it should check."""
TEST_CHANGES = (0, 0, 1)
LONGEST = 512
"""Tokens of a row; longer ones are left out of the training."""
_OPERATION = re.compile(r"(\d+)([-+*/])(\d+)=(\d+)")


def told(trace: Trace) -> Told:
    return Told(trace, WORLDS[trace.problem.world].judge(trace.problem, trace.step_texts))


def traces_of(
    world: str, problems: Sequence[Problem], written: Sequence[Trace], changes: Sequence[int], seed: int
) -> Iterator[Told]:
    """A trace per problem: in turn one of `written`, if there are any left, and a scripted one; with lines
    changed."""
    rng, left = random.Random(stream_seed("judge", world, seed)), list(written)
    for k, problem in enumerate(problems):
        if left and k % 2:
            trace = left.pop()
        else:
            player = rng.choice(SCRIPTED[world])
            try:
                trace = trace_of(problem, player.generate([Request(problem, draw=k, seed=seed)])[0])
            except StopIteration:  # rarely a scripted player finds no error to make
                continue
        yield told(spoiled(trace, rng.choice(changes), rng))


def spoiled(trace: Trace, changes: int, rng: random.Random) -> Trace:
    """The trace with up to so many lines changed, from each of them carried on by a scripted player where that
    can be."""
    player, done = SCRIPTED[trace.problem.world][0], 0
    for left in range(changes, 0, -1):
        if len(trace.steps) - done < left:
            break
        t = rng.randrange(done, len(trace.steps) - left + 1)
        prefix, done = trace.prefix(t) + changed(trace, trace.step_texts[t], rng), t + 1
        try:
            (rest,) = player.generate([Request(trace.problem, prefix, seed=rng.randrange(1 << 30))])
            text = prefix + rest.text
        except (InputError, StopIteration):  # not a line that a player can carry on from
            text = prefix + trace.text[trace.steps[t].end :]
        trace = trace_of(trace.problem, Continuation(text, Finish.STOP))
    return trace


def changed(trace: Trace, line: str, rng: random.Random) -> str:
    """The line with its last number exchanged, or, four times in ten, another number or the operation; half of those
    sums come out right again."""
    places = list(re.finditer(r"\d+", line))
    if not places:
        return line
    last = rng.random() < 0.6
    place = places[-1] if last else rng.choice(places)
    known = re.findall(r"\d+", trace.problem.prompt + trace.text)
    near = int(place[0]) + rng.choice((-10, -2, -1, 1, 2, 10))
    new = rng.choice(known) if rng.random() < 0.4 or near < 0 else str(near)
    line = line[: place.start()] + new + line[place.end() :]
    found = _OPERATION.search(line)
    if last or found is None or rng.random() < 0.5:
        return line
    a, op, b = int(found[1]), rng.choice((found[2], "+", "-", "*")), int(found[3])
    value = {"+": a + b, "-": a - b, "*": a * b, "/": a // b if b else 0}[op]
    return line[: found.start()] + f"{a}{op}{b}={value}" + line[found.end() :]


def widened(tokenizer: PreTrainedTokenizerFast, known: Sequence[Told]) -> list[str]:
    """Gives the tokenizer a token for whatever stands between numbers, problem and answer in prompts and replies;
    returns the new ones."""
    rng, found = random.Random(0), dict[str, None]()
    for one in known:
        blank = replace(one.trace, problem=replace(one.trace.problem, prompt="@"))
        for form in FORMATS.values():
            text = "\n".join(form.pair(Told(blank, one.truths), rng))
            text = re.sub(r"Answer: |(Verdict:|, right|, wrong|wrong [a-z]+)", r"@\1@", text)
            found |= dict.fromkeys(c for c in re.split(r"[@\d\n]|(?<=\d)[-+*/=()]", text) if len(c) > 4)
    tokenizer.add_tokens([AddedToken(c, normalized=False, special=False) for c in found])
    return list(found)


def widen(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, pieces: dict[str, list[int]]) -> None:
    """Embeddings for new tokens: the mean of the tokens they were written with before."""
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with torch.no_grad():
        table = model.get_input_embeddings().weight
        for text, ids in pieces.items():
            table[tokenizer.convert_tokens_to_ids(text)] = table[ids].mean(0)


def rows(
    tokenizer: PreTrainedTokenizerFast, known: Sequence[Told], drills: float, seed: int
) -> Iterator[Row]:
    """Endless rows, a share of them drills; every trace is asked about in another form each time it comes."""
    rng = random.Random(seed)
    forms, shares = list(FORMATS.values()), [form.share for form in FORMATS.values()]
    for _ in count():
        for one in rng.sample(known, len(known)):
            while rng.random() < drills:
                yield row_of(tokenizer, *drill(rng.choice(known), rng))
            row = row_of(tokenizer, *rng.choices(forms, shares)[0].pair(one, rng))
            if len(row[0]) <= LONGEST:
                yield row


def material(world: str, split: str, n: int, sampled: int, seed: int) -> list[Told]:
    """`n` traces of a split; up to `sampled` of them are written by the shipped policy."""
    source = WORLDS[world]
    if world == "game24":
        hands = source.problems(split, {"train": 822, "dev": 262, "test": 278}[split], seed)
        problems = [hands[k % len(hands)] for k in range(n)]
    else:
        problems = source.problems(split, n, seed)
    asked = [Request(p, draw=k, seed=seed) for k, p in enumerate(problems[1::2][:sampled])]
    written = [
        trace_of(request.problem, found)
        for request, found in zip(asked, load_policy(f"world:{world}").generate(asked), strict=True)
    ]
    changes = CHANGES[world] if split == "train" else TEST_CHANGES
    return [one for one in traces_of(world, problems, written[::-1], changes, seed) if one.trace.steps]


def measured(
    policy: TransformersPolicy, known: Sequence[Told], names: Sequence[str] = tuple(FORMATS)
) -> dict[str, dict[str, Any]]:
    """Per form of question: readable replies, right verdicts on steps, F1 of the first error, tokens."""
    traces, actual = [one.trace for one in known], [first_invalid(one.truths) for one in known]
    figures = {}
    for name in names:
        form = FORMATS[name]
        if form.scorer is None:
            continue
        judged = form.scorer(policy).score(traces)
        read = [j.error is None and j.undecided == 0 for j in judged]
        named = [
            j.first_error if j.first_error is not None else first_below(j.scores or (), 0.5) for j in judged
        ]
        hits = [
            (s >= 0.5) == truth.valid
            for one, j, a in zip(known, judged, actual, strict=True)
            for s, truth in list(zip(j.scores or (), one.truths))[: a + 1 if a >= 0 else None]
            if s is not None
        ]
        cost = [j.usage.scorer for j in judged]
        figures[name] = {
            "readable": round(sum(read) / len(read), 3),
            "step_accuracy": round(sum(hits) / len(hits), 3) if hits and name != "rubric" else None,
            **_f1(named, actual),
            "written_tokens": round(sum(c.generated for c in cost) / len(cost), 1),
            "read_tokens": round(sum(c.prefilled + c.scored + c.reused for c in cost) / len(cost), 1),
        }
        print(name, json.dumps(figures[name]), flush=True)
    return figures


def _f1(named: Sequence[int | None], actual: Sequence[int]) -> dict[str, Any]:
    found = bootstrap_sums(first_error_rows(named, actual), f1_of_sums)
    low, value, high = (round(x or 0.0, 3) for x in (found.low, found.value, found.high))
    return {"f1": value, "f1_95": [low, high]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--world", choices=sorted(WORLDS), required=True)
    parser.add_argument("--out", type=Path, required=True, help="directory for the model, tokenizer and card")
    parser.add_argument("--traces", type=int, default=8000)
    parser.add_argument("--sampled", type=int, default=2500, help="of them, written by the shipped policy")
    parser.add_argument("--drills", type=float, default=0.5, help="share of short rows that teach to compare")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--test", type=int, default=240)
    parser.add_argument("--every", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    model, tokenizer = load_checkpoint(WORLD_POLICIES[args.world], "float32", "cpu")
    began = time.time()
    known = material(args.world, "train", args.traces, args.sampled, args.seed + 1)
    print(
        f"{len(known)} traces, {sum(first_invalid(k.truths) >= 0 for k in known) / len(known):.2f} wrong, "
        f"{time.time() - began:.0f} s",
        flush=True,
    )
    plain = tokenizer.backend_tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    new = widened(tokenizer, known[:300])
    widen(model, tokenizer, {c: plain.encode(c).ids for c in new})
    stream = rows(tokenizer, known, args.drills, args.seed)
    lengths = [len(next(stream)[0]) for _ in range(500)]
    print(
        f"{len(tokenizer)} tokens, {sum(lengths) / 500:.0f} tokens a row, longest {max(lengths)}", flush=True
    )

    dev = material(args.world, "dev", 40, 0, 0)

    def done(now: LlamaForCausalLM, line: str) -> bool:
        print(line, flush=True)
        if int(line.split()[1]) % (3 * args.every) == 0:
            save(now, tokenizer, args.out, {})
            measured(TransformersPolicy(now, tokenizer), dev, ("step-judge", "critique"))
        return False

    stream = batches(stream, args.batch, tokenizer.pad_token_id)
    model, steps, seconds = fit(model.train(), stream, args.lr, args.every, done, args.steps)
    model.eval()
    test = material(args.world, "test", args.test, args.test // 2, 0)
    figures = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "training_steps": steps,
        "batch": args.batch,
        "train_traces": len(known),
        "seconds": round(seconds),
        "test_traces": len(test),
        "wrong": sum(first_invalid(one.truths) >= 0 for one in test),
        "formats": measured(TransformersPolicy(model, tokenizer), test),
    }
    save(model, tokenizer, args.out, figures)


if __name__ == "__main__":
    main()
