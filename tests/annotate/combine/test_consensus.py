"""Consensus: whole traces go, no label changes, filtering twice is filtering once, unknown is not disagreement."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from preceptor.annotate import WorldOracle
from preceptor.annotate.combine import Consensus
from preceptor.annotate.combine.parts import ask
from preceptor.annotate.judges import ConsensusSteps
from preceptor.annotate.rollout.relative_progress import RelativeProgress
from preceptor.annotate.rules import first_error_targets
from preceptor.errors import InputError
from preceptor.generation import Continuation
from preceptor.judgement import NO_ERROR, Judgement, Question, Scorer, Source
from preceptor.policy import ScriptedPolicy
from preceptor.trace import Finish
from preceptor.usage import Usage
from tests.annotate.combine.noisy import Noisy, traces, truth
from tests.annotate.judges.oracle import Words, step_is_right


@dataclass(frozen=True)
class Says:
    """One first error for all traces."""

    first_error: int | None
    question = Question.VALIDITY

    @property
    def source(self):
        return Source.of("says", e=self.first_error)

    def score(self, given):
        return [
            Judgement(
                t.id,
                self.question,
                self.source,
                None if self.first_error is None else first_error_targets(self.first_error, len(t.steps)),
                first_error=self.first_error,
            )
            for t in given
        ]


def kept(scorer, given):
    return {j.trace for j in scorer.score(given) if j.scores is not None}


def test_identical_scorers_keep_everything_and_every_kept_label_is_the_agreed_one():
    given = traces(10)
    scorer = Consensus(WorldOracle(), WorldOracle())
    judged = scorer.score(given)
    assert isinstance(scorer, Scorer)
    for j, real, trace in zip(judged, truth(given), given):
        assert j.first_error == real.first_error
        assert j.scores == first_error_targets(real.first_error, len(trace.steps)), "masked after the error"
    assert scorer.agreement(given, ask((scorer.first, scorer.second), given)).share == 1


def test_a_judge_that_never_finds_an_error_keeps_exactly_the_traces_the_other_calls_clean():
    given = traces(20)
    noisy = Noisy(0.9, seed=1)
    clean = {j.trace for j in noisy.score(given) if j.first_error == NO_ERROR}
    assert kept(Consensus(noisy, Says(NO_ERROR)), given) == clean
    assert 0 < len(clean) < len(given)


def test_filtering_twice_is_filtering_once_and_labels_stay_as_they_were():
    given = traces(20)
    noisy = Noisy(0.9, seed=1)
    once = Consensus(noisy, WorldOracle())
    first = {j.trace: j.scores for j in once.score(given) if j.scores is not None}
    assert 0 < len(first) < len(given)
    for again in (Consensus(once, WorldOracle()), Consensus(once, once), Consensus(WorldOracle(), once)):
        assert {j.trace: j.scores for j in again.score(given) if j.scores is not None} == first


def test_dropped_traces_say_why_and_cost_what_was_spent_on_them():
    given = traces(20)
    judged = Consensus(Noisy(0.9, seed=1), Noisy(0.9, seed=2)).score(given)
    dropped = [j for j in judged if j.scores is None]
    assert dropped
    assert {(j.error.kind, j.flags, j.first_error) for j in dropped} == {("disagree", ("discarded",), None)}
    assert {j.usage.scorer.calls for j in judged} == {2}
    unknown = Consensus(Says(None), WorldOracle()).score(given)
    assert {j.error.kind for j in unknown} == {"unknown"}


def test_kept_traces_are_the_easy_ones():
    given = traces(60)
    left = kept(Consensus(Noisy(0.9, seed=1), Noisy(0.9, seed=2)), given)
    steps = {True: [], False: []}
    for trace in given:
        steps[trace.id in left].append(len(trace.steps))
    assert sum(steps[True]) / len(steps[True]) < sum(steps[False]) / len(steps[False])


def test_the_rpe_variant_compares_labels_up_to_the_judge_s_first_error():
    given = traces(8, error=0.3)
    progress = RelativeProgress(ScriptedPolicy(error=0.05), rollouts=32, levels=((0.0, 16),))
    judged = Consensus(progress, WorldOracle(), by="labels").score(given)
    real = {j.trace: j for j in truth(given)}
    left = [j for j in judged if j.scores is not None]
    assert len(left) > len(given) / 2
    assert all(j.first_error == real[j.trace].first_error for j in left)
    strict = Consensus(progress, Says(0), by="labels")
    assert kept(strict, given) == {j.trace for j in progress.score(given) if j.scores and j.scores[0] == 0}


class Signs(Words):
    """Dyve's judge: the truth about the step shown, as a sign."""

    def answer(self, request):
        sign = "+" if step_is_right(request) else "-"
        return Continuation(sign, Finish.STOP, usage=Usage(generated=1, calls=1))


def test_dyve_is_the_step_judge_over_a_consensus():
    given = traces(10)
    agreed = Consensus(Noisy(0.95, seed=1), WorldOracle())
    judged = ConsensusSteps(Signs(), agreed).score(given)
    before = agreed.score(given)
    assert {j.scores is None for j in before} == {True, False}
    for j, b in zip(judged, before):
        assert j.scores == b.scores, "a judge that knows the truth confirms what the oracle agreed to"
        assert (j.error and j.error.kind) == (b.error and b.error.kind)


def test_an_unknown_rule_is_refused():
    with pytest.raises(InputError, match="first-error"):
        Consensus(WorldOracle(), WorldOracle(), by="mood")
