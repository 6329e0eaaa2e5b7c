"""Specifies power sampling: the chain rests in p^alpha, where alpha = 1 takes everything, and what it must be told."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import pytest
from scipy.stats import chisquare

from preceptor.errors import InputError
from preceptor.generation import Sampling
from preceptor.search import Solution, Status, solve
from preceptor.search.sampling import PowerSampling
from preceptor.search.sampling.power_sampling import cuts
from preceptor.search.tree import Path
from preceptor.trace import Problem
from preceptor.usage import Budget
from tests.search.sampling.spelled import END, Next, Spelled, after_moves, distance, power, tempered, texts


def two_letters(text: str) -> dict[str, float]:
    """p(aa) = 0, p(ab) = 0.4, p(ba) = p(bb) = 0.25, over their sum."""
    return {"": {"a": 4 / 9, "b": 5 / 9}, "a": {"b": 1.0}}.get(text, {"a": 0.5, "b": 0.5})


def ending(text: str) -> dict[str, float]:
    """Texts of one to three letters: ends become likelier, a and b depend on what stands before."""
    a = 0.7 if text.endswith("b") else 0.35
    stop = (0.0, 0.25, 0.45)[len(text)] if len(text) < 3 else 1.0
    return {"a": a * (1 - stop), "b": (1 - a) * (1 - stop), END: stop}


def endless(text: str) -> dict[str, float]:
    a = 0.95 if text.endswith("b") else 0.55
    return {"a": a, "b": 1 - a}


def problems(n: int) -> list[Problem]:
    return [Problem("Spell.", id=f"spell/{i}", grader="exact") for i in range(n)]


def of_length(n: int) -> Sampling:
    return Sampling(max_tokens=n)


def last_state(s: Solution) -> str:
    """The text the chain ended in, with a stop behind it if it is whole."""
    stands = [
        n for n in s.tree.nodes[1:] if n.status is Status.DONE or n.data.get("why") == "unfinished at the end"
    ]
    (node,) = stands
    return s.tree.path(node).text + ("." if node.status is Status.DONE else "")


def sampled(follows: Next, strategy: PowerSampling, n: int = 600) -> dict[str, int]:
    result = solve(Spelled(follows), problems(n), strategy)
    return Counter(map(last_state, result.solutions))


def fits(seen: dict[str, int], target: dict[str, float]) -> bool:
    assert set(seen) <= set(target)
    n = sum(seen.values())
    return bool(chisquare([seen.get(k, 0) for k in target], [n * p for p in target.values()]).pvalue > 0.001)


@pytest.mark.parametrize("heat", [None, 1.0], ids=["tempered", "policy"])
def test_the_chain_rests_in_the_power_of_the_policy(heat: float | None) -> None:
    strategy = PowerSampling(2.0, 1, 10, proposal_temperature=heat, sampling=of_length(3))
    target = power(texts(endless, 3), 2.0)
    seen = sampled(endless, strategy)
    assert fits(seen, target)
    assert not fits(seen, tempered(endless, 3, 0.5)), "which is where sampling at temperature 1/2 ends"
    assert not fits(seen, texts(endless, 3))


@pytest.mark.parametrize("alpha", [1.0, 3.0])
@pytest.mark.parametrize("heat", [0.5, 1.0])
def test_texts_of_different_length_are_moved_to_as_the_ratio_has_it(alpha: float, heat: float) -> None:
    target = power(texts(ending, 4), alpha)
    assert distance(after_moves(ending, 4, alpha, heat, 200), target) < 1e-3
    assert distance(after_moves(ending, 4, alpha, heat, 200, count_cuts=False), target) > 0.04
    soon = after_moves(ending, 4, alpha, heat, 5)
    strategy = PowerSampling(alpha, 1, 5, proposal_temperature=heat, sampling=of_length(4))
    seen = sampled(ending, strategy, 900)
    assert fits(seen, soon)
    if alpha == 1:
        assert not fits(seen, after_moves(ending, 4, alpha, heat, 5, count_cuts=False))


def test_blocks_come_to_the_same() -> None:
    target = power(texts(endless, 4), 2.0)
    assert fits(sampled(endless, PowerSampling(2.0, 2, 8, sampling=of_length(4))), target)


def test_low_temperature_looks_one_letter_ahead_and_this_looks_at_the_whole() -> None:
    cold = tempered(two_letters, 2, 0.25)
    assert cold["ba"] + cold["bb"] > 0.6
    target = power(texts(two_letters, 2), 4.0)
    assert target["ab"] == pytest.approx(0.4**4 / (0.4**4 + 2 * 0.25**4))
    seen = sampled(two_letters, PowerSampling(4.0, 1, 12, sampling=of_length(2)), 400)
    assert fits(seen, target)
    assert seen["ab"] > 300


def test_without_moves_it_is_low_temperature() -> None:
    seen = sampled(endless, PowerSampling(2.0, 2, 0, sampling=of_length(3)), 800)
    assert fits(seen, tempered(endless, 3, 0.5))


def test_with_alpha_one_every_rest_of_equal_length_is_taken_at_a_ratio_of_exactly_one() -> None:
    for s in solve(Spelled(endless), problems(40), PowerSampling(1.0, 3, 5, sampling=of_length(9))).solutions:
        moves = [n for n in s.tree.nodes if n.role == "move"]
        assert len(moves) == 15
        assert {n.data["log_ratio"] for n in moves} == {0.0}
        assert all(n.data["taken"] for n in moves)
    for s in solve(Spelled(ending), problems(40), PowerSampling(1.0, 1, 8, sampling=of_length(4))).solutions:
        for n in s.tree.nodes:
            if n.data.get("log_ratio") is not None:
                shares = [i / j for i in (1, 2, 3) for j in (1, 2, 3)]
                assert min(abs(math.exp(n.data["log_ratio"]) - share) for share in shares) < 1e-9


def test_one_sample_with_alpha_one_and_no_moves_is_the_policys() -> None:
    ps = problems(30)
    one = solve(Spelled(ending), ps, PowerSampling(1.0, 1, 0, sampling=of_length(9)))
    assert fits(Counter(map(last_state, one.solutions)), texts(ending, 4))
    assert one.ledger.policy.calls == 30


def test_a_single_solution_comes_out_and_everything_else_says_why() -> None:
    policy = Spelled(ending)
    for s in solve(policy, problems(20), PowerSampling(3.0, 2, 6, sampling=of_length(8))).solutions:
        assert len(s.candidates) == s.asked == 1
        others = [n for n in s.tree.nodes[1:] if n.id != s.candidates[0].node]
        assert {n.data["why"] for n in others if n.status is Status.PRUNED} <= {"replaced", "not taken"}
        assert all(n.status is Status.PRUNED for n in others)
        assert s.ledger == s.tree.ledger
        for n in s.tree.nodes:
            ids = s.tree.path(n).token_ids
            assert ids is not None
            assert "".join(chr(i) for i in ids if i) == s.tree.path(n).text


def test_cuts_are_where_exactly_one_token_ends() -> None:
    assert cuts(Path("abc", (3,), (1, 2, 3, 0), (1, 2, 3, 3), None)) == [0, 1, 2]
    assert cuts(Path("abc", (3,), (1, 2), (2, 3), None)) == [0, 2]
    # a character of two tokens: nobody can cut inside, nor tell which side its first half is on
    assert cuts(Path("aéb", (3,), (1, 2, 3, 4), (1, 1, 2, 3), None)) == [0, 2]
    assert cuts(Path("éb", (2,), (1, 2, 3), (0, 1, 2), None)) == [1]
    assert cuts(Path()) == []


def test_a_policy_without_log_probabilities_is_refused_with_what_to_do() -> None:
    with pytest.raises(InputError, match=r"gave no log-probabilities.*reports them"):
        solve(
            Spelled(endless, says_logprobs=lambda r: False), problems(2), PowerSampling(sampling=of_length(4))
        )
    plain = Spelled(endless, says_proposal=False)
    with pytest.raises(InputError, match="Set proposal_temperature=1"):
        solve(plain, problems(2), PowerSampling(sampling=of_length(4)))
    exact = PowerSampling(2.0, 1, 12, proposal_temperature=1.0, sampling=of_length(3))
    result = solve(plain, problems(300), exact)
    assert fits(Counter(map(last_state, result.solutions)), power(texts(endless, 3), 2.0))


def test_a_single_proposal_without_log_probabilities_is_not_taken() -> None:
    policy = Spelled(endless, says_logprobs=lambda r: r.draw != 1)
    for s in solve(policy, problems(20), PowerSampling(2.0, 1, 6, sampling=of_length(4))).solutions:
        bad = [n for n in s.tree.nodes[1:] if n.logprobs is None]
        assert all(n.status is Status.CUT and "not known" in n.data["why"] for n in bad)
        assert len(last_state(s)) == 4
    stuck = Spelled(endless, says_logprobs=lambda r: len(r.prefix) != 2 or r.draw != 0)
    for s in solve(stuck, problems(5), PowerSampling(2.0, 2, 0, sampling=of_length(4))).solutions:
        assert s.answer is None
        assert len(last_state(s)) == 2


def test_text_that_is_empty_from_the_start_ends_the_chain() -> None:
    s = solve(Spelled(lambda text: {END: 1.0}), problems(1), PowerSampling(sampling=of_length(8))).solutions[
        0
    ]
    assert (s.ledger.policy.calls, s.answer, s.finished) == (1, None, 1)


def outcome(result) -> dict[str, object]:  # type: ignore[no-untyped-def]
    return {s.problem.id: (s.answer, s.tree.to_record(), s.stop) for s in result.solutions}


@pytest.mark.parametrize(
    "budget", [None, Budget(tokens=25), Budget(calls=7)], ids=["free", "tokens", "calls"]
)
def test_batches_change_nothing_and_budgets_hold(budget: Budget | None) -> None:
    strategy, ps = PowerSampling(3.0, 3, 4, sampling=of_length(9)), problems(6)
    together = outcome(solve(Spelled(endless), ps, strategy, budget=budget))
    assert together == outcome(solve(Spelled(endless), ps[::-1], strategy, budget=budget))
    apart: dict[str, object] = {}
    for p in ps:
        apart |= outcome(solve(Spelled(endless), [p], strategy, budget=budget))
    assert together == apart
    for s in solve(Spelled(ending), ps, strategy, budget=budget).solutions:
        assert s.ledger == s.tree.ledger
        assert s.ledger.policy.generated == sum(n.usage.generated for n in s.tree.nodes)
        assert budget is None or budget.tokens is None or s.ledger.policy.generated <= budget.tokens
        assert budget is None or budget.calls is None or s.ledger.policy.calls <= budget.calls


def test_no_draw_is_used_twice() -> None:
    policy = Spelled(ending)
    solve(policy, problems(10), PowerSampling(2.0, 3, 8, sampling=of_length(6)))
    seen = Counter((r.problem.id, r.prefix, r.draw) for r in policy.sent)
    assert max(seen.values()) == 1


def test_unusable_settings_are_refused() -> None:
    for bad in (
        lambda: PowerSampling(0.0),
        lambda: PowerSampling(blocks=0),
        lambda: PowerSampling(moves=-1),
        lambda: PowerSampling(proposal_temperature=0.0),
        lambda: PowerSampling(sampling=Sampling(top_p=0.9)),
        lambda: PowerSampling(sampling=replace(Sampling(), stop=("\n",))),
    ):
        with pytest.raises(ValueError, match="expected"):
            bad()
