"""The implicit reward: sums, boundaries, the soft-value identity, and what is refused."""

from __future__ import annotations

import math
from itertools import product

import pytest

from preceptor.errors import InputError
from preceptor.judgement import NO_ERROR, Question
from preceptor.reward.likelihood import LogRatio
from preceptor.trace import Problem, Trace, steps_from_ends
from tests.reward.likelihood.bigram import Bigram

MODEL = Bigram({"a": {"a": 0.7, "b": 0.3}, "b": {"a": 0.2, "b": 0.8}})
REF = Bigram({"a": {"a": 0.4, "b": 0.6}, "b": {"a": 0.5, "b": 0.5}})


def trace_of(text: str = "abbab", ends: tuple[int, ...] = (1, 3, 5)) -> Trace:
    return Trace(Problem("a"), text, steps_from_ends(ends))


def test_step_rewards_add_up_to_the_outcome_exactly():
    q = LogRatio(MODEL, REF, 0.05).score([trace_of()])[0].scores
    r = LogRatio(MODEL, REF, 0.05, "single").score([trace_of()])[0].scores
    assert sum(r) == q[-1]
    outcome = math.log((0.7 * 0.3 * 0.8 * 0.2 * 0.3) / (0.4 * 0.6 * 0.5 * 0.5 * 0.6))
    assert q[-1] == pytest.approx(0.05 * outcome)


def test_a_model_against_itself_gives_exact_zeros():
    assert LogRatio(MODEL, MODEL).score([trace_of()])[0].scores == (0.0, 0.0, 0.0)


def test_q_at_a_shared_boundary_does_not_depend_on_the_other_cuts():
    cuts = [(5,), (3, 5), (1, 2, 3, 4, 5), (1, 3, 5)]
    scored = [LogRatio(MODEL, REF).score([trace_of(ends=c)])[0].scores for c in cuts]
    at_three = [q[c.index(3)] for c, q in zip(cuts, scored, strict=True) if 3 in c]
    assert at_three == pytest.approx([at_three[0]] * 3, rel=1e-12)
    assert [q[-1] for q in scored] == pytest.approx([scored[0][-1]] * 4, rel=1e-12)


@pytest.mark.parametrize("prefix", ["", "a", "b", "ab"])
def test_q_is_the_soft_value_of_every_prefix(prefix):
    """q_t = beta log E_{y ~ ref | prefix} exp(r(y) / beta), by enumeration of all texts of three letters."""
    beta = 0.05
    scorer = LogRatio(MODEL, REF, beta)
    total = 0.0
    for rest in product("ab", repeat=3 - len(prefix)):
        text = prefix + "".join(rest)
        outcome = scorer.score([trace_of(text, (3,))])[0].scores[0]
        chance, last = 1.0, ("a" + prefix)[-1]
        for char in rest:
            chance, last = chance * REF.after(last)[char], char
        total += chance * math.exp(outcome / beta)
    ends = (len(prefix), 3) if prefix else (3,)
    q = scorer.score([trace_of(prefix + "a" * (3 - len(prefix)), ends)])[0].scores[0] if prefix else 0.0
    assert beta * math.log(total) == pytest.approx(q, abs=1e-9)


def test_the_published_reading_finds_the_first_step_below_its_threshold():
    # log-ratio 0.56 after "a", 0.34 after "abb": sigma(0.005 * 0.34) = 0.50042 is above 0.5, and below 0.5005
    fine, wrong = LogRatio.eurus(MODEL, REF).score([trace_of("aaa", (1, 2, 3)), trace_of("abb", (1, 3))])
    assert fine.first_error == NO_ERROR
    assert wrong.first_error == 1
    assert wrong.scores[1] == pytest.approx(1 / (1 + math.exp(-0.005 * math.log(0.7 * 0.3 * 0.8 / 0.12))))


def test_form_decides_the_question():
    assert LogRatio(MODEL, REF).question is Question.VALUE
    assert LogRatio(MODEL, REF, form="single").question is Question.PROGRESS
    assert LogRatio(MODEL, REF).source != LogRatio(MODEL, REF, 0.005).source


def test_without_a_reference_it_is_the_models_own_log_probability():
    scores = LogRatio(MODEL, None, 1.0).score([trace_of("ab", (1, 2))])[0].scores
    assert scores == pytest.approx((math.log(0.7), math.log(0.7 * 0.3)))


def test_two_tokenizers_are_refused():
    class Words:
        def __init__(self, words):
            self.words = words

        def get_vocab(self):
            return self.words

    one, other = Bigram(), Bigram()
    one.tokenizer, other.tokenizer = Words({"a": 0}), Words({"a": 1})
    with pytest.raises(InputError, match="different vocabularies"):
        LogRatio(one, other)


def test_models_that_read_other_tokens_make_an_error_and_no_score():
    class Shifted(Bigram):
        def _one(self, request, text):
            from dataclasses import replace

            found = super()._one(request, text)
            return replace(found, token_ids=tuple(i + 1 for i in found.token_ids))

    judgement = LogRatio(MODEL, Shifted()).score([trace_of()])[0]
    assert judgement.scores is None
    assert judgement.error.kind == "tokens-differ"


def test_no_error_is_told_from_unknown():
    assert LogRatio(MODEL, REF, threshold=-9.0).score([trace_of()])[0].first_error == NO_ERROR
    assert LogRatio(MODEL, REF).score([trace_of()])[0].first_error is None
