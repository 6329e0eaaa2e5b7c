"""Specifies DEL-ToM's choice with a simulator of who knows what: its labels are exact, step by step."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from preceptor.bench.discrimination import step_confusion
from preceptor.generation import Continuation, Request
from preceptor.judgement import Judgement, Question, Source
from preceptor.search import Majority, SolveResult, WeightedVote, solve
from preceptor.search.voting.belief_best_of_n import BeliefBestOfN, block_ends, block_scores
from preceptor.trace import Finish, Problem, Trace, stream_seed
from preceptor.usage import Ledger, Usage

PLACES = ("box", "basket", "drawer")


def story(name: str) -> list[str]:
    """Anna sees every move until she leaves; Ben moves the ball on."""
    rng = random.Random(stream_seed("story", name))
    moves = [f"Ben moves the ball to the {rng.choice(PLACES)}." for _ in range(4)]
    leaves = rng.randint(1, 3)
    return [*moves[:leaves], "Anna leaves.", *moves[leaves:]]


def beliefs(lines: Sequence[str]) -> list[str]:
    """Where Anna believes the ball to be after each line: the simulator."""
    here, place, out = True, "nowhere", []
    for line in lines:
        here = here and "leaves" not in line
        place = line.split()[-1].rstrip(".") if here and "moves" in line else place
        out.append(place)
    return out


def task(name: str) -> Problem:
    lines = story(name)
    prompt = "\n".join(lines) + "\nWhere does Anna believe the ball to be?"
    return Problem(prompt, f"[{beliefs(lines)[-1]}]", id=name, grader="exact", segmenter="line")


class Believer:
    """Writes a block per line; in every block the belief is wrong with probability 0.2, and stays as it was written."""

    fingerprint = "believer"

    def generate(self, requests: Sequence[Request]) -> list[Continuation]:
        return [self._one(r) for r in requests]

    def _one(self, request: Request) -> Continuation:
        rng, text, drift = random.Random(request.stream), "Let us see.\n", 0
        truth = beliefs(story(request.problem.id))
        said = ""
        for k, place in enumerate(truth, 1):
            drift += rng.random() < 0.2
            known = place if place in PLACES else PLACES[0]
            said = PLACES[(PLACES.index(known) + drift) % 3]
            text += f"## Step {k} ##\nAnna believes: {said}\n"
        text += f"Final Answer: [{said}]"
        return Continuation(text, Finish.STOP, usage=Usage(generated=len(text), calls=1))


@dataclass
class BeliefModel:
    """P(+) at every line, from the simulator, wrong with probability `noise`; other lines are always praised."""

    noise: float = 0.0
    source: Source = field(default_factory=lambda: Source("pbm"))
    question: Question = Question.VALIDITY

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        usage = Ledger(scorer=Usage(calls=1))
        return [Judgement(t.id, self.question, self.source, self._scores(t), usage=usage) for t in traces]

    def _scores(self, trace: Trace) -> tuple[float, ...]:
        truth = iter(beliefs(story(trace.problem.id)))
        out, rng = [], random.Random(stream_seed("noise", trace.text, trace.draw))
        for line in trace.step_texts:
            if not line.startswith("Anna believes"):
                out.append(0.99)
                continue
            place = next(truth)
            good = (place if place in PLACES else PLACES[0]) == line.split()[-1]
            out.append(0.9 if good != (rng.random() < self.noise) else 0.1)
        return tuple(out)


TASKS = [task(f"s{i}") for i in range(30)]


def run(strategy, noise: float = 0.0) -> SolveResult:  # type: ignore[no-untyped-def]
    return solve(Believer(), TASKS, strategy, BeliefModel(noise))


@pytest.mark.parametrize("how", ["mean", "last", "min", "prod"])
@pytest.mark.parametrize("vote", ["bon", "weighted"])
def test_an_exact_belief_model_lifts_every_aggregator_above_majority(how: str, vote: str) -> None:
    result = run(BeliefBestOfN(8, how, vote=vote))
    majority = run(Majority(8))
    assert result.correct > majority.correct
    if vote == "bon":
        assert result.accuracy == result.pass_rate


def test_the_belief_model_is_measured_step_by_step_against_the_simulator() -> None:
    result = run(BeliefBestOfN(8), noise=0.25)
    scores, good = [], []
    for s in result.solutions:
        truth = [p if p in PLACES else PLACES[0] for p in beliefs(story(s.problem.id))]
        for c in s.candidates:
            path = s.tree.path(s.tree[c.node])
            found = block_scores(path.text, path.ends, c.scores)
            assert found is not None
            assert len(found) == len(truth)
            said = [x.split()[-1] for x in path.text.split("\n") if x.startswith("Anna")]
            scores += [x or 0.0 for x in found]
            good += [a == b for a, b in zip(said, truth, strict=True)]
    confusion = step_confusion([x >= 0.5 for x in scores], good)
    assert confusion.accuracy == pytest.approx(0.75, abs=0.03)


def test_only_the_ends_of_blocks_are_scored() -> None:
    text = "Hm.\n## Step 1 ##\nA\n\n## Step 2 ##\nB\nFinal Answer: [x]"
    assert block_ends(text) == [text.index("## Step 2"), text.index("Final")]
    assert block_ends("no blocks") is None
    assert block_ends("## Step 2 ##\nB") is None
    assert block_ends("see ## Step 1 ## inside") is None
    ends = [i + 1 for i, c in enumerate(text) if c == "\n"] + [len(text)]
    marks = [float(i) for i in range(len(ends))]
    assert block_scores(text, ends, marks) == [marks[3], marks[5]]
    assert block_scores(text, [len(text)], [0.9]) == [None, None]
    plain = run(WeightedVote(8, "mean"))
    assert [s.answer for s in plain.solutions] != [
        s.answer for s in run(BeliefBestOfN(8, vote="weighted")).solutions
    ]


def test_traces_without_blocks_are_unscored() -> None:
    class Half(Believer):
        def _one(self, request: Request) -> Continuation:
            got = super()._one(request)
            if request.draw % 2:
                object.__setattr__(got, "text", got.text.replace("## Step 1 ##", "First"))
            return got

    s = solve(Half(), TASKS[:1], BeliefBestOfN(4), BeliefModel()).solutions[0]
    assert [s.tree[c.node].data["score"] is None for c in s.candidates] == [False, True, False, True]
    assert s.tree[2].data["why"] == "no blocks numbered from 1"
    with pytest.raises(ValueError, match="vote"):
        BeliefBestOfN(vote="vanilla")
