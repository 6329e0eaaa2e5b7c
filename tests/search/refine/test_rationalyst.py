"""Specifies step selection by rationales: ties, length, the three forms, and rationales that cannot be weighed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest

from preceptor.errors import ItemError
from preceptor.generation import Continuation, Likelihood, Request, Sampling
from preceptor.reward.likelihood import Rationalyst as RationaleScorer
from preceptor.search import Majority, Node, SolveResult, Status, solve
from preceptor.search.refine import Rationalyst, RationalystGiven
from preceptor.search.refine.rationalyst import best, mean_logprob
from preceptor.segment import segment
from preceptor.trace import Problem
from preceptor.usage import Usage
from tests.search.refine.scripted import check_house_rules, outcome, spoken
from tests.search.toy import TreePolicy, problems, value, walked

Writes = Callable[[Problem, str], tuple[str, Sequence[float]]]
"""(problem, what stands before) -> a rationale and its tokens' log-probabilities."""


@dataclass
class RationaleModel:
    """Writes rationales of known likelihood, and reads steps; one character is one token."""

    writes: Writes
    reads: Callable[[Problem, str, str], float] = lambda problem, before, text: -1.0
    fingerprint: str = "rationales"

    def generate(self, requests: Sequence[Request]) -> list[Continuation]:
        said = [(r, *self.writes(r.problem, r.prefix)) for r in requests]
        return [spoken(text, r, logprobs) for r, text, logprobs in said]

    def likelihood(self, requests: Sequence[Request], texts: Sequence[str]) -> list[Likelihood]:
        return [
            Likelihood(
                tuple(map(ord, text)),
                tuple(range(1, len(text) + 1)),
                tuple([self.reads(r.problem, r.prefix, text)] * len(text)),
                usage=Usage(scored=len(text), calls=1),
            )
            for r, text in zip(requests, texts, strict=True)
        ]


def surely(p: float, tokens: int = 9) -> tuple[str, list[float]]:
    """A rationale of so many tokens, each of probability `p`; the last one, a line end, is impossible."""
    return "h" * (tokens - 1) + "\n", [math.log(p)] * (tokens - 1) + [-99.0]


def knows(problem: Problem, before: str) -> tuple[str, list[float]]:
    """Sure of its rationale where the answer is near; the lengths mean nothing."""
    return surely(0.01 + 0.98 * value(problem, walked(before)), 3 + len(before) % 7)


def uniform(problem: Problem, before: str) -> tuple[str, list[float]]:
    return surely(0.25, 3 + sum(map(ord, before)) % 7)


def run(strategy: Rationalyst, writes: Writes, n: int = 25, **more) -> SolveResult:  # type: ignore[no-untyped-def]
    return solve(TreePolicy(), problems(n), strategy, helpers={"rationale": RationaleModel(writes)}, **more)


def chosen(result: SolveResult) -> list[str]:
    return ["" if s.chosen is None else s.chosen.text for s in result.solutions]


def test_a_uniform_model_leaves_the_first_candidate_whatever_the_lengths() -> None:
    for n in (1, 2, 5):
        for s in run(Rationalyst(n), uniform).solutions:
            taken = [x for x in s.tree.nodes[1:] if x.role == "step" and x.status is not Status.PRUNED]
            assert [x.id for x in taken] == [
                next(y.id for y in s.tree.children(s.tree[x.parent or 0]) if y.role == "step") for x in taken
            ]
    # Behind an opening rationales draw from prefixes of their own: the steps are those of the first sample.
    first = chosen(solve(TreePolicy(), problems(25), Majority(1)))
    assert chosen(run(Rationalyst(5, opening="("), uniform)) == first


def test_length_alone_neither_helps_nor_hurts() -> None:
    """A naive sum prefers short rationales, its absolute value long ones; both are equally likely per token."""
    for longer in "ab":

        def writes(problem: Problem, before: str, longer: str = longer) -> tuple[str, list[float]]:
            return surely(0.3, 40 if before.rstrip()[-1] == longer else 4)

        assert chosen(run(Rationalyst(4), writes)) == chosen(run(Rationalyst(4), uniform))


def test_means_over_different_lengths_tie_though_their_last_bits_differ() -> None:
    nodes = [Node(k, 0, logprobs=(-0.1,) * (k + 1)) for k in range(3, 40)]
    worth = {n.id: mean_logprob(n) for n in nodes}
    assert len(set(worth.values())) > 1
    assert best(nodes, worth) is nodes[0]
    assert best(nodes, {**worth, 7: -0.09}) is nodes[4]
    assert best(nodes, dict.fromkeys(worth)) is nodes[0]


