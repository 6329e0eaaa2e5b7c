r"""ThinkPRM: a long chain that checks every step, then the question whether the solution is correct.

"Process Reward Models That Think" (arXiv 2504.16828). One user prompt shows the problem and the
numbered steps; the answer is forced to begin with `Let's verify step by step:`. The chain ends at its own question, at
`</think>`, or where it goes on to a step that does not exist; then `Is the solution correct?` is put behind it and
`yes` and `no` are compared by their log-probability per token, in a softmax. Verdicts on single steps stand in boxes,
`\boxed{correct}` or `\boxed{incorrect}`.

Published: greedy for one chain, temperature 0.4 for several (set `Sampling`), 8192 tokens. Parallel scaling is the
mean over chains, sequential scaling (`rounds`) a forced sentence behind which the chain goes on. Deviations: steps
lose their own numbers and line breaks before they are numbered, so the score does not depend on how a solution was
numbered and no step can pretend to be two; where the policy cannot read given text the words are compared by
their first tokens. The wording of the instruction and of the trigger is ours (not found).

`per`: "prefixes" scores every step by a chain about the solution up to it (T chains), "solution" only the whole (one
chain; the score stands on the last step), "steps" reads the step verdicts of that one chain: their share of
"correct". With the last two the first error is voted from the step verdicts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from preceptor.errors import InputError
from preceptor.generation import Message, Sampling
from preceptor.judgement import Question
from preceptor.reward.generative.style import (
    Taught,
    all_good,
    ask_at,
    by_writer,
    defused,
    one_line,
    seen,
    unnumbered,
)
from preceptor.reward.generative.talk import Asking, Part, Talk, Turn, Voice, judged
from preceptor.trace import Trace

QUESTION_TEXT = "Is the solution correct?"
THINK_END = "</think>"
HEADERS = ("[Math Problem]", "[Solution]", QUESTION_TEXT)
PROMPT = """You are given a math problem and a proposed step-by-step solution:

[Math Problem]

{problem}

[Solution]

{steps}

