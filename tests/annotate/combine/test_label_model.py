"""The label models: majority where labellers are equal, exact abstention, rates recovered, clones named."""

from __future__ import annotations

import math
import random

import pytest

from preceptor.annotate.combine.first_error_model import Confusion, FirstErrorModel, first_error, labels
from preceptor.annotate.combine.first_error_model import fit as fit_first_error
from preceptor.annotate.combine.label_model import EM, dependent, fit
from preceptor.errors import InputError
from preceptor.judgement import NO_ERROR


def votes(n: int, accuracies, balance: float = 0.5, seed: int = 0, voting: float = 1.0):
    draw = random.Random(seed)
    truths = [int(draw.random() < balance) for _ in range(n)]
    rows = [
        tuple((y if draw.random() < a else 1 - y) if draw.random() < voting else None for a in accuracies)
        for y in truths
    ]
    return rows, truths


def test_three_labellers_of_equal_accuracy_agree_with_the_majority_on_every_item():
    rows, _ = votes(2000, (0.8, 0.8, 0.8))
    assert [q > 0.5 for q in fit(rows).posterior(rows)] == [sum(row) > 1 for row in rows]


@pytest.mark.parametrize("voting", [1.0, 0.6])
def test_a_labeller_that_always_abstains_changes_nothing_at_all(voting: float):
    rows, _ = votes(500, (0.9, 0.7, 0.6), voting=voting)
    for place in (0, 2, 3):
        silent = [(*row[:place], None, *row[place:]) for row in rows]
        assert fit(silent).posterior(silent) == fit(rows).posterior(rows)
        assert fit(silent).labellers[place].votes == 0


def test_rates_come_back_from_simulated_votes_and_three_labellers_need_hundreds_of_rounds():
    wanted = (0.9, 0.75, 0.6)
    rows, truths = votes(5000, wanted, seed=1)
    model = fit(rows)
    assert 100 < model.rounds <= 500
    for labeller, accuracy in zip(model.labellers, wanted):
        assert abs(labeller.right - accuracy) < 0.05
        assert abs(labeller.wrong - accuracy) < 0.05
    hits = sum((q > 0.5) == y for q, y in zip(model.posterior(rows), truths)) / len(rows)
    majority = sum((sum(row) > 1) == y for row, y in zip(rows, truths)) / len(rows)
    assert hits > majority + 0.03, "the weak labellers must not outvote the strong one"


def test_five_labellers_come_back_closer_and_sooner_also_when_classes_are_not_balanced():
    wanted = (0.9, 0.85, 0.75, 0.7, 0.6)
    model = fit(votes(5000, wanted, balance=0.7)[0])
    assert model.rounds < 100
    assert abs(model.balance - 0.7) < 0.03
    assert all(abs(found - accuracy) < 0.03 for found, accuracy in zip(model.accuracies, wanted))


def test_rates_of_labellers_that_often_abstain_are_given_that_they_vote():
    model = fit(votes(5000, (0.9, 0.85, 0.75, 0.7), voting=0.5, seed=2)[0])
    assert all(abs(a - b) < 0.05 for a, b in zip(model.accuracies, (0.9, 0.85, 0.75, 0.7)))


def test_an_item_without_votes_has_the_balance_and_rates_stay_within_their_bounds():
    rows = [(1, 1), (0, 0)] * 50 + [(None, None)]
    model = fit(rows, EM(balance=0.3))
    assert model.posterior([(None, None)]) == pytest.approx([0.3])
    assert {rate for who in model.labellers for rate in (who.right, who.wrong)} == {0.95}
    assert model.posterior([(1, 1)])[0] > 0.97


def test_classes_are_swapped_when_labellers_come_out_worse_than_chance():
    rows = [(0, 1, None), (1, 1, 1), (1, 1, None), (0, None, 0), (1, 0, 0)]
    model = fit(rows, EM(balance=0.1))
    assert model.swapped
    assert sum(who.right + who.wrong - 1 for who in model.labellers) > 0
    assert model.balance == 0.1, "a given balance stays"
    assert not fit(votes(200, (0.8, 0.8, 0.8))[0]).swapped


def test_clones_are_named_and_independent_labellers_are_not():
    rows, _ = votes(3000, (0.7, 0.7, 0.7, 0.7))
    draw = random.Random(5)
    almost = [(*row, row[0] if draw.random() < 0.9 else 1 - row[0]) for row in rows]
    assert [found.pair for found in dependent(almost)] == [(0, 4)]
    assert dependent(rows) == []
    assert dependent(votes(3000, (0.9, 0.75, 0.6))[0]) == []
    copies = [(row[0], row[1], row[0]) for row in rows]
    assert [found.pair for found in dependent(copies)] == [(0, 2)]


