"""Judges that know the truth: they read the prompt as a model would and answer from the world's oracle.

Nothing is told to them but the prompt, so a prompt that shows the wrong steps gets the wrong verdict. They err
at a known rate by the request's own stream.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from preceptor.generation import Choice, Continuation, Request
from preceptor.judgement import NO_ERROR
from preceptor.policy import ScriptedPolicy, sample
from preceptor.trace import Finish, Problem, Trace, steps_from_ends
from preceptor.usage import Usage
from preceptor.worlds import WORLDS

WORLD = WORLDS["arithmetic"]


def scripted_traces(n: int = 6, samples: int = 4, error: float = 0.3) -> list[Trace]:
    return list(sample(ScriptedPolicy(error=error), WORLD.problems(n=n), samples=samples))


def trace_of(problem: Problem, steps: Sequence[str], **more) -> Trace:
    ends = [sum(map(len, steps[: i + 1])) for i in range(len(steps))]
    return Trace(problem, "".join(steps), steps_from_ends(ends), **more)


def truths(trace: Trace) -> list[bool]:
    return [t.valid for t in WORLD.judge(trace.problem, trace.step_texts)]


def first_error(trace: Trace) -> int:
    right = truths(trace)
    return right.index(False) if False in right else NO_ERROR


def between(tag: str, prompt: str) -> str:
    found = re.search(rf"<{tag}>\n(.*?)\n</{tag}>", prompt, re.DOTALL)
    assert found, f"no <{tag}> in the prompt"
    return found[1]


def step_is_right(request: Request) -> bool:
    """The last step shown, given those shown before it."""
    prompt = request.messages[0].content
    assert between("problem", prompt) == request.problem.prompt
    before = between("earlier_steps", prompt)
    lines = [] if before == "(none)" else before.split("\n")
    return WORLD.judge(request.problem, [*lines, between("step", prompt)])[-1].valid


def solution_is_right(request: Request) -> bool:
    lines = between("solution", request.messages[0].content).split("\n")
    return all(t.valid for t in WORLD.judge(request.problem, lines))


def shown_paragraphs(request: Request) -> list[tuple[int, str]]:
    found = re.findall(r"<paragraph_(\d+)>\n(.*?)\n</paragraph_\1>", request.messages[0].content, re.DOTALL)
    return [(int(k), text) for k, text in found]


@dataclass
class Words:
    """Answers in words. `truth` reads the prompt; with probability `error` the opposite is said."""

    truth: Callable[[Request], bool] = step_is_right
    error: float = 0.0
    say: tuple[str, str] = ("All fine.\nVerdict: Yes", "It says 7.\nVerdict: No")
    fingerprint: str = "oracle"
    batches: list[list[Request]] = field(default_factory=list)

    def generate(self, requests: Sequence[Request]) -> list[Continuation]:
        self.batches.append(list(requests))
        return [self.answer(request) for request in requests]

    def says(self, request: Request) -> bool:
        return self.truth(request) != (random.Random(request.stream).random() < self.error)

    def answer(self, request: Request) -> Continuation:
        text = self.say[0] if self.says(request) else self.say[1]
        return Continuation(text, Finish.STOP, usage=Usage(generated=5, prefilled=20, calls=1))


@dataclass
class Weigher(Words):
    """Weighs words too: the true one gets 1 - error."""

    weighed: list[list[Request]] = field(default_factory=list)

    def choose(self, requests: Sequence[Request], options: Sequence[str]) -> list[Choice]:
        self.weighed.append(list(requests))
        usage = Usage(generated=1, prefilled=20, calls=1)
        sure = 1 - self.error
        return [Choice((sure, 1 - sure) if self.truth(r) else (1 - sure, sure), 0.9, usage) for r in requests]


@dataclass
class Critic(Words):
    """Names the first wrong paragraph by its number; with probability `error` another index."""

    def answer(self, request: Request) -> Continuation:
        shown = shown_paragraphs(request)
        right = [t.valid for t in WORLD.judge(request.problem, [text for _, text in shown])]
        named = shown[right.index(False)][0] if False in right else -1
        rng = random.Random(request.stream)
        if rng.random() < self.error:
            named = rng.choice([k for k in [-1, *(k for k, _ in shown)] if k != named])
        text = rf"I looked at all {len(shown)}. So \boxed{{{named}}}."
        return Continuation(text, Finish.STOP, usage=Usage(generated=9, prefilled=50, calls=1))
