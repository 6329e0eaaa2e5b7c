"""Several scorers as one: posteriors as scores, costs summed, abstentions and failures kept apart."""

from __future__ import annotations

from dataclasses import replace

import pytest

from preceptor.annotate import MathShepherd, WorldOracle, label
from preceptor.annotate.combine import EM, Confusion, FirstErrorModel, LabelModel, WeakSupervision
from preceptor.annotate.combine.label_model import Labeller
from preceptor.annotate.combine.parts import ask
from preceptor.errors import BackendError, InputError
from preceptor.judgement import Question, Scorer
from preceptor.policy import ScriptedPolicy
from preceptor.store import Store
from preceptor.trace import Problem, Trace, steps_from_ends
from tests.annotate.combine.noisy import Noisy, traces, truth

PARTS = (Noisy(0.9, seed=1), Noisy(0.75, seed=2), Noisy(0.7, 0.3, seed=3), Noisy(0.65, seed=4))


def right_labels(judged, given) -> float:
    pairs = [
        ((s > 0.5) == bool(y))
        for own, real in zip(judged, truth(given))
        for s, y in zip(own.scores, real.scores)
        if s is not None
    ]
    return sum(pairs) / len(pairs)


def test_merged_labels_beat_every_part_and_estimates_are_near_the_true_accuracies():
    given = traces(80)
    scorer = WeakSupervision(PARTS).fitted(given)
    judged = scorer.score(given)
    assert isinstance(scorer, Scorer)
    assert right_labels(judged, given) > max(right_labels(p.score(given), given) for p in PARTS) + 0.01
    found = scorer.model.accuracies
    assert all(abs(a - p.accuracy) < 0.08 for a, p in zip(found, PARTS))
    assert {flag for j in judged for flag in j.flags} == set()


def test_the_cost_is_the_sum_of_the_parts_and_each_part_gets_one_call():
    parts = (Noisy(0.9, seed=1), Noisy(0.8, seed=2))
    given = traces(5)
    judged = WeakSupervision(parts).score(given)
    assert [len(part.asked) for part in parts] == [1, 1]
    assert {j.usage.scorer.calls for j in judged} == {2}
    assert {j.flags for j in judged} == {("fitted-on-batch",)}


def test_a_fitted_scorer_does_not_depend_on_the_batch_and_its_model_is_part_of_its_name(tmp_path):
    given = traces(10)
    plain = WeakSupervision(PARTS)
    scorer = plain.fitted(given)
    together = scorer.score(given)
    assert [scorer.score([trace])[0].scores for trace in given] == [j.scores for j in together]
    assert len({plain.source, scorer.source, plain.fitted(given[:20]).source}) == 3
    with Store(tmp_path / "s.store") as store:
        assert label(scorer, given, store).labelled == len(given)
        assert label(scorer, given, store, unit=3).skipped == len(given)


def test_the_first_error_structure_merges_value_and_validity_where_independent_steps_mislead():
    given = traces(60, error=0.15)
    real = [j.first_error for j in truth(given)]
    # Rollouts stay at 0 after an error and miss errors they repair; judges err everywhere alike.
    rollouts = MathShepherd(ScriptedPolicy(error=0.15, repair=0.1), rollouts=4)
    parts = (rollouts, Noisy(0.85, seed=1), Noisy(0.8, seed=2))
    judged = ask(parts, given)

    def hits(found) -> float:
        return sum(j.first_error == e for j, e in zip(found, real)) / len(real)

    alone = max(hits([row[k] for row in judged]) for k in range(3))
    steps, places = (
        WeakSupervision(parts, structure=how).fit_to(given, judged).join(given, judged)
        for how in ("steps", "first-error")
    )
    assert hits(places) > max(alone, hits(steps)) + 0.05
    assert all(a >= b for j in places for a, b in zip(j.scores, j.scores[1:]))


def test_value_and_validity_parts_mix_and_rollouts_are_shared_through_the_store(tmp_path):
    given = traces(12)
    with Store(tmp_path / "s.store") as store:
        rollouts = MathShepherd(ScriptedPolicy(error=0.2), rollouts=8, store=store)
        scorer = WeakSupervision((rollouts, Noisy(0.85, seed=1), Noisy(0.8, seed=2)), structure="first-error")
        judged = scorer.score(given)
        assert scorer.question is Question.VALIDITY
        assert sum(j.usage.policy.generated for j in judged) > 0
        assert sum(j.usage.policy.generated for j in scorer.score(given)) == 0
    real = [j.first_error for j in truth(given)]
    assert sum(j.first_error == e for j, e in zip(judged, real)) / len(real) > 0.8


def test_steps_without_a_vote_and_traces_without_parts_have_no_score():
    given = traces(3)
    nowhere = Trace(Problem("p", "1"), "x\ny\n", steps_from_ends([2, 4]))
    quiet = WeakSupervision((Noisy(1.0, 0.6, seed=1), Noisy(1.0, 0.6, seed=2)), em=EM(balance=0.5))
    *judged, lost = quiet.score([*given, nowhere])
    scores = [s for j in judged for s in j.scores]
    assert None in scores
    assert any(s is not None for s in scores)
    assert (lost.scores, lost.error.kind, lost.usage.scorer.calls) == (None, "no-votes", 2)
    assert "lost" in lost.error.message
    (alone,) = quiet.score([nowhere])
    assert (alone.error.kind, alone.flags) == ("no-votes", ())


def test_clones_are_flagged():
    given = traces(60)
    clones = (
        Noisy(0.7, seed=1),
        Noisy(0.7, seed=1),
        Noisy(0.75, seed=2),
        Noisy(0.7, seed=3),
        Noisy(0.8, seed=4),
    )
    scorer = WeakSupervision(clones).fitted(given)
    assert scorer.dependent == ((0, 1),)
    assert "dependent-parts" in scorer.score(given)[0].flags
    assert WeakSupervision(PARTS).fitted(given).dependent == ()


def test_thresholds_turn_scores_into_votes():
    class Soft(Noisy):
        def score(self, given):
            judged = super().score(given)
            return [replace(j, scores=tuple(0.1 + 0.2 * s for s in j.scores)) for j in judged]

    given = traces(2)
    votes = [
        WeakSupervision((Soft(1.0),), thresholds=limit).votes(given[0], Soft(1.0).score(given)[:1])
        for limit in (None, (0.2,), (0.05,))
    ]
    real = [(int(s),) for s in truth(given)[0].scores]
    assert votes == [[(0,)] * len(real), real, [(1,)] * len(real)]


@pytest.mark.parametrize(
    "settings",
    [
        {"parts": ()},
        {"structure": "tree"},
        {"thresholds": (0.5,)},
        {"model": FirstErrorModel((Confusion(),) * 4)},
        {"model": LabelModel(0.5, (Labeller(0.9, 0.9, 1),))},
    ],
)
def test_settings_that_do_not_fit_are_refused(settings):
    with pytest.raises(InputError, match="expected"):
        WeakSupervision(**{"parts": PARTS, **settings})


def test_a_part_that_answers_for_other_traces_is_no_label():
    class Lost(Noisy):
        def score(self, given):
            return super().score(given)[:-1]

    with pytest.raises(BackendError, match="one judgement per trace"):
        WeakSupervision((WorldOracle(), Lost())).score(traces(2))
