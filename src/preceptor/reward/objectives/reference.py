"""Outcome verifiers that are shown the reference answer: does this response agree with it? (Cooper, VerifyRM)

A classifier on (problem, reference answer, response), read once behind the response. Two forms:

cooper()               binary cross entropy on the graded outcome: VerifyRM's training
cooper(contrast=True)  -log sigma(R(right) - R(wrong)), the update beside a policy that is trained

The reference is the problem's gold answer; problems without one are counted and left out, and such a trace
cannot be scored. Published: 65 thousand triples labelled where a rule and a judge agree, and wrong responses
that another model rewrote from right ones. Here the label is the grader's, and the wrong response is another
sample of the same problem. A model can tell right from wrong without looking at the reference when its training
shows each response beside one reference only; `swaps` is ours and adds, for every right response, rows with the
answers of other problems, labelled wrong. Public code: not available, and so is the exact prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from preceptor.judgement import Question
from preceptor.reward.examples import Dropped, Group, Labelled
from preceptor.reward.head import Linear
from preceptor.reward.layout import Plain, Tagged
from preceptor.reward.link import SIGMOID
from preceptor.reward.losses import bce
from preceptor.reward.losses import cooper as cooper_loss
from preceptor.reward.objective import Objective
from preceptor.reward.objectives.binary import outcome_rows
from preceptor.reward.objectives.rows import solution_pairs
from preceptor.reward.render import Renderer
from preceptor.trace import Grade, Verdict, stream_seed

PROMPT = Plain("{problem}\nReference: {reference}\n")


def cooper(*, contrast: bool = False, swaps: int = 0, prompt: Plain = PROMPT) -> Objective:
    """`swaps`: wrong references beside each right response (cross entropy only; 0 is the published data)."""

    def rows(items: Sequence[Labelled], render: Renderer, dropped: Dropped) -> list[Group]:
        known = [i for i in items if i.trace.problem.gold is not None]
        if len(known) < len(items):
            dropped.add("no-reference", len(items) - len(known))
        if contrast:
            return solution_pairs(known, render, dropped)
        return outcome_rows([*known, *swapped(known, swaps)], render, dropped)

    return Objective(
        loss=(lambda outputs, batch: cooper_loss(outputs, batch["targets"], batch["mask"]))
        if contrast
        else (lambda outputs, batch: bce(outputs, batch["targets"], batch["mask"])),
        head=Linear(1),
        link=SIGMOID,
        layout=Tagged("<|step|>", prompt, strip="right"),
        rows=rows,
        question=Question.VALUE,
        whole=True,
        source="Cooper: co-optimizing policy and reward models",
    )


def swapped(items: Sequence[Labelled], swaps: int) -> list[Labelled]:
    """Right responses beside the gold answers of other problems, as wrong ones."""
    answers = sorted({i.trace.problem.gold or "" for i in items})
    out = []
    for item in items:
        others = [a for a in answers if a != item.trace.problem.gold]
        if item.outcome != 1 or not others:
            continue
        for k in range(swaps):
            other = others[stream_seed("reference", item.trace.id, k) % len(others)]
            problem = replace(item.trace.problem, gold=other)
            grade = Grade(Verdict.INCORRECT, "another problem's answer")
            out.append(replace(item, trace=replace(item.trace, problem=problem, grade=grade)))
    return out


COOPER = cooper()
COOPER_PAIRS = cooper(contrast=True)
