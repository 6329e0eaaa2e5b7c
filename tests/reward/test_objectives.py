"""Every objective trains, serves what it trained, and learns the rule its labels follow.

Toy sums: a step is good when its last digit is even, a solution is right when all its steps are good. A
chance of success falls to 0 with the first bad step, so each objective's target is known.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from preceptor.judgement import Question
from preceptor.reward import train
from preceptor.reward.examples import Dropped, Labelled
from preceptor.reward.metrics import auroc
from preceptor.reward.objectives import OBJECTIVES, birm, pav
from preceptor.reward.objectives.rows import every_token, success_rate, values
from preceptor.reward.objectives.value import shared_prefixes
from preceptor.reward.render import Renderer
from preceptor.trace import Grade, Problem, Verdict
from tests.reward.toy import ToyLabels, backbone, good, judged, toy_labels, trace_of

FAST = {"epochs": 5, "lr": 3e-3, "batch_rows": 16, "held_out": 0.2}
OUTCOMES = {"birm", "freeprm", "hindsight", "multi", "orm", "ovm", "pairwise", "saffron", "scan", "tvm"}
"""Trained on outcomes, wholly or in part: judged by how they rank solutions."""
OTHER_LABELS = {"cooper", "cooper-pairs", "lightman"}
"""They want gold answers or ratings: see `objectives/`."""


@cache
def labels(n: int = 100) -> ToyLabels:
    """Toy labels with grades; as value labels, 4 rollouts per step that all succeed before the first bad step
    and all fail from there on."""
    plain = toy_labels(n)
    traces = []
    for trace in plain.traces:
        right = all(map(good, trace.step_texts))
        traces.append(trace.graded(Grade(Verdict.CORRECT if right else Verdict.INCORRECT, "toy")))
    return ToyLabels(traces, plain.judgements)


@cache
def value_labels(n: int = 100) -> ToyLabels:
    plain = labels(n)
    judgements = []
    for trace in plain.traces:
        alive, counts = True, []
        for step in trace.step_texts:
            alive = alive and good(step)
            counts.append((4 if alive else 0, 4))
        scores = tuple(a / b for a, b in counts)
        judgements.append(judged(trace, scores, counts=tuple(counts), question=Question.VALUE))
    return ToyLabels(plain.traces, judgements)


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    return backbone(tmp_path_factory.mktemp("lm"), hidden=64)


@pytest.mark.parametrize("name", sorted(OBJECTIVES.keys() - OTHER_LABELS))
def test_it_learns_the_rule_and_serves_what_it_trained(name, lm, tmp_path):
    data = value_labels() if name in {"pav", "scan", "sorm"} else labels()
    prm = train(data, backbone=lm, out=tmp_path, objective=name, **FAST)
    report = json.loads((tmp_path / "training.json").read_text())
    assert report["parity"]["max_difference"] <= 1e-4
    held = set(report["held_out_problems"])
    traces = [t for t in data.traces if t.problem.id in held]
    judgements = prm.score(traces)
    assert all(j.error is None for j in judgements)
    if name in OUTCOMES:
        scores = np.array([j.scores[-1] for j in judgements])
        truth = np.array([t.grade.correct for t in traces])
    else:
        pairs = [(s, good(x)) for t, j in zip(traces, judgements) for s, x in zip(j.scores, t.step_texts)]
        if name in {"pav", "sorm"}:  # nothing is left to lose after the first bad step
            pairs = []
            for t, j in zip(traces, judgements):
                for s, x in zip(j.scores, t.step_texts):
                    pairs.append((s, good(x)))
                    if not good(x):
                        break
        scores, truth = np.array([s for s, _ in pairs]), np.array([y for _, y in pairs])
    found = auroc(scores, truth)
    assert found is not None
    assert found > 0.7, f"{name}: {found}"


def items(data: ToyLabels) -> list[Labelled]:
    return [Labelled(t, tuple(j.scores), j) for t, j in zip(data.traces, data.judgements, strict=True)]


@pytest.fixture(scope="module")
def render(lm):
    from preceptor.reward.model import build

    _, tokenizer, fmt = build(lm, question=Question.VALIDITY)
    return Renderer(tokenizer, fmt.layout, fmt.max_length)


def test_the_outcome_model_is_the_step_model_with_a_mask_on_all_but_the_last_step(lm, render):
    """Same head, same loss; the rows differ in what is masked, and in nothing else for one-step solutions."""
    some = [i for i in items(labels()) if len(i.trace.steps) == 1][:10]
    whole = Renderer(render.tokenizer, render.layout, render.max_length, whole=True)
    theirs = OBJECTIVES["orm"].rows(some, whole, Dropped())
    ours = OBJECTIVES["soft-ce"].rows([replace(i, targets=(i.outcome,)) for i in some], render, Dropped())
    assert theirs == ours
    longer = [i for i in items(labels()) if len(i.trace.steps) > 2][:10]
    for (example,) in OBJECTIVES["orm"].rows(longer, whole, Dropped()):
        assert len(example.targets) == 1


def test_token_targets_stand_on_every_token_of_the_steps_and_on_none_of_the_prompt(render):
    item = items(labels())[0]
    (row,) = render(item.trace).rows
    every = every_token(row)
    assert every.positions == tuple(range(row.begins[0], len(row.token_ids)))
    assert dict(zip(every.positions, every.steps))[row.positions[0]] == 0
    ((example,),) = OBJECTIVES["ovm"].rows([item], render, Dropped())
    assert {y for (y,) in example.targets} == {item.outcome}


def test_shared_beginnings_have_shared_values(render):
    """Two solutions that part after the first line: half is the value of what they share."""
    problem = Problem("Sums?")
    right = trace_of(problem, ["1+1=22\n", "3+3=44\n"]).graded(Grade(Verdict.CORRECT, "toy"))
    wrong = trace_of(problem, ["1+1=22\n", "3+3=45\n"]).graded(Grade(Verdict.INCORRECT, "toy"))
    both = [Labelled(t, (1.0, 1.0), judged(t, (1.0, 1.0))) for t in (right, wrong)]
    (a,), (b,) = shared_prefixes(both, render, Dropped())
    ids = [[e.row.token_ids[p] for p in e.row.positions] for e in (a, b)]
    part = next(k for k, (x, y) in enumerate(zip(*ids)) if x != y)
    assert part > 4
    assert [y for (y,) in a.targets] == [0.5] * part + [1.0] * (len(ids[0]) - part)
    assert [y for (y,) in b.targets] == [0.5] * part + [0.0] * (len(ids[1]) - part)


def test_advantages_telescope_and_need_a_prover_that_differs_from_success(render):
    data = items(value_labels())
    for prover_k in (1, 4):
        groups = pav(prover_k).rows(data, render, Dropped())
        found = {g[0].row.token_ids: sum(y for (y,) in g[0].targets) for g in groups}
        assert len(found) > 10
        by_prompt: dict[str, list[Labelled]] = {}
        for item in data:
            by_prompt.setdefault(item.trace.problem.prompt, []).append(item)
        for same in by_prompt.values():
            root = success_rate(same)
            for item in same:
                total = found[render(item.trace).rows[0].token_ids]
                end = values(item)[-1]
                assert total == pytest.approx(
                    (1 - (1 - end) ** prover_k) - (1 - (1 - root) ** prover_k), abs=1e-9
                )


def test_without_a_forward_weight_the_two_head_score_is_the_plain_one(lm, tmp_path):
    data = labels(40)
    quick = {**FAST, "epochs": 2}
    plain = train(data, backbone=lm, out=tmp_path / "a", objective=birm(beta=0.0), **quick)
    both = train(data, backbone=lm, out=tmp_path / "b", objective=birm(beta=1.0), **quick)
    for mine, theirs in zip(plain.score(data.traces[:20]), both.score(data.traces[:20])):
        assert all(b > a for a, b in zip(mine.scores, theirs.scores))
    assert plain.question is Question.VALIDITY
    assert both.question is Question.QUALITY


def test_pairs_are_a_right_and_a_wrong_solution_of_one_problem(render):
    whole = Renderer(render.tokenizer, render.layout, render.max_length, whole=True)
    dropped = Dropped()
    data = items(labels())
    groups = OBJECTIVES["pairwise"].rows(data, whole, dropped)
    assert groups
    for right, wrong in groups:
        assert (right.targets[0], wrong.targets[0]) == ((1.0,), (0.0,))
        prompt = right.row.begins[0]
        assert right.row.token_ids[:prompt] == wrong.row.token_ids[:prompt]
    assert 2 * len(groups) + dropped.reasons["unpaired"] == len(data)


def test_heads_of_an_ensemble_stay_apart(lm, tmp_path):
    import torch

    prm = train(labels(40), backbone=lm, out=tmp_path, objective="ensemble", **{**FAST, "epochs": 2})
    states, _ = prm.forward.hidden([prm.render(labels(40).traces[0]).rows[0].token_ids], [(5, 9)])
    with torch.inference_mode():
        outputs = prm.model.outputs(states[0])
        assert outputs.shape == (2, 32)
        assert outputs.sigmoid().std(-1).min() > 1e-3
        torch.testing.assert_close(prm.format.link.score(outputs), outputs.sigmoid().mean(-1))
        brute = [float(m) for m in _members(prm.model.head, states[0][0])]
    assert outputs[0].tolist() == pytest.approx(brute, abs=1e-5)


def _members(head, state):
    """One small network at a time."""
    for e in range(head.nn1.weight.shape[0]):
        x = state.float()
        for layer in (head.nn1, head.nn2, head.nn_out):
            x = x @ layer.weight[e] + layer.bias[e]
            x = x.relu() if layer is not head.nn_out else x
        yield x


def test_lora_and_head_only_training_leave_the_backbone_weights_alone(lm, tmp_path):
    import torch
    from transformers import AutoModel

    before = AutoModel.from_pretrained(lm).state_dict()
    head_only = train(
        labels(40), backbone=lm, out=tmp_path / "head", train_body=False, **{**FAST, "epochs": 2}
    )
    now = head_only.model.body.state_dict()
    assert all(torch.equal(v[: len(before[k])], before[k]) for k, v in now.items())
    pytest.importorskip("peft")
    adapted = train(labels(40), backbone=lm, out=tmp_path / "lora", lora=4, **{**FAST, "epochs": 2})
    after = adapted.model.body.state_dict()
    assert set(after) == set(before)
    changed = [k for k in after if not torch.allclose(after[k][: len(before[k])], before[k])]
    assert any("q_proj" in k for k in changed)
    assert not any("norm" in k for k in changed)
