"""ThinkTuning: a teacher's feedback inside the rollout, the student going on from it (abstract index 179).

A fraction of the rollouts is extended: the teacher, of the student's size, reads the attempt beside examples of a
behaviour and writes feedback, which is put behind it; the student continues. The whole text stays in its group with
its verified outcome. The teacher's tokens are marked `off_policy`, weighted by pi / (pi + 0.1) where the advantage is
positive and by 0 where it is negative (`supervised.losses.shaped` with `drop_negative`): the published function was
not found.

Fraction: not found, 0.25 is ours; 0 is GRPO. Which rollouts: by hash of (seed, trace). The prompt is ours, its
examples are the user's. Left out: rollouts that were cut, failed or were answered by an
environment. Cost: feedback and a second continuation for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from preceptor.annotate.judges.verdict import check_template, fence, fill
from preceptor.errors import InputError
from preceptor.generation import Continuation, Policy, Request, Sampling
from preceptor.learn.data.hooks import Item, Source, about, ask, in_own_tokens, outcome_of
from preceptor.policy.sample import tokens_until, trace_of
from preceptor.trace import Finish, Trace, stream_seed

PROMPT = """<problem>
{problem}
</problem>
<attempt>
{attempt}
</attempt>

{examples}Read the attempt as its writer would, thinking again. In a few sentences that the writer could have written
next, point out what is wrong or should be checked. Do not give the answer."""


@dataclass(frozen=True)
class ThinkTuning:
    """Hook behind sampling."""

    drop_negative: ClassVar[bool] = True
    """The loop gives the teacher's tokens no negative advantage."""

    teacher: Policy
    fraction: float = 0.25
    examples: str = ""
    """Examples of the behaviour, as text."""
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=1.0, max_tokens=256))
    """Of the feedback; the student continues as the loop samples."""
    prompt: str = PROMPT
    seed: int = 0

    def __post_init__(self) -> None:
        check_template(self.prompt, "problem", "attempt", "examples")
        if not 0 <= self.fraction <= 1:
            raise InputError(f"thinktuning: got fraction={self.fraction}, expected a number in [0, 1].")

    def amend(self, items: Sequence[Item], source: Source) -> list[Item]:
        chosen = [i for i, x in enumerate(items) if self._chosen(x.trace)]
        mids = self._advised([items[i].trace for i in chosen], source)
        known = [(i, mid) for i, mid in zip(chosen, mids, strict=True) if mid is not None]
        requests = [
            Request(
                t.problem, t.text, _ids(t), t.draw or 0, stream_seed("think", source.seed), source.sampling
            )
            for _, t in known
        ]
        out = list(items)
        for (i, mid), answer in zip(known, ask(source, source.policy, requests), strict=True):
            old = items[i].trace
            new = trace_of(
                old.problem, answer, mid.text, earlier=mid, policy=old.policy, seed=old.seed, draw=old.draw
            )
            if new.error is None and new.token_ids is not None:
                first, last = tokens_until(old, len(old.text)), len(_ids(mid))
                marks = tuple((first or 0) <= k < last for k in range(len(new.token_ids)))
                out[i] = replace(
                    items[i], trace=new, outcome=outcome_of(new), off_policy=marks, note="advised"
                )
        return out

    def _chosen(self, trace: Trace) -> bool:
        """Finished attempts, `fraction` of them."""
        whole = (
            trace.error is None
            and trace.finish is Finish.STOP
            and bool(trace.text)
            and trace.token_ids is not None
            and trace.sampled is None
        )
        return whole and stream_seed("thinktuning", self.seed, trace.id) < self.fraction * 2**63

    def _advised(self, traces: Sequence[Trace], source: Source) -> list[Trace | None]:
        """Attempt and feedback as one unfinished trace; None where there is no feedback."""
        asked = [
            Request(
                about(t.problem, self._question(t), "thinktuning"), seed=self.seed, sampling=self.sampling
            )
            for t in traces
        ]
        said = ask(source, self.teacher, asked)
        said = [
            a if a.error is not None or not a.text.strip() else _told(a.text, t.text)
            for a, t in zip(said, traces, strict=True)
        ]
        behind = [Request(t.problem, t.text, _ids(t)) for t in traces]
        own = in_own_tokens(source, behind, said)
        out: list[Trace | None] = []
        for trace, answer in zip(traces, own, strict=True):
            empty = answer.error is not None or not answer.text.strip()
            out.append(
                None
                if empty
                else trace_of(trace.problem, answer, trace.text, earlier=trace, policy=trace.policy)
            )
        return out

    def _question(self, trace: Trace) -> str:
        shown = {"problem": trace.problem.prompt, "attempt": trace.text, "examples": self.examples}
        return fill(self.prompt, **{k: fence(v, ("problem", "attempt")).text for k, v in shown.items()})


def _told(feedback: str, attempt: str) -> Continuation:
    """Feedback on lines of its own behind the attempt; one character a token where the policy cannot read given
    text."""
    text = ("" if attempt.endswith("\n") else "\n") + feedback.strip() + "\n"
    return Continuation(text, Finish.BOUNDARY, tuple(map(ord, text)), tuple(range(1, len(text) + 1)))


def _ids(trace: Trace) -> tuple[int, ...]:
    """Sampled ids of the text, without an end of text behind it."""
    return (trace.token_ids or ())[: tokens_until(trace, len(trace.text))]
