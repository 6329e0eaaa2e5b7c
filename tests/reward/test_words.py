"""Scorers named by a word and a policy open as if made by hand."""

from __future__ import annotations

import pytest

from preceptor.annotate.judges import Asking, StepJudge
from preceptor.errors import InputError
from preceptor.generation import Sampling
from preceptor.judgement import Question
from preceptor.policy import load_policy, sample
from preceptor.reward import load_scorer
from preceptor.reward.likelihood import Uncertainty
from preceptor.reward.words import OVER_POLICY
from preceptor.worlds import arithmetic

POLICY = "world:arithmetic"


@pytest.fixture(scope="module")
def traces():
    return sample(load_policy(POLICY), arithmetic("test", 2, 0), 2, 0, Sampling(max_tokens=100))


@pytest.mark.parametrize("kind", sorted(OVER_POLICY))
def test_every_word_opens_a_scorer_over_the_policy(kind, traces):
    options = {"chat": False} if kind in ("critique", "data-prm", "judge", "self-prm") else {}
    scorer = load_scorer(f"{kind}:{POLICY}", **options)
    assert len(scorer.score(traces[:1])) == 1
    assert isinstance(scorer.question, Question)


def test_options_reach_the_constructor(traces):
    policy = load_policy(POLICY)
    named = load_scorer(f"uncertainty:{POLICY}", statistic="min_logprob")
    by_hand = Uncertainty(policy, statistic="min_logprob")
    assert named.source == by_hand.source
    assert [j.scores for j in named.score(traces)] == [j.scores for j in by_hand.score(traces)]
    judge = load_scorer(f"judge:{POLICY}", chat=False, options=("A", "B"))
    same = StepJudge(policy, options=("A", "B"), asking=Asking(chat=False, lead="Verdict:"))
    assert judge.source == same.source


def test_an_option_that_does_not_exist_is_an_input_error():
    with pytest.raises(InputError, match="votess"):
        load_scorer(f"judge:{POLICY}", votess=3)


def test_an_unknown_kind_names_those_there_are():
    with pytest.raises(InputError, match="critique"):
        load_scorer(f"jugde:{POLICY}")
