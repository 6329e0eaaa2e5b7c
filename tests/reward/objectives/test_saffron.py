"""SAFFRON: partial supervision, unseen tokens, one call per beam.

Run: python -m pytest tests/reward/objectives/test_saffron.py
"""

from __future__ import annotations

import pytest

from preceptor.reward import train
from preceptor.reward.examples import Dropped, Labelled
from preceptor.reward.head import UNSEEN
from preceptor.reward.model import build
from preceptor.reward.objectives import OBJECTIVES
from preceptor.reward.objectives.saffron import next_values, prepare
from preceptor.reward.readout import read
from preceptor.reward.trainer import collate_batch
from preceptor.trace import Problem
from tests.reward.objectives.cases import FAST, graded, items, labels
from tests.reward.toy import judged, trace_of

SAFFRON = OBJECTIVES["saffron"]


@pytest.fixture(scope="module")
def trained(lm, tmp_path_factory):
    data = labels(80)
    prm = train(data, backbone=lm, out=tmp_path_factory.mktemp("saffron"), objective="saffron", **FAST)
    return prm, data


def two_that_part() -> list[Labelled]:
    problem = Problem("Sums?")
    right = graded(trace_of(problem, ["1+1=22\n", "3+3=44\n"]), True)
    wrong = graded(trace_of(problem, ["1+1=22\n", "3+3=45\n"]), False)
    return [Labelled(t, (1.0, 1.0), judged(t, (1.0, 1.0))) for t in (right, wrong)]


def test_each_prefix_and_token_is_asked_once_with_the_value_of_what_shares_it(rendering):
    render = rendering(SAFFRON)
    (a,), (b,) = SAFFRON.rows(two_that_part(), render, Dropped())
    shown = "".join(render.tokenizer.convert_ids_to_tokens(a.row.following)).replace("Ċ", "\n")
    assert shown == "1+1=22\n3+3=44"  # the last token is asked about although it is in no row
    assert [y for (y,) in a.targets] == [0.5] * (len(a.targets) - 1) + [1.0]
    assert [y for (y,) in b.targets] == [None] * (len(b.targets) - 1) + [0.0]
    for row in (a.row, b.row):
        assert row.token_ids[row.positions[0] + 1 :] == row.following[:-1]


def test_unobserved_tokens_have_no_gradient_and_the_output_table_stays(lm, rendering):
    from preceptor.judgement import Question

    model, _, _ = build(
        lm, question=Question.VALUE, head=SAFFRON.head, link=SAFFRON.link, layout=SAFFRON.layout
    )
    groups = SAFFRON.rows(two_that_part(), rendering(SAFFRON), Dropped())
    prepare(model, groups)
    batch = collate_batch([groups])
    SAFFRON.loss(read(model, batch, causal=True), batch).backward()
    shown = {t for (e,) in groups for t, (y,) in zip(e.row.following, e.targets) if y is not None}
    moved = set(model.head.bias.grad.nonzero().flatten().tolist())
    assert moved == shown == set(model.head.seen.nonzero().flatten().tolist())
    assert model.head.output.weight.grad is None
    assert model.body.get_input_embeddings().weight.grad is not None


def test_the_step_score_is_the_value_of_the_token_that_ends_it(trained):
    prm, data = trained
    (judgement,) = prm.score(data.traces[:1])
    (row,) = prm.render(data.traces[0]).rows
    for score, at, token in zip(judgement.scores, row.positions, row.following):
        values = next_values(prm, [row.token_ids[: at + 1]])
        assert float(values[0, token]) == pytest.approx(score, abs=1e-5)
    digits = [prm.render.encoder.text(str(d))[0] for d in range(10)]
    assert set(row.following) <= set(digits)


def test_unseen_tokens_are_marked_in_the_saved_model_and_lose_every_search(trained):
    prm, data = trained
    seen = prm.model.head.seen
    assert 10 < int(seen.sum()) < len(seen) - 100
    budget, tokens = 4, 6
    (row,) = prm.render(data.traces[0]).rows
    start = row.token_ids[: row.begins[0]]
    beams, asked = [start], 0
    for _ in range(tokens):
        values = next_values(prm, beams)
        asked += len(values)
        assert (values[:, ~seen] == UNSEEN).all()
        assert values[:, seen].min() > UNSEEN / 2
        flat = values.flatten().topk(budget).indices.tolist()
        beams = [(*beams[i // len(seen)], i % len(seen)) for i in flat]
    assert all(bool(seen[t]) for beam in beams for t in beam[len(start) :])
    assert asked == 1 + budget * (tokens - 1)  # beams x tokens, whatever the number of candidates


def test_one_row_gives_what_a_row_per_candidate_would(trained):
    """The same values as scoring a trace that ends in each candidate: the table is read right."""
    prm, _ = trained
    problem = Problem("Sums 3?")
    traces = [trace_of(problem, [f"1+1=2{d}\n"]) for d in range(10)]
    single = [j.scores[0] for j in prm.score(traces)]
    (row,) = prm.render(traces[0]).rows
    values = next_values(prm, [row.token_ids[: row.positions[0] + 1]])[0]
    digits = [prm.render.encoder.text(str(d))[0] for d in range(10)]
    assert single == pytest.approx(values[digits].tolist(), abs=1e-5)
    even, odd = (sum(single[k::2]) / 5 for k in (0, 1))
    assert even > odd


def test_the_values_may_come_from_any_rule(rendering):
    from preceptor.reward.objectives import saffron

    lengths = saffron(lambda rows, outcomes: [[float(k) for k in range(len(r))] for r in rows])
    (example,) = lengths.rows(items(labels(1))[:1], rendering(SAFFRON), Dropped())[0]
    assert [y for (y,) in example.targets] == [float(k) for k in range(len(example.row.following))]
