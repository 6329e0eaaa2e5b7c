"""The combinators over a real (small, untrained) reward model."""

from __future__ import annotations

import pytest

from preceptor.judgement import Question
from preceptor.reward import PRM
from preceptor.reward.combine import Calibrated, Ensemble, FastSlow, Platt, Premises, Reversed, Windows
from preceptor.reward.combine.reversed import reversed_trace
from tests.reward.test_scorer import save_random_prm
from tests.reward.toy import backbone, toy_labels, trace_of

TRACES = toy_labels(8, 2, seed=3).traces


@pytest.fixture(scope="module")
def prm(tmp_path_factory) -> PRM:
    path = tmp_path_factory.mktemp("combined")
    return PRM.load(save_random_prm(path / "prm", backbone(path / "lm", hidden=64)))


def test_a_backward_pass_sees_only_later_steps(prm):
    """Changing the first step moves its own backward score and no other."""
    trace = max(TRACES, key=lambda t: len(t.steps))
    first = trace.step_texts[0]
    other = reversed_trace(trace)
    plain = Reversed(prm, 0.0).score([trace])[0].scores
    assert plain == pytest.approx(prm.score([other])[0].scores[::-1], abs=1e-5)
    changed = trace_of(trace.problem, ["9+9=99\n", *trace.step_texts[1:]])
    assert changed.step_texts[0] != first
    again = Reversed(prm, 0.0).score([changed])[0].scores
    assert again[1:] == pytest.approx(plain[1:], abs=1e-5)
    assert again[0] != pytest.approx(plain[0], abs=1e-4)


def test_the_last_coarse_score_is_that_of_the_trace_with_its_last_two_steps_as_one(prm):
    longer = [t for t in TRACES if len(t.steps) > 1]
    for trace, judged in zip(longer, Windows(prm, 2, "coarse").score(longer), strict=True):
        *before, a, b = trace.step_texts
        (whole,) = prm.score([trace_of(trace.problem, [*before, a + b])])
        assert judged.scores[-1] == pytest.approx(whole.scores[-1], abs=1e-5)
        assert judged.scores[-1] != pytest.approx(prm.score([trace])[0].scores[-1], abs=1e-5)


def test_a_deep_nest_judges_every_step_and_its_bill_is_that_of_the_tokens_read(prm):
    inner = Ensemble((Reversed(prm), Windows(prm), Premises(prm, lambda t: [()] * len(t.steps))))
    scorer = Calibrated(FastSlow(prm, inner), Platt(0.5, 0.1), answers=Question.QUALITY)
    for trace, judged in zip(TRACES, scorer.score(TRACES), strict=True):
        assert judged.trace == trace.id
        assert len(judged.scores) == len(trace.steps)
        assert None not in judged.scores
        assert judged.question is Question.QUALITY
        assert judged.usage.scorer.calls == 1 or "slow" in judged.flags
    assert {"slow" in j.flags for j in scorer.score(TRACES)} == {True, False}


def test_calibration_on_float32_probabilities_keeps_the_order_of_all_steps(prm):
    labels = toy_labels(8, 2, seed=3).judgements
    fitted = Calibrated.fit(prm, TRACES, [j.scores for j in labels], "temperature")
    before = [s for j in prm.score(TRACES) for s in j.scores]
    after = [s for j in fitted.score(TRACES) for s in j.scores]
    order = sorted(range(len(before)), key=before.__getitem__)
    assert sorted(after) == [after[i] for i in order]