def test_the_last_token_of_a_rationale_does_not_count() -> None:
    def writes(problem: Problem, before: str) -> tuple[str, list[float]]:
        text, logprobs = knows(problem, before)
        return text, [*logprobs[:-1], -1e6 * value(problem, walked(before)) - 1]

    assert chosen(run(Rationalyst(4), writes)) == chosen(run(Rationalyst(4), knows))


def test_a_model_that_knows_the_way_shows_it() -> None:
    result, plain = run(Rationalyst(12), knows), solve(TreePolicy(), problems(25), Majority(1))
    assert result.correct >= 23 > plain.correct + 8
    for s in result.solutions:
        done = s.tree.having(Status.DONE)
        steps = [n for n in s.tree.nodes[1:] if n.role == "step"]
        pruned = [n for n in steps if n.status is Status.PRUNED]
        assert len([n for n in done if n.role == "step"]) == 1
        assert len(steps) == len(pruned) + 4
        assert s.finished == 1


def test_equal_candidates_get_one_rationale() -> None:
    for s in run(Rationalyst(6), knows).solutions:
        about = [s.tree.path(s.tree[n.parent or 0]).text for n in s.tree.nodes if n.role == "rationale"]
        assert len(about) == len(set(about)) <= 7


def test_the_greedy_step_is_one_more_candidate() -> None:
    s = run(Rationalyst(2, greedy=True), knows, n=1).solutions[0]
    assert [n.role for n in s.tree.nodes[1:4]] == ["step"] * 3


def test_a_rationale_that_cannot_be_weighed_puts_its_candidate_last() -> None:
    for bad in (("h", [-0.1]), ("", []), ("hh\n", [-0.1, -math.inf, -0.1])):

        def writes(
            problem: Problem, before: str, bad: tuple[str, list[float]] = bad
        ) -> tuple[str, list[float]]:
            return bad if before.rstrip()[-1] == "a" else surely(0.1)

        for s in run(Rationalyst(6), writes).solutions:
            seen = [n for n in s.tree.nodes if n.role == "step" and n.text.startswith("go")]
            rounds = [seen[i : i + 6] for i in range(0, len(seen), 6)]
            assert s.chosen is not None
            for t, candidates in enumerate(rounds):
                taken = s.chosen.text.splitlines()[t]
                assert taken == ("go b" if any(n.text == "go b\n" for n in candidates) else "go a")


def test_nothing_scored_means_the_first_candidate() -> None:
    class Silent(RationaleModel):
        def generate(self, requests):  # type: ignore[no-untyped-def]
            return [replace(c, logprobs=None) for c in super().generate(requests)]

    first = chosen(solve(TreePolicy(), problems(10), Majority(1)))
    strategy = Rationalyst(4, opening="(")
    assert chosen(solve(TreePolicy(), problems(10), strategy, helpers={"rationale": Silent(knows)})) == first


def test_explicit_rationales_stay_in_the_text_and_the_policy_writes_behind_them() -> None:
    policy = TreePolicy()
    model = RationaleModel(knows)
    result = solve(policy, problems(25), Rationalyst(12, explicit=True), helpers={"rationale": model})
    assert result.correct >= 23
    for s in result.solutions:
        assert s.chosen is not None
        lines = s.chosen.text.splitlines()
        assert [line[:2] for line in lines] == ["go", "hh"] * 3 + ["An"]
        assert s.chosen.steps == segment(s.problem, s.chosen.text)
        assert s.chosen.token_ids is None, "part of the text is not the policy's"
    assert any(r.prefix.endswith("h\n") for batch in policy.sent for r in batch)


def test_an_opening_stands_before_rationales_and_a_line_end_behind_them() -> None:
    def writes(problem: Problem, before: str) -> tuple[str, list[float]]:
        assert before.endswith("Hint: ")
        return "hh", [-0.1, -0.1]

    s = run(Rationalyst(3, explicit=True, opening="Hint: "), writes, n=1).solutions[0]
    assert s.chosen is not None
    assert [line[:8] for line in s.chosen.text.splitlines()] == ["go " + s.chosen.text[3], "Hint: hh"] + [
        x for k in (1, 2) for x in (s.chosen.text.splitlines()[2 * k], "Hint: hh")
    ] + [s.chosen.text.splitlines()[-1][:8]]


