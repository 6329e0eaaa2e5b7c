"""The verifier that is shown the reference answer looks at it.

Run: python -m pytest tests/reward/objectives/test_reference.py
"""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from preceptor.errors import InputError
from preceptor.reward import train
from preceptor.reward.examples import Dropped
from preceptor.reward.layout import Chat, Plain, fill
from preceptor.reward.objectives import OBJECTIVES, cooper
from preceptor.reward.objectives.reference import swapped
from preceptor.trace import Problem
from tests.reward.objectives.cases import graded, items
from tests.reward.toy import ToyLabels, judged, trace_of


def answers(n: int, seed: int = 0) -> ToyLabels:
    """Four one-digit answers per problem, half of them the gold one: only the reference tells them apart."""
    rng = random.Random(seed)
    traces, judgements = [], []
    for p in range(n):
        gold = rng.randint(0, 9)
        problem = Problem(f"Task {p}?", gold=str(gold))
        for k in range(4):
            given = gold if k % 2 == 0 else (gold + rng.randint(1, 9)) % 10
            trace = replace(trace_of(problem, [f"Answer: {given}\n"]), draw=k)
            traces.append(graded(trace, given == gold))
            judgements.append(judged(traces[-1], (float(given == gold),)))
    return ToyLabels(traces, judgements)


def test_a_wrong_reference_lowers_the_score_of_a_right_response(lm, tmp_path):
    data = answers(160)
    prm = train(
        data, backbone=lm, out=tmp_path, objective="cooper", epochs=6, lr=3e-3, batch_rows=32, held_out=0.2
    )
    fresh = [t for t in answers(40, seed=1).traces if t.grade.correct][:60]
    wrong = [
        replace(t, problem=replace(t.problem, gold=str((int(t.problem.gold) + 1 + i % 9) % 10)))
        for i, t in enumerate(fresh)
    ]
    before, after = (np.array([j.scores[-1] for j in prm.score(x)]) for x in (fresh, wrong))
    assert before.mean() - after.mean() > 0.2
    assert (before > after).mean() > 0.7


def test_without_a_gold_answer_nothing_is_scored_and_others_are_not_affected(rendering, lm, tmp_path):
    data = answers(20)
    prm = train(data, backbone=lm, out=tmp_path, objective="cooper", epochs=1, held_out=0.2)
    known = data.traces[0]
    unknown = replace(known, problem=replace(known.problem, gold=None))
    first, second = prm.score([unknown, known])
    assert (first.scores, first.error.kind) == (None, "no-reference")
    assert second.error is None
    dropped = Dropped()
    objective = OBJECTIVES["cooper"]
    some = items(data)
    mixed = [replace(i, trace=replace(i.trace, problem=unknown.problem)) for i in some[:3]] + some[3:]
    assert len(objective.rows(mixed, rendering(objective), dropped)) == len(some) - 3
    assert dropped.reasons == {"no-reference": 3}


def test_slots_are_filled_once_and_a_problem_cannot_bring_its_own(rendering):
    problem = Problem("Say {reference} and {problem}", gold="7 {problem}")
    assert fill("{problem}|{reference}", problem) == "Say {reference} and {problem}|7 {problem}"
    encoder = rendering(OBJECTIVES["cooper"]).encoder
    ids, _ = Plain("{reference}!").ids(encoder, problem)
    assert encoder.tokenizer.decode(ids) == "7 {problem}!"
    assert Chat(user="{problem}") != Chat(user="{reference}")
    with pytest.raises(InputError, match="gold"):
        fill("{reference}", Problem("no gold"))


def test_pairs_are_right_and_wrong_for_one_reference_and_swaps_are_wrong_only(rendering):
    objective = cooper(contrast=True)
    some = items(answers(10))
    for right, wrong in objective.rows(some, rendering(objective), Dropped()):
        begin = right.row.begins[0]
        assert right.row.token_ids[:begin] == wrong.row.token_ids[:begin]
        assert (right.targets[0], wrong.targets[0]) == ((1.0,), (0.0,))
    made = swapped(some, 2)
    assert len(made) == 2 * sum(i.outcome == 1 for i in some)
    assert all(i.outcome == 0 for i in made)
    gold = {i.trace.problem.id: i.trace.problem.gold for i in some}
    assert all(i.trace.problem.gold != gold[i.trace.problem.id] for i in made)