def test_clones_make_the_model_over_confident():
    rows, truths = votes(3000, (0.7, 0.7, 0.7))

    def confidence_gap(given):
        q = fit(given).posterior(given)
        right = sum((p > 0.5) == y for p, y in zip(q, truths)) / len(q)
        return sum(max(p, 1 - p) for p in q) / len(q) - right

    assert abs(confidence_gap(rows)) < 0.05
    assert confidence_gap([(row[0], row[0], row[0], row[1], row[2]) for row in rows]) > 0.15


@pytest.mark.parametrize("rows", [[], [(1, 2)], [(1, 0), (1,)], [(0.5, 1)]])
def test_votes_that_are_none_are_refused(rows):
    with pytest.raises(InputError):
        fit(rows)


def simulated(n: int, confusions, hazard: float, seed: int):
    draw = random.Random(seed)
    found, errors = [], []
    for _ in range(n):
        steps = draw.randint(3, 7)
        e = next((t for t in range(steps) if draw.random() < hazard), NO_ERROR)
        rate = [(c.right, c.wrong, c.after) for c in confusions]
        kind = [0 if e < 0 or t < e else 1 if t == e else 2 for t in range(steps)]
        found.append([tuple(int(draw.random() < own[k]) for own in rate) for k in kind])
        errors.append(e)
    return found, errors


JUDGE, ROLLOUTS = Confusion(0.9, 0.2, 0.6), Confusion(0.85, 0.35, 0.1)


def test_the_posterior_over_first_errors_is_bayes_rule():
    model = FirstErrorModel((JUDGE, ROLLOUTS), hazard=0.2)
    trace = [(1, 1), (0, None), (1, 0)]

    def joint(e: int) -> float:
        value = 0.8 ** (3 if e < 0 else e) * (1.0 if e < 0 else 0.2)
        for t, row in enumerate(trace):
            for vote, c in zip(row, model.labellers):
                p = c.right if e < 0 or t < e else c.wrong if t == e else c.after
                value *= 1.0 if vote is None else p if vote else 1 - p
        return value

    total = sum(joint(e) for e in (-1, 0, 1, 2))
    assert model.posterior(trace) == pytest.approx([joint(e) / total for e in (0, 1, 2, -1)])
    assert first_error(model.posterior(trace)) == 1


def test_labels_never_rise_and_follow_from_the_posterior():
    assert labels((0.1, 0.3, 0.2, 0.4)) == pytest.approx((0.9, 0.6, 0.4))
    assert first_error((0.1, 0.3, 0.2, 0.4)) == NO_ERROR
    assert first_error((0.4, 0.2, 0.4)) == 0, "ties go to the earliest error"


def test_an_uninformative_labeller_moves_nothing_unless_later_votes_are_skipped():
    trace = [(1,)] * 6
    prior = FirstErrorModel((Confusion(0.5, 0.5, 0.5),)).posterior([(None,)] * 6)
    assert FirstErrorModel((Confusion(0.5, 0.5, 0.5),)).posterior(trace) == pytest.approx(prior)
    skipping = FirstErrorModel((Confusion(0.5, 0.5, None),)).posterior(trace)
    assert skipping[0] > 4 * prior[0], "the trap: early errors explain fewer votes"
    one = FirstErrorModel((Confusion(0.5, 0.5, None),)).posterior([(1,), (None,)])
    assert math.isclose(one[1] / one[2], 0.1 / 0.9)


def test_confusions_of_both_kinds_come_back_and_the_model_beats_its_labellers_and_their_majority():
    third = Confusion(0.7, 0.4, 0.5)
    found, errors = simulated(1500, (JUDGE, ROLLOUTS, third), 0.15, seed=0)
    model = fit_first_error(found)
    assert abs(model.hazard - 0.15) < 0.03
    for got, wanted in zip(model.labellers, (JUDGE, ROLLOUTS, third)):
        assert abs(got.right - wanted.right) < 0.05
        assert abs(got.after - wanted.after) < 0.05
        assert abs(got.wrong - wanted.wrong) < 0.08

    def share(named) -> float:
        return sum(a == b for a, b in zip(named, errors)) / len(errors)

    def first_zero(rows) -> int:
        return next((t for t, v in enumerate(rows) if v < 0.5), NO_ERROR)

    ours = share([first_error(model.posterior(trace)) for trace in found])
    alone = [share([first_zero([row[j] for row in trace]) for trace in found]) for j in range(3)]
    majority = share([first_zero([sum(row) / 3 for row in trace]) for trace in found])
    assert ours > max(*alone, majority) + 0.1


def test_a_silent_labeller_and_a_repeated_trace_change_no_first_error_posterior():
    found, _ = simulated(200, (JUDGE, ROLLOUTS), 0.15, seed=1)
    silent = [[(*row, None) for row in trace] for trace in found]
    ours, theirs = fit_first_error(found), fit_first_error(silent)
    assert [ours.posterior(t) for t in found] == [theirs.posterior(t) for t in silent]
    assert fit_first_error(found * 2).hazard == pytest.approx(ours.hazard, abs=0.01)
    with pytest.raises(InputError, match="one vote per labeller"):
        fit_first_error([[]])
