"""Problems per second of a step beam: our engine in one run against the usual loop, one problem at a time.

    OMP_NUM_THREADS=1 PYTHONPATH=src python benchmarks/search_speed.py --repeat 5
    OMP_NUM_THREADS=1 PYTHONPATH=src python benchmarks/search_speed.py --profile
    OMP_NUM_THREADS=1 PYTHONPATH=src python benchmarks/search_speed.py --repeat 3 --wide 2     # 1.6M parameters; 5: 10M

Beam 4 x 4 with the shipped policy of the arithmetic world and a reward model of the same size, trained here for a few
seconds on the oracle's labels. What is searched is the same for both: 16 first steps, then 4 steps behind each of the 4
best prefixes that differ, until 16 solutions are done or none is live; a step ends with its line.

    ours    `solve`: all problems at once; policy and reward model keep ids, keys and values of their prefixes
    loop    what published tools do, written out below: problem by problem; each round every candidate's whole text is
            tokenized again, continued by `generate` of transformers, then tokenized again with the reward model's
            marks and read by it in one padded batch. It is given its due: sixteen rows a batch, lines ended by a
            token and not by a search for text, and no more padding than a batch needs.

Answers are not the same, for random streams are not; accuracy and finished solutions should be alike. Seconds are the
process's own on its processor; repetitions are interleaved, each with a seed of its own. The fewest tokens that a
reward model can be fed is every token of what was scored once: the size of the trie of all its rows, problem by
problem. Ours may be below it, for problems share beginnings too.

`--wide k` repeats every channel and head of the policy k times and divides what reads them by k: k^2 times the
parameters, the same probabilities up to rounding, so a search of the same shape at a greater size.
"""

from __future__ import annotations

import argparse
import copy
import cProfile
import json
import platform
import pstats
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers

from preceptor.annotate import WorldOracle, label
from preceptor.generation import Continuation, Request
from preceptor.grade import canonical, grade
from preceptor.policy import TransformersPolicy, load_policy, sample
from preceptor.reward import PRM, train
from preceptor.search import SolveResult, StepBeam, solve
from preceptor.trace import Finish, Problem
from preceptor.worlds import load_problems

KEEP, EXPAND, STEPS, TEMPERATURE, MAX_TOKENS = 4, 4, 40, 0.8, 256
KEPT = 1 << 15
"""Tokens whose keys and values each model keeps between rounds, as `preceptor solve` has it."""


@dataclass
class Tally:
    """What one way did in one repetition."""

    seconds: float = 0.0
    policy_seconds: float = 0.0
    correct: int = 0
    finished: int = 0
    generated: int = 0
    read: int = 0
    """Tokens the policy read before it could write."""
    scored: int = 0
    least: int = 0
    """Distinct tokens among what was scored."""
    rounds: int = 0


@dataclass
class Beam:
    """One candidate of the loop."""

    text: str = ""
    steps: list[str] = field(default_factory=list)
    score: float = -1.0
    state: str = "live"


@dataclass
class Clocked:
    """A policy, and the processor's seconds it took."""

    policy: TransformersPolicy
    seconds: float = 0.0

    @property
    def fingerprint(self) -> str:
        return self.policy.fingerprint

    def generate(self, requests: Sequence[Request]) -> list[Continuation]:
        begin = time.process_time()
        answers = self.policy.generate(requests)
        self.seconds += time.process_time() - begin
        return answers


def ours(policy: TransformersPolicy, prm: PRM, problems: list[Problem], seed: int) -> Tally:
    policy.forget()
    prm.forward.clear()
    clocked = Clocked(policy)
    begin = time.process_time()
    found = solve(clocked, problems, StepBeam(KEEP, EXPAND), prm, seed=seed)
    return told(found, prm, time.process_time() - begin, clocked.seconds)


def told(found: SolveResult, prm: PRM, seconds: float, policy_seconds: float) -> Tally:
    rows = [[row.token_ids for n in s.tree.nodes if n.scores for row in prm.render(s.tree.trace(n)).rows]
            for s in found.solutions]  # fmt: skip
    spent = found.ledger
    return Tally(
        seconds=seconds,
        policy_seconds=policy_seconds,
        correct=found.correct,
        finished=sum(s.finished for s in found.solutions),
        generated=spent.policy.generated,
        read=spent.policy.prefilled,
        scored=spent.scorer.scored,
        least=sum(map(distinct, rows)),
        rounds=found.rounds,
    )


def distinct(rows: list[tuple[int, ...]]) -> int:
    """Nodes of the trie of these rows."""
    return len({row[: k + 1] for row in set(rows) for k in range(len(row))})