def test_implicit_rationales_never_reach_the_policy() -> None:
    policy = TreePolicy()
    solve(policy, problems(5), Rationalyst(3), helpers={"rationale": RationaleModel(knows)})
    assert not any("h" in r.prefix for batch in policy.sent for r in batch)
    assert all(r.prefix_ids is not None for batch in policy.sent for r in batch if r.prefix)


def test_the_limit_of_steps_ends_a_text_without_a_solution() -> None:
    for s in run(Rationalyst(3, max_steps=2), knows).solutions:
        assert (s.answer, s.finished) == (None, 0)
        assert len(s.tree.having(Status.CUT)) == 1


def test_steps_that_all_hit_their_limit_end_the_search() -> None:
    for s in run(Rationalyst(3, sampling=Sampling(max_tokens=3)), knows).solutions:
        assert (s.answer, len(s.tree)) == (None, 4)


# The scorer's forms


def test_the_scorer_in_its_public_form_chooses_the_same_steps() -> None:
    model = RationaleModel(knows)
    own = run(Rationalyst(4, opening="("), knows)
    scored = solve(TreePolicy(), problems(25), RationalystGiven(4), RationaleScorer(model, opening="("))
    assert chosen(own) == chosen(scored)


def test_the_papers_form_takes_the_step_that_is_likeliest_behind_one_rationale() -> None:
    def reads(problem: Problem, before: str, text: str) -> float:
        assert before.endswith("h\n")
        return math.log(0.01 + 0.98 * value(problem, walked(before + text)))

    model = RationaleModel(lambda problem, before: surely(0.5), reads)
    scorer = RationaleScorer(model, "given")
    result = solve(TreePolicy(), problems(25), RationalystGiven(12), scorer)
    assert result.correct >= 23
    even = RationaleScorer(RationaleModel(uniform), "given")
    first = chosen(solve(TreePolicy(), problems(25), Majority(1)))
    assert chosen(solve(TreePolicy(), problems(25), RationalystGiven(6), even)) == first


def test_a_candidate_the_scorer_failed_on_does_not_live_on_its_parents_score() -> None:
    def reads(problem: Problem, before: str, text: str) -> float:
        return -math.inf if text == "go a\n" and "go" in before else -5.0

    scorer = RationaleScorer(RationaleModel(uniform, reads), "given")
    for s in solve(TreePolicy(), problems(25), RationalystGiven(6), scorer).solutions:
        second = [n for n in s.tree.nodes if s.tree.depth(n) == 2]
        assert s.chosen is not None
        assert s.chosen.text.splitlines()[1] == (
            "go b" if any(n.text == "go b\n" for n in second) else "go a"
        )


def test_a_rationale_model_that_is_down_is_an_error_and_not_a_choice() -> None:
    class Down(RationaleModel):
        def generate(self, requests):  # type: ignore[no-untyped-def]
            return [Continuation.failed("timeout", "no answer in time") for _ in requests]

    s = solve(TreePolicy(), problems(1), Rationalyst(3), helpers={"rationale": Down(knows)}).solutions[0]
    assert (s.stop, s.error) == ("failed", ItemError("timeout", "no answer in time"))


@pytest.mark.parametrize("explicit", [False, True])
def test_house_rules(explicit: bool) -> None:
    def says(request: Request) -> str:
        return knows(request.problem, request.prefix)[0]

    check_house_rules(Rationalyst(3, explicit=explicit), problems(4), helpers={"rationale": says})


def test_house_rules_of_the_scored_form() -> None:
    check_house_rules(RationalystGiven(3), problems(4), lambda: RationaleScorer(RationaleModel(knows)))


def test_order_and_splits_change_nothing_where_rationales_differ() -> None:
    ps, apart = problems(5), {}
    model = RationaleModel(knows)
    together = outcome(solve(TreePolicy(), ps, Rationalyst(3), helpers={"rationale": model}))
    for p in ps:
        apart |= outcome(solve(TreePolicy(), [p], Rationalyst(3), helpers={"rationale": model}))
    assert together == apart


def test_unusable_settings_are_refused() -> None:
    for bad in (
        lambda: Rationalyst(0),
        lambda: Rationalyst(max_steps=0),
        lambda: RationalystGiven(explicit=True),
    ):
        with pytest.raises(ValueError):
            bad()
