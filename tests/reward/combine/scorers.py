"""Real, deterministic scorers for these tests, and traces with known truths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from preceptor.errors import ItemError
from preceptor.generation import Sampling
from preceptor.judgement import Judgement, Question, Source
from preceptor.policy import ScriptedPolicy, sample
from preceptor.trace import Problem, Trace, steps_from_ends, stream_seed
from preceptor.usage import Ledger, Usage
from preceptor.worlds import WORLDS


def trace_of(*steps: str, problem: Problem | None = None) -> Trace:
    ends = [sum(map(len, steps[: i + 1])) for i in range(len(steps))]
    return Trace(problem or Problem("p"), "".join(steps), steps_from_ends(ends))


def attempts(problems: int = 6, samples: int = 4, error: float = 0.3, **world: object) -> list[Trace]:
    """Attempts at arithmetic problems, some of them wrong somewhere."""
    asked = WORLDS["arithmetic"].problems(n=problems, **world)
    return sample(ScriptedPolicy(error=error), asked, samples, sampling=Sampling(max_tokens=400))


def reading(trace: Trace) -> list[float]:
    """A score in (0, 1) for each step that depends on every step before it, but not on white space: what a
    causal reward model gives, without the model."""
    words = [text.strip() for text in trace.step_texts]
    return [stream_seed(words[: t + 1]) % 9973 / 9973 for t in range(len(words))]


@dataclass
class Rule:
    """Scores traces by a function; keeps what it was asked. The bill: 1 call and 10 tokens per step."""

    rule: Callable[[Trace], Sequence[float | None] | str] = reading
    """Scores, or the kind of an error."""
    question: Question = Question.VALIDITY
    name: str = "rule"
    calls: list[list[Trace]] = field(default_factory=list)

    @property
    def source(self) -> Source:
        return Source.of(self.name, question=self.question.value)

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        self.calls.append(list(traces))
        return [self._judge(trace) for trace in traces]

    def _judge(self, trace: Trace) -> Judgement:
        found = self.rule(trace)
        usage = Ledger(scorer=Usage(scored=10 * len(trace.steps), calls=1))
        if isinstance(found, str):
            error = ItemError(found, f"the rule says {found}")
            return Judgement(trace.id, self.question, self.source, None, usage=usage, error=error)
        return Judgement(trace.id, self.question, self.source, tuple(found), usage=usage)


def constant(*scores: float | None, question: Question = Question.VALIDITY, name: str = "rule") -> Rule:
    """Always these scores, whatever the trace says."""
    return Rule(lambda trace: scores, question, name)


def letters(**scores: float | None) -> Callable[[Trace], list[float | None]]:
    """A rule that looks at each step's letter only."""
    return lambda trace: [scores[text.strip()] for text in trace.step_texts]
