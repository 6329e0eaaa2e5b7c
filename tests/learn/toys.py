"""Small real objects for the tests of this room: a policy on disk, problems, a grader, two scorers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from preceptor.credit import METHODS
from preceptor.generation import Sampling
from preceptor.grade.grader import Grader
from preceptor.judgement import Judgement, Question, Source
from preceptor.learn.rollouts import RolloutSource
from preceptor.trace import Problem, Trace, Verdict, content_id


def has_seven(text: str, finished: bool) -> str | None:
    return "7" if "7" in text else None


SEVEN = Grader(
    extract=has_seven,
    compare=lambda answer, gold, meta: (Verdict.CORRECT, "equal"),
    canonical=lambda answer: answer,
)
"""Correct is a text with a 7 in it: about one in ten texts of a random model."""


def problems(n: int, gold: str | None = "7") -> list[Problem]:
    return [Problem(f"How many hens are {i} hens?", gold, grader="seven") for i in range(n)]


class HashValue:
    """Scores that depend on the text of each prefix and on nothing else."""

    source = Source.of("hash-value")

    def __init__(self, question: Question = Question.VALUE):
        self.question = question

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        return [
            Judgement(t.id, self.question, self.source, tuple(self.value(t, k) for k in range(len(t.steps))))
            for t in traces
        ]

    def value(self, trace: Trace, k: int) -> float:
        return int(content_id(trace.prefix(k + 1))[:4], 16) / 0xFFFF


class Sevens(HashValue):
    """The share of sevens among a step's characters."""

    source = Source.of("sevens")

    def value(self, trace: Trace, k: int) -> float:
        text = trace.step_texts[k]
        return text.count("7") / len(text)


def trainer(
    directory: Path, method: str, scorer: Any = None, *, prompts: int = 3, generations: int = 4, **more: Any
):
    """A trainer on the policy in `directory` and rows for one generation batch, in the sampler's layout."""
    from datasets import Dataset

    from preceptor.learn import CreditGRPOTrainer
    from preceptor.learn.session import grpo_config
    from preceptor.learn.settings import Settings
    from preceptor.policy import TransformersPolicy

    asked = problems(prompts)
    batch = prompts * generations
    settings = Settings(
        method=method,
        steps=2,
        prompts_per_step=prompts,
        generations=generations,
        lr=1e-3,
        temperature=1.0,
        max_tokens=24,
        kl=0.0,
        micro_batch=more.pop("micro_batch", batch),
        eval_every=0,
        eval_samples=0,
        seed=0,
    )
    rows = [{"prompt": p.prompt, "problem": i} for i, p in enumerate(asked)]
    made = more.pop("kind", CreditGRPOTrainer)(
        source=RolloutSource(TransformersPolicy.load(directory), Sampling(max_tokens=24), seed=0),
        problems=asked,
        credit=METHODS[method],
        scorer=scorer,
        args=grpo_config(settings, directory / "trainer"),
        train_dataset=Dataset.from_list(rows),
        **more,
    )
    made.model.train()
    return made, [row for row in rows for _ in range(generations)]
