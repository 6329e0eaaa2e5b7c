"""LLM2: candidates are read as one by one, negatives are drawn as named, decoding keeps the base's choice.

Run: python -m pytest tests/reward/objectives/test_token_pairs.py
"""

from __future__ import annotations

import pytest
import torch

from preceptor.errors import InputError
from preceptor.reward import train
from preceptor.reward.examples import Dropped
from preceptor.reward.objectives import OBJECTIVES, Negatives, llm2
from preceptor.reward.objectives.token_pairs import candidate_scores, combine_logits, plausible
from preceptor.reward.readout import collate, read
from tests.reward.objectives.cases import FAST, items, labels

BASE = torch.tensor([[2.0, 1.0, 0.0, -1.0, -6.0], [0.0, 3.0, 1.0, 2.0, -6.0]])
EXPERT = torch.tensor([[2.0, -1.0, 0.5, -2.0, 3.0], [3.0, 0.0, 1.0, -6.0, 2.0]])


@pytest.fixture(scope="module")
def trained(lm, tmp_path_factory):
    data = labels(80)
    prm = train(data, backbone=lm, out=tmp_path_factory.mktemp("llm2"), objective="llm2", **FAST)
    return prm, data


def test_candidates_in_one_pass_score_as_one_by_one_and_share_their_prefix(trained):
    prm, data = trained
    (row,) = prm.render(data.traces[0]).rows
    prefix, candidates = row.token_ids[:9], list(range(40, 60))
    together = candidate_scores(prm, prefix, candidates)
    alone = []
    for c in candidates:
        batch = {"input_ids": torch.tensor([[*prefix, c]]), "positions": torch.tensor([[len(prefix)]])}
        with torch.no_grad():
            alone.append(float(read(prm.model, batch, causal=True)))
    assert together == pytest.approx(alone, abs=1e-5)
    assert max(alone) - min(alone) > 1e-2
    _, cost = prm.forward.hidden([(*prefix, c) for c in candidates], [(len(prefix),)] * len(candidates))
    assert sum(cost.computed) == len(prefix) + len(candidates)


def test_negatives_in_a_training_row_are_read_as_if_alone_behind_their_prefix(trained, rendering, lm):
    prm, data = trained
    objective = OBJECTIVES["llm2"].bind(lm)
    groups = objective.rows(items(data)[:20], rendering(objective), Dropped())
    rows = [example.row for (example,) in groups]
    assert len({len(r.token_ids) for r in rows}) > 1
    with torch.no_grad():
        outputs = read(prm.model, collate(rows), causal=True)
    for i, row in enumerate(rows):
        trunk = len(row.token_ids) - len(row.branches)
        for t in (0, 1, len(row.positions) - 1):
            at = row.positions[t]
            prefix = row.token_ids[:at] if at < trunk else row.token_ids[: row.branches[at - trunk]]
            (one,) = candidate_scores(prm, prefix, [row.token_ids[at]])
            assert float(outputs[i, t]) == pytest.approx(one, abs=1e-4)


def test_rows_are_right_solutions_and_gold_is_never_its_own_negative(rendering, lm):
    objective = OBJECTIVES["llm2"].bind(lm)
    dropped = Dropped()
    some = items(labels(20))
    groups = objective.rows(some, rendering(objective), dropped)
    right = sum(i.outcome == 1 for i in some)
    assert len(groups) == right
    assert dropped.reasons["not-a-right-solution"] == len(some) - right
    for (example,) in groups:
        row = example.row
        trunk = len(row.token_ids) - len(row.branches)
        assert len(row.positions) == 5 * len(set(row.branches))
        for token, at in zip(row.token_ids[trunk:], row.branches):
            assert token != row.token_ids[at]
        assert [y for (y,) in example.targets[:5]] == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert objective.rows(some, rendering(objective), Dropped()) == groups


@pytest.mark.parametrize("mode", ["uniform", "base", "expert", "contrast"])
def test_each_mode_draws_from_its_own_distribution(mode):
    negatives = Negatives(mode, per_position=4000, keep=3)
    drawn = negatives.draw(negatives.logits(BASE, EXPERT), [0, 1], seed=3)
    expected = {"uniform": torch.zeros_like(BASE), "base": BASE, "expert": EXPERT}.get(mode)
    if expected is None:  # both keep tokens 0 and 2 of the first row, 2 alone of the second
        expected = 2 * BASE - EXPERT
        kept = torch.tensor([[1, 0, 1, 0, 0], [0, 0, 1, 0, 0]]).bool()
        expected = expected.masked_fill(~kept, -torch.inf)
    expected = expected.clone()
    expected[0, 0] = expected[1, 1] = -torch.inf
    for own, logits in zip(drawn, expected):
        shares = torch.bincount(torch.tensor(own), minlength=5) / len(own)
        torch.testing.assert_close(shares, logits.softmax(-1), atol=0.04, rtol=0)


def test_temperature_flattens_and_a_position_without_another_token_has_no_negative():
    cold, hot = (Negatives(temperature=t, per_position=2000) for t in (0.2, 5.0))
    share = [n.draw(BASE.clone(), [0, 1], 0)[0].count(1) / 2000 for n in (cold, hot)]
    assert share[0] > 0.98 > 0.5 > share[1]
    alone = torch.tensor([[0.0, -torch.inf, -torch.inf]])
    assert Negatives().draw(alone, [0], 0) == [[]]
    with pytest.raises(InputError, match="expert"):
        Negatives("contrast").logits(BASE, None)


def test_trained_values_prefer_tokens_of_right_solutions(trained):
    """All results of right solutions end in an even digit; prefixes are of problems that were not seen."""
    prm, _ = trained
    encode = prm.render.encoder.text
    digits = [encode(str(d))[0] for d in range(10)]
    better, pairs = 0, 0
    for trace in labels(20, seed=7).traces[:40]:
        (row,) = prm.render(trace).rows
        values = candidate_scores(prm, row.token_ids[: row.positions[0]], digits)
        for even in values[::2]:
            better += sum(even > odd for odd in values[1::2])
            pairs += 5
    assert better / pairs > 0.7


def test_decoding_without_the_verifier_is_the_base_and_constants_change_nothing():
    values = torch.randn(2, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(combine_logits(BASE, values, alpha=0.0, beta=0.0), BASE)
    shifted = combine_logits(BASE, values + 7).softmax(-1)
    torch.testing.assert_close(shifted, combine_logits(BASE, values).softmax(-1))
    mask = plausible(BASE, 0.1)
    assert mask.tolist() == [[True, True, True, False, False], [False, True, True, True, False]]
    broken = torch.where(mask, values, torch.nan)
    found = combine_logits(BASE, broken)
    assert torch.equal(found, combine_logits(BASE, values))
    assert torch.isinf(found[~mask]).all()
    lone = plausible(torch.tensor([5.0, 0.0, 0.0]))
    assert lone.tolist() == [True, False, False]
    assert float(combine_logits(torch.tensor([1.0, 0.9]), torch.tensor([0.0, 1.0])).argmax()) == 1


def test_an_expert_is_a_second_model(lm, tmp_path, rendering):
    from tests.tiny import save_tiny_policy

    other = save_tiny_policy(tmp_path / "expert", seed=5)
    some = [i for i in items(labels(20)) if i.outcome == 1][:4]
    drawn = []
    for mode in ("expert", "contrast", "uniform"):
        objective = llm2(Negatives(mode), expert=other).bind(lm)
        drawn.append([e.row.token_ids for (e,) in objective.rows(some, rendering(objective), Dropped())])
    assert drawn[0] != drawn[1] != drawn[2] != drawn[0]
