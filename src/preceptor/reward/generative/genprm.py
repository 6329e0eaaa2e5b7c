r"""GenPRM: one critique per step, with analysis, optional code, and a verdict weighed as a probability.

"GenPRM: Scaling Test-Time Compute of Process Reward Models via Generative Reasoning" (arXiv 2504.00891).
A chat with one user turn per step; the assistant's turn is its critique, and earlier critiques stay in the chat.
The critique is forced to begin with an analysis, then with a check in Python whose output is put in, and ends with
`$\boxed{Yes}$` or `No`. The score is p(Yes) / (p(Yes) + p(No)) at the last of these words, the mean over the
samples; a mean of probabilities, not a share of votes.

Published settings: temperature 0.6, top-p 0.95, top-k 20, 2048 tokens per critique, at most 3 rounds of code, 5 s
each. Beyond them the check is dropped, the analysis stays, and the verdict is forced. Deviations: code is run
only with a `Sandbox`, without one the check is left out in the same way; the verdict is read inside the output
section alone; each sample keeps its own earlier critiques (which ones the authors keep was not found).

Cost: steps x samples chains one after the other within a trace, side by side over traces and samples.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from preceptor.errors import InputError, ItemError
from preceptor.generation import Message, Sampling
from preceptor.grade.sandbox import Sandbox
from preceptor.judgement import Question
from preceptor.reward.generative.style import Taught, by_writer, defused, no_verdict, seen
from preceptor.reward.generative.talk import Asking, Chain, Part, Talk, Turn, Voice, judged
from preceptor.trace import Finish, Trace

SYSTEM = (
    "You are a math teacher. Your task is to review and critique the paragraphs in solution step by step."
)
SYSTEM_VERDICT = (
    "You are a math teacher. Your task is to review the paragraphs in solution step by step. Answer Yes for a "
    "correct paragraph and No for a wrong one."
)
"""Ours: the published one is another, and was not found."""
ANALYZE = "<analyze>\nLet's analyze the Paragraph {t} step by step: "
CLOSE_ANALYSIS = "</analyze>\n"
VERIFY = "<verify>\nLet's use python code to find any potential error:\n```python\n"
CLOSE_CHECK = "</verify>\n"
OUTPUT = "<output>\n**Judgement**: $\\boxed"
CLOSE = "</output>\n"
FENCE = "```\n"
SHOWN = "[Code Output]\n\n```\n{}\n```\n"
TAGS = ("analyze", "verify", "output")
BEHIND = 24
"""Tokens for the few words between a forced `\\boxed` and the end of the output."""
_WORD = re.compile(r"\b(Yes|No)\b")
_BLOCK = re.compile(r"```python\n((?:(?!```python\n).)*?)\n?```\n\Z", re.DOTALL)


@dataclass(frozen=True)
class GenPRM:
    """Style of GenPRM's checkpoints. `think` False is the verdict-only mode: no tags, one word."""

    think: bool = True
    analyze: bool = True
    verify: bool = True
    """Check by code; needs `code`."""
    code: Sandbox | None = None
    rounds: int = 3
    first: str = "Question: {problem}\n\n{step}"
    """The first user turn. (The authors' evaluation script writes `{problem}\\n{step}`.)"""

    name: ClassVar[str] = "genprm"
    sampling: ClassVar[Sampling] = Sampling(temperature=0.6, top_p=0.95, top_k=20, max_tokens=2048)
    samples: ClassVar[int] = 1
    question: ClassVar[Question] = Question.VALIDITY
    options: ClassVar[tuple[str, str]] = ("Yes", "No")
    joint: ClassVar[bool] = True
    """The critiques of one chat hang together: a wrong one spoils it for teaching."""

    def __post_init__(self) -> None:
        if self.rounds < 0 or (self.think and not self.analyze and not (self.verify and self.code)):
            raise InputError(
                f"genprm: got {self}, expected rounds >= 0 and an analysis, or a check with code=Sandbox(). For "
                "neither, set think=False."
            )
        if "{problem}" not in self.first or "{step}" not in self.first:
            raise InputError(f"first: got {self.first!r}, expected the slots {{problem}} and {{step}}")

    @property
    def system(self) -> str:
        return SYSTEM if self.think else SYSTEM_VERDICT

    def opening(self) -> tuple[Message, ...]:
        return (Message("system", self.system),)

    def user(self, trace: Trace, t: int) -> tuple[Message, bool]:
        """The user's turn about step `t`, and whether a tag in it was made harmless."""
        step, touched = defused(seen(trace, t), TAGS)
        if t > 0:
            return Message("user", step), touched
        problem, also = defused(trace.problem.prompt, TAGS)
        shown = self.first.partition("{problem}")
        text = shown[0] + problem + shown[2].replace("{step}", step)
        return Message("user", text), touched or also

    def talks(self, trace: Trace, voice: Voice, draw: int) -> list[Talk]:
        return [self._talk(trace, voice, draw)]

    def _talk(self, trace: Trace, voice: Voice, draw: int) -> Talk:
        messages, chains = self.opening(), []
        blocks: list[str] = []
        for t in range(len(trace.steps)):
            user, touched = self.user(trace, t)
            messages = (*messages, user)
            turn = Turn(voice, trace.problem, messages, draw)
            turn.flags += ["fenced-tag"] if touched else []
            asking = self._critique(turn, t, blocks) if self.think else turn.weigh(self.options)
            chain = yield from judged(turn, t, self.options, asking)
            chains.append(chain)
            if chain.probability is not None:
                said = chain.answer(chain.probability >= 0.5)
            elif turn.said is not None:
                said = turn.said
            else:
                why = "" if chain.error is None else chain.error.message
                lost = ItemError("no-history", f"the critique of step {t} failed: {why}")
                rest = range(t + 1, len(trace.steps))
                return chains + [Chain(k, messages, (), self.options, None, error=lost) for k in rest]
            messages = (*messages, Message("assistant", said))
        return chains

    def _critique(self, turn: Turn, t: int, blocks: list[str]) -> Asking:
        if self.analyze:
            turn.force(ANALYZE.replace("{t}", str(t + 1)))
            yield from turn.write(CLOSE_ANALYSIS)
            if not turn.text.endswith(CLOSE_ANALYSIS):
                turn.cut(len(turn.text.rstrip().removesuffix(CLOSE_ANALYSIS.strip()).rstrip()))
                turn.force("\n" + CLOSE_ANALYSIS)
        analysed = len(turn.text)
        done = False
        if self.verify and self.code is not None:
            turn.force(VERIFY)
            done = yield from self._check(turn, analysed, self.code, blocks)
            if not done:
                turn.flags.append("check-dropped")
                if self.analyze:
                    turn.cut(analysed)
                else:
                    turn.force(CLOSE_CHECK)
        if not done:
            turn.force(OUTPUT)
            yield from turn.write(CLOSE, limit=BEHIND)
        return (yield from verdict(turn, self.options))

    def _check(self, turn: Turn, begin: int, code: Sandbox, blocks: list[str]) -> Generator[Any, Any, bool]:
        """Rounds of writing and running code; whether an output section was reached."""
        for ran in range(self.rounds + 1):
            yield from turn.write(FENCE, CLOSE)
            if turn.text.rstrip().endswith(CLOSE.strip()):
                return True
            if turn.finish is not Finish.BOUNDARY or ran == self.rounds:
                return False
            block = _BLOCK.search(turn.text, begin)
            if block is not None:
                shown = code.run([*blocks, block[1]])
                blocks.append(block[1])
                turn.tool(SHOWN.format(shown.rstrip("\n").replace("```", "'''")))
        return False

    def label(self, trace: Trace, labels: Sequence[bool | None], step: int) -> bool | None:
        return labels[step]

    def taught(self, trace: Trace, labels: Sequence[bool | None], why: Sequence[str | None]) -> list[Taught]:
        """Up to the first step that has no label or lacks its rationale: later turns would have no history."""
        messages, out = self.opening(), []
        for t, (good, reason) in enumerate(zip(labels, why, strict=True)):
            messages = (*messages, self.user(trace, t)[0])
            if good is None or (self.think and not reason):
                break
            parts, tail = self._written(t, reason or ""), ""
            if self.think:
                tail = "}$\n" + CLOSE
            one = Taught(t, messages, parts, self.options, good, tail)
            out.append(one)
            word = self.options[0 if good else 1]
            messages = (*messages, Message("assistant", one.text + word + tail))
        return out

    def _written(self, t: int, reason: str) -> tuple[Part, ...]:
        if not self.think:
            return ()
        reason = defused(reason, TAGS)[0].strip()
        lead = Part(ANALYZE.replace("{t}", str(t + 1)), "forced")
        written = by_writer(reason + "\n" + CLOSE_ANALYSIS)
        return (lead, *written, Part(OUTPUT, "forced"), Part("{", "written"))

    def to_record(self) -> dict[str, Any]:
        return {
            "kind": self.name,
            "think": self.think,
            "analyze": self.analyze,
            "verify": self.verify,
            "code": None if self.code is None else self.code.to_record(),
            "rounds": self.rounds,
            "first": self.first,
        }


def verdict(turn: Turn, options: tuple[str, str]) -> Asking:
    """Weigh the last Yes or No of the answer's output section."""
    turn.said = text = turn.text
    begin = text.rfind("<output>")
    found = list(_WORD.finditer(text, max(begin, 0))) if begin >= 0 else []
    if not found:
        raise no_verdict("the critique ended without Yes or No in its output section")
    turn.tail = turn.cut(found[-1].start())[len(found[-1][1]) :]
    return (yield from turn.weigh(options))
