"""Intervention Training: the first wrong step of one's own failed attempt, written again (abstract index 133).

The model reads its failed attempt beside the reference solution, names the first wrong step and writes one step to
stand there. Kept is what raises success: of N = 32 rollouts from the patched prefix at least one is right (both from
memory). Rows: the prompt, the attempt up to the error, the new step. Loss on all of these tokens and on none after,
for there is none; the reference was in the question that was asked and is in no row. Then ordinary RL on outcomes.
The prompt is ours. Cost: one question a failed trace, N rollouts an intervention.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from preceptor.annotate.judges.loose_json import objects
from preceptor.annotate.judges.verdict import fence, fill
from preceptor.annotate.rollout.montecarlo import MonteCarlo, Prefix, tally
from preceptor.generation import Policy, Request, Sampling
from preceptor.learn.data.hooks import about, outcome_of
from preceptor.learn.data.rows import Piece, Row, prefix_piece
from preceptor.segment import segment
from preceptor.trace import Problem, Trace
from preceptor.usage import Usage

TAGS = ("problem", "attempt", "reference", "step_")
PROMPT = """<problem>
{problem}
</problem>
<reference>
{reference}
</reference>
<attempt>
{attempt}
</attempt>

The attempt ends in a wrong answer. Find its first wrong step and write one step to stand in its place, which goes on
from the steps before it. Do not mention the reference. Answer with one object:
{"step": 1, "replacement": "..."}"""


@dataclass(frozen=True)
class Intervention:
    """One new step for one failed trace."""

    trace: Trace
    step: int
    """0-based index of the step it stands for."""
    text: str
    """The new step, ended as its problem's steps are."""
    counts: tuple[int, int] | None = None
    """(right, decided) rollouts from the patched prefix."""

    @property
    def patched(self) -> str:
        return self.trace.prefix(self.step) + self.text

    @property
    def row(self) -> Row:
        """The prefix, in its sampled tokens, and the intervention; no token after it."""
        trace = self.trace
        before = prefix_piece(trace, len(trace.prefix(self.step)), trained=True)
        return Row(trace.problem, (*before, Piece(self.text)), end=False, source=trace.id)


@dataclass(frozen=True)
class Made:
    """Interventions that raise success, what became of the others, and the cost."""

    kept: tuple[Intervention, ...]
    dropped: Counter[str]
    """not-failed, needs-environment, no-reference, failed-call, unreadable, no-change, no-success, undecided."""
    usage: Usage

    @property
    def rows(self) -> list[Row]:
        return [made.row for made in self.kept]


@dataclass(frozen=True)
class Interventions:
    """`policy` is the one in training: it names the error and writes the step itself."""

    policy: Policy
    rollouts: int = 32
    least: int = 1
    """Right rollouts an intervention needs."""
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=1.0, max_tokens=512))
    """Of the question and of the rollouts."""
    prompt: str = PROMPT
    seed: int = 0

    def build(self, traces: Sequence[Trace]) -> Made:
        """One question a failed trace, one batched call; then the rollouts of all of them, in another."""
        dropped: Counter[str] = Counter()
        failed = []
        for trace in traces:
            if outcome_of(trace) != 0.0 or not trace.steps:
                dropped["not-failed"] += 1
            elif trace.sampled is not None:
                dropped["needs-environment"] += 1
            elif not trace.problem.reference:
                dropped["no-reference"] += 1
            else:
                failed.append(trace)
        asked = [
            Request(self._question(t), draw=t.draw or 0, seed=self.seed, sampling=self.sampling)
            for t in failed
        ]
        answers = self.policy.generate(asked) if asked else []
        usage = sum((a.usage for a in answers), Usage())
        found = []
        for trace, answer in zip(failed, answers, strict=True):
            made = "failed-call" if answer.error is not None else intervention_of(trace, answer.text)
            if isinstance(made, str):
                dropped[made] += 1
            else:
                found.append(made)
        kept, spent = self._tested(found, dropped)
        return Made(tuple(kept), dropped, usage + spent)

    def _question(self, trace: Trace) -> Problem:
        steps = "\n".join(
            f"<step_{k}>{s.strip()}</step_{k}>" for k, s in enumerate(map(_safe, trace.step_texts), 1)
        )
        slots = {
            "problem": _safe(trace.problem.prompt),
            "reference": _safe("".join(trace.problem.reference)),
            "attempt": steps,
        }
        return about(trace.problem, fill(self.prompt, **slots), "intervention")

    def _tested(
        self, found: Sequence[Intervention], dropped: Counter[str]
    ) -> tuple[list[Intervention], Usage]:
        draws = MonteCarlo(self.policy, self.rollouts, self.sampling, seed=self.seed)
        prefixes = [Prefix(made.trace.problem, made.patched) for made in found]
        kept, usage = [], Usage()
        for made, rollouts in zip(found, draws.draw(prefixes) if prefixes else [], strict=True):
            evidence = tally(rollouts)
            usage += evidence.usage
            if evidence.successes >= self.least:
                kept.append(replace(made, counts=evidence.counts))
            else:
                dropped["no-success" if evidence.trials else "undecided"] += 1
        return kept, usage


def intervention_of(trace: Trace, answer: str) -> Intervention | str:
    """Read off the model's answer, or why it cannot be: "unreadable", or "no-change" for the step that was there.

    The replacement is one step: what the problem's segmenter would cut off behind it is left away.
    """
    for said in reversed(objects(answer)):
        steps, texts = said.get("step", []), said.get("replacement", [])
        if len(steps) != 1 or len(texts) != 1 or not texts[0].strip():
            continue
        if not steps[0].isascii() or not steps[0].isdigit() or not 1 <= int(steps[0][:6]) <= len(trace.steps):
            continue
        k, text = int(steps[0]) - 1, texts[0].strip()
        text = text[: segment(trace.problem, text)[0].end].rstrip()
        old = trace.step_texts[k]
        if text == old.strip():
            return "no-change"
        return Intervention(trace, k, text + (old[len(old.rstrip()) :] or "\n"))
    return "unreadable"


def _safe(text: str) -> str:
    return fence(text, TAGS).text
