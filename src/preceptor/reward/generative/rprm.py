"""R-PRM: a long analysis per step, then `Is the step correct (Yes/No)?` and the weight of its answer.

"R-PRM: Reasoning-Driven Process Reward Modeling" (arXiv 2503.21295). One prompt per step with the
fields Question, Previous Steps and Now Step. Each sampled analysis is cut at its question (a missing one is put
behind it) and " Yes" is weighed against " No"; the score is the mean of K = 10. A step below 0.5 is wrong.

The checkpoints' own prompt is in their repository and is not part of this package: `template` takes it, with the slots
{question}, {previous} and {step}. The default is ours, after its description (five analyses), and suits models trained
here. The published sampling temperature was not found; 0.7 is ours.

Cost: K chains per step, all side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from preceptor.annotate.judges.verdict import check_template, fill
from preceptor.generation import Message, Sampling
from preceptor.judgement import Question
from preceptor.reward.generative.style import Taught, ask_at, by_writer, defused, seen
from preceptor.reward.generative.talk import Asking, Part, Talk, Turn, Voice, judged
from preceptor.trace import Trace

ASKED = "Is the step correct (Yes/No)?"
LEAD = "\nVerification: "
NOTHING_BEFORE = "None"
TEMPLATE = """You check one step of a solution. Write five analyses: of the previous steps, of the step itself, of \
where its data come from, of its consistency with the question and the previous steps, and of its calculation. Then \
end with the line `Verification: Is the step correct (Yes/No)? X`, where X is Yes or No.

Question: {question}

Previous Steps: {previous}

Now Step: {step}"""


@dataclass(frozen=True)
class RPRM:
    """Style of R-PRM's checkpoints. `think` False asks at once, without an analysis."""

    template: str = TEMPLATE
    think: bool = True

    name: ClassVar[str] = "r-prm"
    sampling: ClassVar[Sampling] = Sampling(temperature=0.7, max_tokens=2048)
    samples: ClassVar[int] = 10
    question: ClassVar[Question] = Question.VALIDITY
    options: ClassVar[tuple[str, str]] = (" Yes", " No")

    def __post_init__(self) -> None:
        check_template(self.template, "question", "previous", "step")

    def shown(self, trace: Trace, t: int) -> tuple[Message, bool]:
        """The prompt about step `t`, and whether something in it was made harmless."""
        before = "\n".join(seen(trace, k) for k in range(t)) or NOTHING_BEFORE
        texts = (trace.problem.prompt, before, seen(trace, t))
        safe = [defused(text, phrases=(ASKED,)) for text in texts]
        question, previous, step = (text for text, _ in safe)
        shown = fill(self.template, question=question, previous=previous, step=step)
        return Message("user", shown), any(touched for _, touched in safe)

    def talks(self, trace: Trace, voice: Voice, draw: int) -> list[Talk]:
        return [self._talk(trace, t, voice, draw) for t in range(len(trace.steps))]

    def _talk(self, trace: Trace, t: int, voice: Voice, draw: int) -> Talk:
        message, touched = self.shown(trace, t)
        turn = Turn(voice, trace.problem, (message,), draw)
        turn.flags += ["fenced-tag"] if touched else []
        return [(yield from judged(turn, t, self.options, self._analysis(turn)))]

    def _analysis(self, turn: Turn) -> Asking:
        if self.think:
            yield from turn.write(ASKED)
        return (yield from ask_at(turn, ASKED, LEAD, self.options))

    def label(self, trace: Trace, labels: Sequence[bool | None], step: int) -> bool | None:
        return labels[step]

    def taught(self, trace: Trace, labels: Sequence[bool | None], why: Sequence[str | None]) -> list[Taught]:
        out = []
        for t, (good, reason) in enumerate(zip(labels, why, strict=True)):
            if good is None or (self.think and not reason):
                continue
            text = defused(reason or "", phrases=(ASKED,))[0].strip() if self.think else ""
            parts = (*by_writer(text), Part(LEAD + ASKED, "written" if self.think else "forced"))
            out.append(Taught(t, (self.shown(trace, t)[0],), parts, self.options, good))
        return out

    def to_record(self) -> dict[str, Any]:
        return {"kind": self.name, "template": self.template, "think": self.think}
