"""What the published verifiers share: the interface of a style, untrusted text in prompts, teaching texts.

A style is data: how a solution is put to the model, what is forced, where the verdict stands. It gives talks
(for scoring) and `Taught` texts (for training) from the same pieces.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from preceptor.annotate.judges.verdict import fence
from preceptor.errors import ItemError
from preceptor.generation import Message, Sampling
from preceptor.judgement import Question
from preceptor.reward.generative.talk import NO_VERDICT, Asking, Broken, Part, Talk, Turn, Voice
from preceptor.trace import Finish, Trace

LABEL = re.compile(r"\s*(?:#+\s*)?\**\s*(?:step|paragraph)\s*\d+\s*\**\s*[:.)]\s*\**\s*", re.IGNORECASE)
"""A step's own number: "Step 3:", "## Step 3.", "**Step 3:**"."""
CUT = "cut-chain"
"""Flag: the token limit ended a chain before its verdict, which was asked for all the same."""
TOOL_OUTPUT = re.compile(r"\[Code Output\]\n\n```\n.*?\n```\n", re.DOTALL)


@dataclass(frozen=True)
class Taught:
    """One answer a model is taught: `parts` up to the verdict, the verdict's word, the rest."""

    step: int
    messages: tuple[Message, ...]
    parts: tuple[Part, ...]
    options: tuple[str, str]
    good: bool
    tail: str = ""

    @property
    def text(self) -> str:
        return "".join(p.text for p in self.parts)


class Style(Protocol):
    name: ClassVar[str]
    sampling: ClassVar[Sampling]
    """As published."""
    samples: ClassVar[int]
    question: ClassVar[Question]

    @property
    def options(self) -> tuple[str, str]: ...

    def talks(self, trace: Trace, voice: Voice, draw: int) -> list[Talk]:
        """The verifications of one trace, for one draw."""
        ...

    def label(self, trace: Trace, labels: Sequence[bool | None], step: int) -> bool | None:
        """What the verdict of a chain about `step` should be; None where the labels do not say."""
        ...

    def taught(self, trace: Trace, labels: Sequence[bool | None], why: Sequence[str | None]) -> list[Taught]:
        """Training texts from labels, and from a rationale per step where `think` is set; a step without a
        label, or without the rationale it needs, has none."""
        ...

    def to_record(self) -> dict[str, Any]: ...


def defused(text: str, tags: Sequence[str] = (), phrases: Sequence[str] = ()) -> tuple[str, bool]:
    """`text` in which no tag of `tags` works and none of `phrases` stands, and whether it had any.

    A model may quote what it checks. A quoted closing tag or verdict question would end its reasoning early,
    with a verdict of the step's author.
    """
    touched = False
    if tags:
        text, touched = fence(text, tags)
    for phrase in phrases:
        pattern = r"\s+".join(map(re.escape, phrase.split()))
        text, n = re.subn(pattern, lambda m: m[0][:-1] + " .", text, flags=re.IGNORECASE)
        touched = touched or n > 0
    return text, touched


def unnumbered(step: str) -> str:
    """The step without its own number."""
    return LABEL.sub("", step, count=1).strip() if LABEL.match(step) else step.strip()


def one_line(step: str) -> str:
    return re.sub(r"\s*[\r\n]+\s*", " ", step.strip())


def seen(trace: Trace, t: int) -> str:
    """Step `t`, and what its environment answered."""
    own, observation = trace.step_texts[t].strip(), trace.steps[t].observation
    return f"{own}\n{observation.strip()}" if observation else own


def all_good(labels: Sequence[bool | None], step: int) -> bool | None:
    """Whether the steps up to `step` are right; None where that depends on a missing label."""
    shown = labels[: step + 1]
    if any(good is False for good in shown):
        return False
    return None if None in shown else True


def by_writer(text: str) -> list[Part]:
    """A written rationale, with the outputs of tools apart: they carry no loss."""
    parts, at = [], 0
    for found in TOOL_OUTPUT.finditer(text):
        parts += [Part(text[at : found.start()], "written"), Part(found[0], "tool")]
        at = found.end()
    return [p for p in (*parts, Part(text[at:], "written")) if p.text]


def ask_at(
    turn: Turn, question: str, lead: str, options: tuple[str, str], *, normalised: bool = False
) -> Asking:
    """Put `lead + question` behind what is written, in place of the model's own first asking of it, and weigh.
    A chain that the token limit cut is asked all the same: its question is forced."""
    if turn.finish is Finish.LENGTH:
        turn.flags.append(CUT)
    place = turn.text.find(question)
    turn.cut(place + len(question) if place >= 0 else len(turn.text.rstrip()))
    blank = "" if options[0].startswith(" ") else " "
    turn.force(("" if place >= 0 else lead + question) + blank)
    return (yield from turn.weigh(options, normalised))


def no_verdict(why: str) -> Broken:
    return Broken(ItemError(NO_VERDICT, why))