class Loop:
    """The reference."""

    def __init__(self, policy: TransformersPolicy, prm: PRM):
        self.model, self.prm = policy.model, prm
        self.tokenizer, self.eos = policy.tokenizer, max(policy.eos_ids)
        self.tokenizer.padding_side = "left"
        self.tag = prm.format.layout.tag
        (self.tag_id,) = prm.tokenizer.encode(self.tag, add_special_tokens=False)
        (self.line,) = self.tokenizer.encode("\n", add_special_tokens=False)
        self.tally = Tally()

    def run(self, problems: list[Problem], seed: int) -> Tally:
        torch.manual_seed(seed)
        self.tally = Tally()
        begin = time.process_time()
        for problem in problems:
            self.solve(problem)
        self.tally.seconds = time.process_time() - begin
        return self.tally

    @torch.inference_mode()
    def solve(self, problem: Problem) -> None:
        live, done = [Beam()] * KEEP, list[Beam]()
        rows: list[tuple[int, ...]] = []
        for step in range(STEPS):
            grown = self.extend(problem, [b for b in live for _ in range(EXPAND)])
            rows += self.score(problem, [b for b in grown if b.state != "cut"])
            done += [b for b in grown if b.state == "done"]
            first = {b.text: b for b in reversed(grown) if b.state == "live"}
            live = sorted((b for b in grown if first.get(b.text) is b), key=lambda b: -b.score)[:KEEP]
            if not live or len(done) >= KEEP * EXPAND or step == STEPS - 1:
                break
        self.tally.least += distinct(rows)
        self.tally.finished += len(done)
        self.tally.correct += self.right(problem, done)

    def right(self, problem: Problem, done: list[Beam]) -> bool:
        for best in sorted(done, key=lambda b: -b.score):
            graded = grade(problem, best.text, finish=Finish.STOP)
            if graded.answer is not None and canonical(problem, graded.answer) is not None:
                return graded.correct
        return False

    def extend(self, problem: Problem, beams: list[Beam]) -> list[Beam]:
        """One step behind each."""
        begin = time.process_time()
        texts = [problem.prompt + "\n" + b.text for b in beams]
        given = self.tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
        given.pop("token_type_ids", None)
        out = self.model.generate(**given, do_sample=True, temperature=TEMPERATURE, top_k=0, top_p=1.0,
                                  max_new_tokens=MAX_TOKENS, eos_token_id=[self.eos, self.line],
                                  pad_token_id=self.tokenizer.pad_token_id)  # fmt: skip
        grown = []
        for beam, ids in zip(beams, out[:, given["input_ids"].shape[1] :].tolist(), strict=True):
            ends = [k for k, i in enumerate(ids) if i in (self.eos, self.line)]
            own = ids[: ends[0] + 1] if ends else ids
            state = "cut" if not ends else "done" if own[-1] == self.eos else "live"
            text = self.tokenizer.decode(own, skip_special_tokens=True)
            grown.append(Beam(beam.text + text, beam.steps + ([text] if text.strip() else []), state=state))
            self.tally.generated += len(own)
        self.tally.read += int(given["attention_mask"].sum())
        self.tally.rounds += 1
        self.tally.policy_seconds += time.process_time() - begin
        return grown

    def score(self, problem: Problem, beams: list[Beam]) -> list[tuple[int, ...]]:
        """The last step's score of each, read off its whole text."""
        texts = [problem.prompt + "\n" + "".join(s.rstrip("\n") + self.tag for s in b.steps) for b in beams]
        rows = [self.prm.tokenizer.encode(text, add_special_tokens=False) for text in texts]
        if not rows:
            return []
        width = max(map(len, rows))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
        hidden = self.prm.model.body(ids, attention_mask=mask, use_cache=False).last_hidden_state
        last = [max(k for k, i in enumerate(row) if i == self.tag_id) for row in rows]
        scores = self.prm.format.link.score(self.prm.model.outputs(hidden[range(len(rows)), last]))
        for beam, score in zip(beams, scores.tolist(), strict=True):
            beam.score = score
        self.tally.scored += sum(map(len, rows))
        return [tuple(row[: at + 1]) for row, at in zip(rows, last, strict=True)]


def reward_model(policy: TransformersPolicy, folder: Path) -> PRM:
    """Of the policy's size, from the oracle's labels."""
    traces = sample(policy, load_problems("world:arithmetic?split=train", n=100), samples=4)
    train(label(WorldOracle(), traces), backbone=policy, out=folder, epochs=1, lr=1e-3, held_out=0.0)
    return PRM.load(folder)


