"""What a small judge learns to answer: per kind of question the prompts about a trace with the replies of a judge
that knows the truth, and the scorer that asks and reads them.

Prompts, replies and readers are those of `preceptor.annotate.judges`; only the replies to the two oldest judges
are written here.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from preceptor.annotate.judges import (
    Asking,
    Critique,
    StepJudge,
    consensus_steps,
    natural_program,
    opv,
    rubric_text,
    sneaky_text,
    spare,
    spark,
    verification,
)
from preceptor.annotate.judges.asking import once
from preceptor.annotate.judges.checks import RIGHT, WRONG, check, checks, one_line, value
from preceptor.annotate.judges.program import Program, cited_by_numbers
from preceptor.annotate.judges.rubric import RubricJudge
from preceptor.annotate.judges.sneaky import critic
from preceptor.annotate.judges.summary import as_it_is, written_summary
from preceptor.generation import Continuation, Policy, Request, Sampling
from preceptor.judgement import NO_ERROR, Judgement, Question, Scorer, Source, first_below
from preceptor.trace import Trace
from preceptor.usage import Ledger
from preceptor.worlds.base import StepTruth, first_invalid

Pair = tuple[str, str]
"""A prompt and the reply to it."""
PLAIN = Asking(chat=False, sampling=Sampling(temperature=0.0, max_tokens=400))


class Told(NamedTuple):
    """A trace and the truth about its steps."""

    trace: Trace
    truths: list[StepTruth]

    @property
    def about(self) -> tuple[object, tuple[str, ...], list[StepTruth]]:
        return self.trace.problem, self.trace.step_texts, self.truths

    def until(self, t: int) -> tuple[object, tuple[str, ...], list[StepTruth]]:
        return self.trace.problem, self.trace.step_texts[: t + 1], self.truths[: t + 1]

    def some_step(self, rng: random.Random) -> int:
        """The first wrong step half of the time, if there is one, else any up to it."""
        wrong = first_invalid(self.truths)
        if wrong >= 0 and rng.random() < 0.5:
            return wrong
        return rng.randrange(wrong + 1 if wrong >= 0 and rng.random() < 0.7 else len(self.truths))


class Nobody:
    """Stands where a scorer wants a policy, to get at its prompts."""

    fingerprint = "nobody"

    def generate(self, requests: Sequence[Request]) -> list[Continuation]:
        raise NotImplementedError

    choose = generate


@dataclass(frozen=True)
class Format:
    pair: Callable[[Told, random.Random], Pair]
    share: float
    """Of the training rows."""
    scorer: Callable[[Policy], Scorer] | None = None
    """Who asks and reads, where it comes to verdicts on steps."""


def _worded(words: tuple[str, str], truth: StepTruth) -> str:
    return words[not truth.valid]


def _step_judge(told: Told, rng: random.Random) -> Pair:
    t = told.some_step(rng)
    said = checks(*told.until(t)[1:])[-1]
    prompt = StepJudge(Nobody(), weigh=False).prompt(told.trace, t)[0]
    return prompt, f"{said}\nVerdict: {_worded(('Yes', 'No'), told.truths[t])}"


def _weighed(told: Told, rng: random.Random) -> Pair:
    t = told.some_step(rng)
    return StepJudge(Nobody()).prompt(told.trace, t)[0], _worded(("Yes", "No"), told.truths[t])


def _critique(told: Told, rng: random.Random) -> Pair:
    wrong = first_invalid(told.truths)
    lines = [f"{t}: {said}" for t, said in enumerate(checks(*told.about[1:])[: wrong + 1 or None])]
    return Critique(Nobody()).prompt(told.trace)[0], "\n".join([*lines, rf"\boxed{{{wrong}}}"])


def _spare(told: Told, rng: random.Random) -> Pair:
    return spare.Spare(Nobody()).prompt(told.trace)[0], spare.written(*told.about)


def _verification(told: Told, rng: random.Random) -> str:
    """Of somebody who takes back a verdict on some step half of the time."""
    *lines, last = spark.written(*told.about).splitlines()
    if rng.random() < 0.5:
        t = rng.randrange(len(lines))
        kept, _, verdict = lines[t].rpartition(" ")
        lines[t] = f"{kept} {WRONG if verdict == RIGHT else RIGHT}"
        bad = [k for k, line in enumerate(lines, 1) if line.endswith(WRONG)]
        last = f"Verdict: wrong at {bad[0]}" if bad else "Verdict: right"
    return "\n".join([*lines, last])


def _spark(told: Told, rng: random.Random) -> Pair:
    return spark.Spark(Nobody()).prompt(told.trace, spark.VERIFY)[0], spark.written(*told.about)


def _spark_critique(told: Told, rng: random.Random) -> Pair:
    said = _verification(told, rng)
    prompt = spark.Spark(Nobody()).prompt(told.trace, spark.CRITICISE, said)[0]
    return prompt, verification.written_critique(*told.about, said)


def _spark_revision(told: Told, rng: random.Random) -> Pair:
    said = _verification(told, rng)
    criticised = verification.written_critique(*told.about, said)
    prompt = spark.Spark(Nobody()).prompt(told.trace, spark.REVISE, said, criticised)[0]
    return prompt, spark.written(*told.about)


def _natural(told: Told, rng: random.Random, mode: natural_program.Mode) -> Pair:
    program, t = Program.of(told.trace, cited_by_numbers), told.some_step(rng)
    asker = natural_program.NaturalProgram(Nobody(), mode=mode)
    prompts = asker.prompts(program, t)[0]
    if mode == "naive":
        return prompts[0], natural_program.written(*told.about, mode=mode)
    if mode == "simultaneous":
        return prompts[0], natural_program.written(*told.until(t))
    k = rng.randrange(len(prompts))
    return prompts[k], natural_program.written(*told.until(t), mode, list(natural_program.CHECKS)[k])


def _rubric(told: Told, rng: random.Random) -> Pair:
    by = rubric_text.read_rubric(rubric_text.written_rubric(told.trace.problem))
    assert by is not None
    return RubricJudge(Nobody(), Nobody()).prompt(told.trace, by)[0], rubric_text.written(*told.about)


def _write_rubric(told: Told, rng: random.Random) -> Pair:
    return rubric_text.writing_prompt(told.trace.problem), rubric_text.written_rubric(told.trace.problem)


def _opv(told: Told, rng: random.Random) -> Pair:
    return opv.OPV(Nobody()).prompt(as_it_is(told.trace))[0], opv.written(*told.about)


def _summary(told: Told, rng: random.Random) -> Pair:
    prompt = opv._prompt(opv.SUMMARISE, told.trace.problem, told.trace.step_texts)[0]
    return prompt, written_summary(*told.about)


def _dyve(told: Told, rng: random.Random) -> Pair:
    t = told.some_step(rng)
    asker = consensus_steps.ConsensusSteps(Nobody(), AllRight())
    return asker.prompt(told.trace, t)[0], consensus_steps.written(*told.until(t))


def _critic(told: Told, rng: random.Random) -> Pair:
    t = told.some_step(rng)
    return critic(Nobody()).prompt(told.trace, t)[0], sneaky_text.written(*told.until(t))


def _edit(told: Told, rng: random.Random) -> Pair:
    t, kind = rng.randrange(len(told.truths)), rng.choice(list(sneaky_text.ERRORS))
    steps = told.trace.step_texts[: t + 1]
    return sneaky_text.edit_prompt(told.trace, t, kind), sneaky_text.written_edit(
        told.trace.problem, steps, kind
    )


class AllRight:
    """Finds every step right."""

    question, source = Question.VALIDITY, Source.of("all-right")

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        return [
            Judgement(t.id, self.question, self.source, (1.0,) * len(t.steps), first_error=NO_ERROR)
            for t in traces
        ]


@dataclass(frozen=True)
class Dyve:
    """The verdicts behind `ConsensusSteps`: it contradicts "all right" at every step it finds wrong."""

    policy: Policy
    question = Question.VALIDITY

    @property
    def source(self) -> Source:
        return Source.of("dyve-verdicts")

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        asker = consensus_steps.ConsensusSteps(self.policy, AllRight(), asking=PLAIN)
        judged = asker.score(traces)
        return [
            replace(j, scores=s, first_error=first_below(s, 0.5))
            for j in judged
            for s in [None if j.scores is None else tuple(x or 0.0 for x in j.scores)]
        ]


@dataclass(frozen=True)
class SpareLabels:
    """The labels that the judge writes for `Spare`, which takes that of the last step from the outcome."""

    policy: Policy
    question = Question.VALIDITY

    @property
    def source(self) -> Source:
        return Source.of("spare-labels")

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        asker = spare.Spare(self.policy, asking=PLAIN)
        requests = [PLAIN.request(t.problem, asker.prompt(t)[0]) for t in traces]
        judged = []
        for trace, reply in zip(traces, once(self.policy.generate, requests), strict=True):
            labels = spare.read_grades(reply.text, len(trace.steps)).labels
            scores = tuple(None if label is None else float(label) for label in labels)
            first, usage = first_below(scores, 0.5), Ledger(scorer=reply.usage)
            unread = labels.count(None)
            judged.append(
                Judgement(
                    trace.id,
                    self.question,
                    self.source,
                    scores,
                    undecided=unread,
                    first_error=first,
                    usage=usage,
                )
            )
        return judged


FORMATS = {
    "step-judge": Format(_step_judge, 0.12, lambda p: StepJudge(p, weigh=False, asking=PLAIN)),
    "step-judge, weighed": Format(_weighed, 0.05, lambda p: StepJudge(p, asking=PLAIN)),
    "critique": Format(_critique, 0.1, lambda p: Critique(p, votes=1, asking=PLAIN)),
    "spare": Format(_spare, 0.1, SpareLabels),
    "spark": Format(_spark, 0.15, lambda p: spark.Spark(p, verifications=1, asking=PLAIN)),
    "spark critique": Format(_spark_critique, 0.03),
    "spark revision": Format(_spark_revision, 0.03),
    "natural-program": Format(
        lambda told, rng: _natural(told, rng, "simultaneous"),
        0.12,
        lambda p: natural_program.NaturalProgram(p, votes=1, asking=PLAIN),
    ),
    "natural-program, sequential": Format(lambda told, rng: _natural(told, rng, "sequential"), 0.03),
    "natural-program, naive": Format(lambda told, rng: _natural(told, rng, "naive"), 0.05),
    "rubric": Format(_rubric, 0.09, lambda p: RubricJudge(p, p, gate=False, asking=PLAIN)),
    "rubric, writing": Format(_write_rubric, 0.02),
    "opv": Format(_opv, 0.08, lambda p: opv.OPV(p, runs=1, asking=PLAIN)),
    "opv, summary": Format(_summary, 0.02),
    "dyve": Format(_dyve, 0.04, Dyve),
    "sneaky critic": Format(_critic, 0.03, lambda p: critic(p, PLAIN)),
    "sneaky edit": Format(_edit, 0.02),
}


def drill(told: Told, rng: random.Random) -> Pair:
    """A short row that teaches to copy a line, to work it out and to compare, which a small model does not learn
    from whole prompts: some sums of a solution and nothing else, each to be checked by its own value."""
    sums = [line for line in map(one_line, told.trace.step_texts) if "=" in line and value(line)]
    some = sums[rng.randrange(len(sums)) :][: rng.choice((1, 1, 2, 3, 5))] if sums else []
    shown = "\n".join(f"[{k}] {line}" for k, line in enumerate(some, 1))
    return shown, "\n".join(f"Step {k}: {check(line, _by_value(line))}" for k, line in enumerate(some, 1))


def _by_value(line: str) -> StepTruth:
    valid = line.rpartition("=")[2] == value(line)
    return StepTruth(valid, valid, "ok" if valid else "wrong result")
