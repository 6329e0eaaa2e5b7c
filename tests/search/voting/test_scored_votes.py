"""Specifies the votes over step scores as strategies: their limits on a tree with exact values."""

from __future__ import annotations

import math

import pytest

from preceptor.generation import Request
from preceptor.reward.likelihood import CRew
from preceptor.search import BestOfN, Majority, Solution, WeightedVote, solve
from preceptor.search.vote import VOTES
from preceptor.search.voting.hmr import HybridVote
from preceptor.search.voting.log_odds import LogOddsVote
from preceptor.search.voting.omegaprm_vote import OmegaPRMVote
from preceptor.search.voting.pessimistic import PessimisticVote
from preceptor.search.voting.wrf import RewardFrequencyVote
from tests.search.toy import Oracle, TreePolicy, problems


def answers(strategy, oracle=None, n: int = 40) -> list[str | None]:  # type: ignore[no-untyped-def]
    return [s.answer for s in solve(TreePolicy(), problems(n), strategy, oracle or Oracle()).solutions]


def test_a_constant_scorer_makes_product_weights_the_majority() -> None:
    assert answers(OmegaPRMVote(7), Oracle(constant=0.7)) == answers(Majority(7))
    assert OmegaPRMVote().n == 64
    assert answers(OmegaPRMVote(7)) == answers(WeightedVote(7, "prod"))
    assert answers(OmegaPRMVote(7)) != answers(Majority(7))


def test_permuted_samples_change_nothing_but_ties() -> None:
    classes, scores = ["a", "b", "a", "c", "b"], [0.5, 0.25, 0.125, 0.9, 0.3]
    for order in ([4, 3, 2, 1, 0], [2, 0, 4, 1, 3]):
        for name in ("weighted", "hybrid", "reward_frequency", "pessimistic", "log_odds"):
            straight = VOTES[name](classes, scores)
            turned = VOTES[name]([classes[i] for i in order], [scores[i] for i in order])
            assert straight is not None
            assert turned is not None
            assert order[turned] == straight, name


def test_limits_of_the_hybrid_and_the_frequency_vote() -> None:
    majority, best = answers(Majority(7)), answers(BestOfN(7))
    assert answers(HybridVote(7, threshold=1 / 7)) == majority
    assert answers(HybridVote(7, threshold=1.01)) == best
    assert answers(HybridVote(7, threshold=0.0, gate="agreement")) == majority
    assert answers(RewardFrequencyVote(7, alpha=0.0)) == majority
    mixed = answers(HybridVote(7, threshold=0.6))
    assert mixed not in (majority, best)
    assert all(m in (a, b) for m, a, b in zip(mixed, majority, best, strict=True))


def test_limits_of_pessimism() -> None:
    def mean_reward(solution: Solution) -> str | None:
        candidates = solution.candidates
        scores = [c.scores[-1] if c.scores else None for c in candidates]
        index = VOTES["mean_reward"]([c.canon for c in candidates], scores)
        return None if index is None else candidates[index].answer

    result = solve(TreePolicy(), problems(40), PessimisticVote(7, alpha=0.0), Oracle())
    assert [s.answer for s in result.solutions] == [mean_reward(s) for s in result.solutions]
    assert (
        answers(PessimisticVote(1)) == answers(BestOfN(1)) == answers(LogOddsVote(1)) == answers(Majority(1))
    )


def test_exact_values_make_every_scored_vote_right_where_a_sample_is() -> None:
    for strategy in (RewardFrequencyVote(60, alpha=0.9), LogOddsVote(60), OmegaPRMVote(60, aggregate="last")):
        result = solve(TreePolicy(), problems(12), strategy, Oracle())
        assert result.accuracy == result.pass_rate, strategy


def test_settings_are_refused_before_anything_is_spent() -> None:
    for bad in (
        lambda: HybridVote(gate="entropy"),
        lambda: RewardFrequencyVote(alpha=2),
        lambda: PessimisticVote(alpha=-1),
        lambda: LogOddsVote(accuracy=0),
        lambda: OmegaPRMVote(aggregate="avg"),
        lambda: HybridVote(0),
    ):
        with pytest.raises(ValueError):
            bad()


class Sure(TreePolicy):
    """The last character of an answer "1" is written with probability 0.9, any other with 0.6."""

    def _one(self, request: Request):  # type: ignore[no-untyped-def]
        got = super()._one(request)
        last = math.log(0.9 if got.text.endswith("1") else 0.6)
        object.__setattr__(got, "logprobs", (*(got.logprobs or ())[:-1], last))
        return got


def test_confidence_in_the_answer_chooses_and_costs_no_tokens() -> None:
    result = solve(Sure(), problems(30), BestOfN(8), CRew())
    seen = 0
    for s in result.solutions:
        found = {c.answer: c.scores[-1] for c in s.candidates if c.scores}
        assert all(score == pytest.approx(0.9 if a == "1" else 0.6) for a, score in found.items())
        seen += "1" in found
        assert "1" not in found or s.answer == "1"
    assert seen > 10
    assert result.ledger.scorer.generated == result.ledger.scorer.scored == 0
