"""PathFinder-PRM: math and consistency verdicts first, then the step's, in two passes (`two_pass.py`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from preceptor.errors import InputError
from preceptor.judgement import Question
from preceptor.reward.format import Format
from preceptor.reward.head import Verbalizer
from preceptor.reward.layout import Chat, Tagged
from preceptor.reward.link import Link
from preceptor.reward.two_pass import TwoPass, Wording

# The misspelling is the authors': the model was trained with it.
INSTRUCTION = (
    "You are a Math Teacher. Given a question and a student's solution, evaluate the mathemetical correctness, "
    "logic consistency of the current step and whether it will lead to the correct final solution"
)
AFTER = "\n\n Question: {problem}"
WORDING = Wording(
    user=INSTRUCTION + AFTER,
    parts=(("math", " Math reasoning: "), ("consistency", ", Consistency: ")),
    final=", Correctness: ",
)


@dataclass(frozen=True)
class PathFinder:
    name: str = "pathfinder"
    models: tuple[str, ...] = ("declare-lab/PathFinder-PRM-7B",)
    architectures: tuple[str, ...] = ()
    question: Question = Question.VALIDITY
    wording: Wording = WORDING
    aggregate: str = ""
    threshold: float | None = 0.5
    unsure: tuple[str, ...] = (
        "words: instruction and `Current Step:` are the model card's; our other source has `Current step:`",
        "aggregation: not found",
    )
    notes: tuple[str, ...] = (
        "Read one position before each `<extra>`: the placeholder was the label of a shifted loss.",
        "open(guided=True): the authors' search rule, -1 for a step with a bad partial verdict.",
        "open(instruction=TEXT): another instruction before the question.",
        "`rationale` has the partial verdicts; the flags `math-error` and `consistency-error` say which occurred.",
        "The user's text begins the question with a blank after the empty line; the first step has no lead.",
    )

    def open(
        self, directory: str, *, guided: bool = False, instruction: str | None = None, **options: Any
    ) -> TwoPass:
        """`options`: `device`, `dtype`, `batch_tokens`, `cache_tokens`."""
        from dataclasses import replace

        from preceptor.reward.scorer import PRM

        if instruction is not None and not instruction.strip():
            raise InputError("instruction: got an empty text, expected the paragraph before the question")
        wording = self.wording
        if instruction is not None:
            wording = replace(wording, user=instruction + AFTER)
        fmt = Format(
            layout=Tagged(wording.placeholder, Chat(), read="before-tag"),
            head=Verbalizer((wording.good, wording.bad)),
            link=Link("softmax", (1.0, 0.0)),
            name=self.name,
        )
        return TwoPass(PRM.load(directory, fmt=fmt, **options), wording, guided=guided)

    def columns(self) -> dict[str, str]:
        w = self.wording
        return {
            "prompt": "chat",
            "tag": f"{w.placeholder!r} x2, then x1",
            "readout": "before-tag, two passes",
            "head": f"verbalizer {w.good!r} {w.bad!r}",
            "link": "softmax (1.0, 0.0)",
            "steps": "each, a row",
        }


PATHFINDER = PathFinder()