def widened(policy: TransformersPolicy, k: int, folder: Path) -> TransformersPolicy:
    """The same function of text, every width `k` times; saved and opened like any other model."""
    config = copy.deepcopy(policy.model.config)
    for width in ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads"):
        setattr(config, width, k * getattr(config, width))
    config.tie_word_embeddings = False
    wide = transformers.LlamaForCausalLM(config)
    state = {}
    for name, weight in policy.model.state_dict().items():
        if weight.ndim == 1 or "embed_tokens" in name:
            state[name] = weight.repeat(*[1] * (weight.ndim - 1), k)
        elif name == "lm_head.weight":
            state[name] = weight.repeat(1, k) / k
        else:
            state[name] = weight.repeat(k, k) / k
    wide.load_state_dict(state)
    wide.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)
    opened = load_policy(str(folder))
    assert isinstance(opened, TransformersPolicy)
    ids = torch.arange(20)[None] + 40
    with torch.inference_mode():
        off = (opened.model(ids).logits - policy.model(ids).logits).abs().max()
    assert off < 1e-3, f"the wider model differs by {off}"
    return opened


def same_scores(loop: Loop, prm: PRM, policy: TransformersPolicy, problem: Problem) -> float:
    """How far the loop's scores of some texts are from the reward model's own."""
    traces = [t for t in sample(policy, [problem], samples=8) if t.finish is Finish.STOP]
    beams = [Beam(t.text, t.step_texts) for t in traces]
    loop.score(problem, beams)
    own = [(j.scores or (None,))[-1] for j in prm.score(traces)]
    return max(abs(b.score - s) for b, s in zip(beams, own, strict=True) if s is not None)


def measure(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    policy = load_policy("world:arithmetic")
    assert isinstance(policy, TransformersPolicy)
    if args.wide > 1:
        policy = widened(policy, args.wide, folder / "wide")
    prm = reward_model(policy, folder / "prm")
    problems = load_problems("world:arithmetic?split=test", n=args.problems)
    policy.remember(KEPT)
    prm.remember(KEPT)
    loop = Loop(policy, prm)
    difference = same_scores(loop, prm, policy, problems[0])
    ours(policy, prm, problems[:4], 0)
    loop.run(problems[:1], 0)
    mine, theirs = [], []
    for seed in range(args.repeat):
        mine.append(ours(policy, prm, problems, seed))
        theirs.append(loop.run(problems, seed))
        print(f"{seed + 1}/{args.repeat}: {theirs[-1].seconds / mine[-1].seconds:.1f}x", flush=True)
    if args.profile:
        with cProfile.Profile() as profile:
            ours(policy, prm, problems, 0)
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)
    ratios = sorted(t.seconds / m.seconds for m, t in zip(mine, theirs, strict=True))
    return {
        "problems": len(problems),
        "wide": args.wide,
        "repeat": args.repeat,
        "ratio": round(statistics.median(ratios), 2),
        "ratio_range": [round(ratios[0], 2), round(ratios[-1], 2)],
        "ours": summary(mine, len(problems)),
        "loop": summary(theirs, len(problems)),
        "score_difference": difference,
        "parameters": [policy._parameters, prm.model.dense_parameters()],
        "threads": torch.get_num_threads(),
        "machine": f"{platform.processor() or platform.machine()}, torch {torch.__version__}, "
        f"transformers {transformers.__version__}",
        "date": time.strftime("%Y-%m-%d"),
    }


def summary(tallies: list[Tally], n: int) -> dict[str, Any]:
    def middle(name: str) -> float:
        return statistics.median(getattr(t, name) for t in tallies)

    return {
        "problems_per_second": round(n / middle("seconds"), 2),
        "seconds": round(middle("seconds"), 2),
        "policy_share": round(middle("policy_seconds") / middle("seconds"), 2),
        "accuracy": round(statistics.mean(t.correct for t in tallies) / n, 3),
        "finished": round(statistics.mean(t.finished for t in tallies) / n, 1),
        "generated": round(statistics.mean(t.generated for t in tallies) / n),
        "read": round(statistics.mean(t.read for t in tallies) / n),
        "scored": round(statistics.mean(t.scored for t in tallies) / n),
        "least": round(statistics.mean(t.least for t in tallies) / n),
        "scored_over_least": round(statistics.mean(t.scored / t.least for t in tallies), 3),
        "rounds": round(statistics.mean(t.rounds for t in tallies), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", type=int, default=32)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--wide", type=int, default=1, help="times every width of both models")
    parser.add_argument("--profile", action="store_true", help="also show where our time goes")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(args, Path(folder)), indent=1))


if __name__ == "__main__":
    main()
