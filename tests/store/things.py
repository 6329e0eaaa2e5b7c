"""Small real objects for the tests of the store: problems, traces, rollouts, judgements."""

from __future__ import annotations

from preceptor.errors import ItemError
from preceptor.generation import Continuation, Request, Sampling
from preceptor.judgement import Judgement, Question, Source
from preceptor.trace import Finish, Grade, Problem, Trace, Verdict, steps_from_ends
from preceptor.usage import Ledger, Usage

SOURCE = Source.of("counter", k=1)


def problem(n: int) -> Problem:
    return Problem(f"What is {n} + {n}?", str(2 * n), meta={"n": n, "names": ["Zoë", "\ud800"]})


def trace(n: int, draw: int = 0, *, grade: Grade | None = None, seconds: float = 0.5) -> Trace:
    text = f"{n}+{n}={2 * n}\nso \udc80 {draw}\nAnswer: {2 * n}\n"
    ends = [i + 1 for i, c in enumerate(text) if c == "\n"]
    return Trace(
        problem(n), text, steps_from_ends(ends), grade=grade, policy="p" * 16, seed=3, draw=draw,
        token_ids=(1, 2, 3), token_ends=(1, 2, len(text)), logprobs=(-0.5, -1.25, -3e-9),
        usage=Usage(generated=len(text), calls=1, seconds=seconds),
    )  # fmt: skip


def graded(n: int, draw: int = 0, verdict: Verdict = Verdict.CORRECT) -> Trace:
    return trace(n, draw, grade=Grade(verdict, "as tested", str(2 * n)))


def judgement(of: Trace, source: Source = SOURCE, question: Question = Question.VALUE) -> Judgement:
    return Judgement(
        of.id, question, source, (1.0, 0.1 + 0.2, None), counts=((8, 8), (3, 7), None), undecided=1,
        first_error=-1, rationale=(None, "thin \ud83d", None), flags=("a-flag",),
        usage=Ledger(policy=Usage(generated=40, seconds=0.25)),
    )  # fmt: skip


def failure(of: Trace, source: Source = SOURCE) -> Judgement:
    return Judgement(of.id, Question.VALUE, source, None, error=ItemError("timeout", "no answer in 10 s"))


def request(n: int, prefix: str = "", draw: int = 0, temperature: float = 0.7) -> Request:
    return Request(problem(n), prefix, draw=draw, seed=5, sampling=Sampling(temperature, stop=("\n\n",)))


def answer(text: str) -> Continuation:
    return Continuation(
        text,
        Finish.STOP,
        (7, 8),
        (1, len(text)),
        (-0.1, -0.2),
        Usage(generated=2, prefilled=9, calls=1, seconds=0.1),
    )
