"""Per-step uncertainty: every statistic turned so that surer is higher."""

from __future__ import annotations

import math

import pytest

from preceptor.errors import InputError
from preceptor.reward.likelihood import Uncertainty
from preceptor.trace import Problem, Trace, steps_from_ends
from tests.reward.likelihood.bigram import Bigram

# behind a: four equal ways; behind b: certain; behind c: two ways
READER = Bigram({"a": dict.fromkeys("abcd", 0.25), "b": {"a": 1.0}, "c": {"c": 0.5, "a": 0.5}})
TRACE = Trace(Problem("a"), "baba", steps_from_ends([2, 2, 4]))  # p: .25 1 | | .25 1
H4 = math.log(4)


@pytest.mark.parametrize(
    "statistic, expected",
    [
        ("mean_logprob", -H4 / 2),
        ("min_logprob", -H4),
        ("perplexity", -2.0),
        ("mean_entropy", -H4 / 2),
        ("max_entropy", -H4),
        ("first_entropy", -H4),
    ],
)
def test_the_statistics_by_hand(statistic, expected):
    judgement = Uncertainty(READER, statistic).score([TRACE])[0]
    assert judgement.scores[0] == pytest.approx(expected)
    assert judgement.scores[1] is None, "no token ends in an empty step: unknown, not sure"


@pytest.mark.parametrize(
    "statistic", ["mean_logprob", "min_logprob", "perplexity", "mean_entropy", "max_entropy"]
)
def test_surer_is_higher(statistic):
    sure = Trace(Problem("b"), "ac", steps_from_ends([1, 2]))  # 1, then 1/4
    scores = Uncertainty(READER, statistic).score([sure])[0].scores
    assert scores[0] > scores[1]


def test_what_the_reader_wrote_itself_is_not_read_again_unless_entropies_are_wanted():
    reader = Bigram(dict(READER.table))
    own = Trace(
        Problem("a"),
        "ba",
        steps_from_ends([2]),
        policy=reader.fingerprint,
        token_ids=(98, 97, 0),
        token_ends=(1, 2, 2),
        logprobs=(-0.5, -0.25, -99.0),
    )
    assert Uncertainty(reader, "min_logprob").score([own])[0].scores == (-0.5,)  # not the end of text
    assert reader.calls == 0
    assert Uncertainty(reader, "max_entropy").score([own])[0].scores == pytest.approx((-H4,))
    assert reader.calls == 1


def test_an_impossible_token_is_unknown_and_said_so():
    judgement = Uncertainty(READER, "mean_logprob").score(
        [Trace(Problem("a"), "ba?", steps_from_ends([2, 3]))]
    )[0]
    assert judgement.scores[0] is not None
    assert judgement.scores[1] is None
    assert judgement.error.kind == "not-finite"


def test_entropies_without_a_reader_and_unknown_statistics_are_refused():
    with pytest.raises(InputError, match="Give a reader"):
        Uncertainty(None, "mean_entropy")
    with pytest.raises(InputError, match="'mean'"):
        Uncertainty(READER, "mean")