Review and critique each step of the proposed solution and say for each whether it is correct. If the solution is \
not complete, verify only the steps that are given."""
LEAD = "\nLet's verify step by step:"
TRIGGER = "\nLet me double check the verification above:"
_NAMED = re.compile(r"(?:^|\n)\W{0,6}step\s+(\d+)\b", re.IGNORECASE)
_BOX = re.compile(r"\\boxed\{\s*(?:\\text\{)?\s*(in)?correct\b", re.IGNORECASE)


@dataclass(frozen=True)
class ThinkPRM:
    """Style of ThinkPRM's checkpoints. `think` False asks at once, without a chain."""

    per: Literal["prefixes", "solution", "steps"] = "prefixes"
    think: bool = True
    rounds: int = 1
    prompt: str = PROMPT
    """With the slots {problem} and {steps}."""
    trigger: str = TRIGGER

    name: ClassVar[str] = "thinkprm"
    sampling: ClassVar[Sampling] = Sampling(temperature=0.0, max_tokens=8192)
    samples: ClassVar[int] = 1
    question: ClassVar[Question] = Question.VALIDITY
    options: ClassVar[tuple[str, str]] = ("yes", "no")

    def __post_init__(self) -> None:
        if self.per not in ("prefixes", "solution", "steps") or self.rounds < 1:
            raise InputError(
                f"thinkprm: got per {self.per!r}, rounds {self.rounds}, expected rounds >= 1 and a per"
            )
        if self.per == "steps" and not self.think:
            raise InputError("thinkprm: step verdicts are read from a chain; set think=True")
        if "{problem}" not in self.prompt or "{steps}" not in self.prompt:
            raise InputError("prompt: expected the slots {problem} and {steps}")

    def shown(self, trace: Trace, upto: int) -> tuple[Message, bool]:
        """The prompt about the first `upto` steps, and whether something in it was made harmless."""
        problem, touched = defused(trace.problem.prompt, phrases=HEADERS)
        lines = []
        for t in range(upto):
            step, also = defused(one_line(unnumbered(seen(trace, t))), phrases=HEADERS)
            touched = touched or also
            lines.append(f"Step {t + 1}: {step}")
        before, _, behind = self.prompt.partition("{problem}")
        text = before + problem + behind.replace("{steps}", "\n".join(lines))
        return Message("user", text), touched

    def talks(self, trace: Trace, voice: Voice, draw: int) -> list[Talk]:
        n = len(trace.steps)
        if self.per == "prefixes":
            return [self._talk(trace, upto, voice, draw) for upto in range(1, n + 1)]
        return [self._talk(trace, n, voice, draw)] if n else []

    def _talk(self, trace: Trace, upto: int, voice: Voice, draw: int) -> Talk:
        message, touched = self.shown(trace, upto)
        turn = Turn(voice, trace.problem, (message,), draw)
        turn.flags += ["fenced-tag"] if touched else []
        return [(yield from judged(turn, upto - 1, self.options, self._chain(turn, upto)))]

    def _chain(self, turn: Turn, steps: int) -> Asking:
        beyond = f"Step {steps + 1}:"
        for k in range(self.rounds if self.think else 0):
            turn.force(LEAD if k == 0 else self.trigger)
            yield from turn.write(QUESTION_TEXT, THINK_END, beyond)
            for end in (beyond, *((QUESTION_TEXT, THINK_END) if k < self.rounds - 1 else ())):
                if turn.text.endswith(end):
                    turn.cut(len(turn.text) - len(end))
            turn.cut(len(turn.text.rstrip()))
        turn.votes = step_verdicts(turn.text, steps) if self.think else ()
        return (yield from ask_at(turn, QUESTION_TEXT, "\n", self.options, normalised=True))

    def label(self, trace: Trace, labels: Sequence[bool | None], step: int) -> bool | None:
        return all_good(labels, step)

    def taught(self, trace: Trace, labels: Sequence[bool | None], why: Sequence[str | None]) -> list[Taught]:
        """One chain per labelled prefix, or for the whole solution. Chains end behind the first wrong step; one
        that would need a missing label or rationale has no text."""
        n, out = len(labels), []
        for upto in range(1, n + 1) if self.per == "prefixes" else [n] if n else []:
            good = all_good(labels, upto - 1)
            judged_steps = list(labels[:upto])
            if False in judged_steps:
                judged_steps = judged_steps[: judged_steps.index(False) + 1]
            if None in judged_steps or (self.think and not all(why[: len(judged_steps)])):
                continue
            parts = self._written(judged_steps, why) if self.think else [Part("\n", "forced")]
            parts.append(Part(QUESTION_TEXT + " ", "forced"))
            message, _ = self.shown(trace, upto)
            out.append(Taught(upto - 1, (message,), tuple(parts), self.options, good is True))
        return out

    def _written(self, labels: Sequence[bool | None], why: Sequence[str | None]) -> list[Part]:
        parts = [Part(LEAD, "forced"), Part("\n", "written")]
        for t, (good, reason) in enumerate(zip(labels, why, strict=False)):
            text = defused(reason or "", phrases=(QUESTION_TEXT, THINK_END))[0].strip()
            mark = rf"\boxed{{{'correct' if good else 'incorrect'}}}"
            parts += by_writer(f"Step {t + 1}: {text} The step is {mark}.\n")
        return [*parts, Part(THINK_END, "written"), Part("\n", "forced")]

    def to_record(self) -> dict[str, Any]:
        return {
            "kind": self.name,
            "per": self.per,
            "think": self.think,
            "rounds": self.rounds,
            "prompt": self.prompt,
            "trigger": self.trigger,
        }


def step_verdicts(text: str, steps: int) -> tuple[bool | None, ...]:
    r"""What a chain says of each step; None where it says nothing.

    A box belongs to the step that was named last at the beginning of a line, or, in a chain that names none, to the
    next one. A later verdict on a step replaces an earlier one.

    >>> step_verdicts(r"Step 1: fine \boxed{correct}. Step 2 next.\nStep 2: no, \boxed{incorrect}", 3)
    (True, None, None)
    """
    found: list[bool | None] = [None] * steps
    names = [(m.end(), int(m[1])) for m in _NAMED.finditer(text)]
    for k, box in enumerate(_BOX.finditer(text)):
        named = [i for at, i in names if at <= box.start()]
        step = named[-1] - 1 if named else k if not names else -1
        if 0 <= step < steps:
            found[step] = box[1] is None
    return tuple(found)


def first_error(votes: Sequence[bool | None]) -> int | None:
    """The first "incorrect"; -1 when every step was called correct; None otherwise."""
    wrong = next((t for t, good in enumerate(votes) if good is False), None)
    if wrong is not None:
        return wrong
    return -1 if votes and all(votes) else None
