"""UnPRM: visit steps by the jump of uncertainty, compare with the bare problem, walk back to the first failure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest

from preceptor.annotate.rollout.jump_search import JumpSearch, jump_order, step_logprobs, uncertainty
from preceptor.annotate.rollout.unprm import UnPRM
from preceptor.errors import InputError
from preceptor.judgement import NO_ERROR, Question, Scorer
from preceptor.policy import ScriptedPolicy, sample
from preceptor.trace import Grade, Trace, Verdict, steps_from_ends
from preceptor.worlds import WORLDS, arithmetic
from tests.annotate.rollout.exact import NO_GOLD, PERFECT, Exact, rates
from tests.annotate.scripted import GOLD, Scripted, trace


def spoken(counts: list[int], logprob: float = -1.0, **more) -> Trace:
    """A trace with so many equally likely tokens in each step."""
    bare = trace(len(counts), **more)
    ends = [step.start + k + 1 for step, n in zip(bare.steps, counts) for k in range(n - 1)]
    ends = sorted([*ends, *(step.end for step in bare.steps)])
    return replace(bare, token_ids=tuple(ends), token_ends=tuple(ends), logprobs=(logprob,) * len(ends))


def said(surprisals: list[float]) -> Trace:
    """A trace of one token a step, each of so many nats."""
    bare = trace(len(surprisals))
    ends = tuple(step.end for step in bare.steps)
    return replace(bare, token_ids=ends, token_ends=ends, logprobs=tuple(-s for s in surprisals))


def even(right: bool) -> tuple[float, ...]:
    return (-0.5, -0.5)


def policy_of(*values: float | str | None, **more) -> Exact:
    return Exact(rates(*values), tokens=even, **more)


def small(policy, **more) -> UnPRM:
    return UnPRM(policy, rollouts=20, **more)


JUMPS = [1.0, 1.1, 1.8, 2.1, 2.0]
"""The entry's example: jumps 0.1, 0.7 and 0.3 at the steps 2, 3 and 4."""
RATES = (0.5, 0.6, 0.5, 0.2, 0.1)


def test_it_is_a_scorer_of_value_with_48_rollouts():
    scorer = UnPRM(Scripted(lambda t: 1.0))
    assert isinstance(scorer, Scorer)
    assert (scorer.question, scorer.source.name, scorer.rollouts) == (Question.VALUE, "unprm", 48)
    assert scorer.source != UnPRM(Scripted(lambda t: 1.0), backwards=False).source


def test_the_example_of_the_entry_step_3_first_and_as_published_one_probe():
    policy = policy_of(*RATES)
    scorer = small(policy, uncertainty="surprisal", backwards=False)
    (judged,) = scorer.score([said(JUMPS)])
    assert policy.rounds == [[0], [3]]
    assert (judged.first_error, judged.scores) == (2, (1.0, 1.0, 0.0, 0.0, 0.0))
    assert judged.counts == (None, None, (4, 20), None, None)
    assert judged.usage.policy.calls == len(policy.asked) == 40


def test_the_example_walked_back_asks_once_more_and_stays():
    policy = policy_of(*RATES)
    (judged,) = small(policy, uncertainty="surprisal").score([said(JUMPS)])
    assert policy.rounds == [[0], [3], [2]]
    assert judged.first_error == 2, "0.5 is not below 0.5"


def test_a_later_step_fails_too_so_the_search_walks_back_to_the_first():
    policy = policy_of(0.5, 0.6, 0.2, 0.1)
    published, walked = (
        small(policy, uncertainty="surprisal", backwards=b).score([said(JUMPS)])[0] for b in (False, True)
    )
    assert published.first_error == 2
    assert (walked.first_error, walked.scores) == (1, (1.0, 0.0, 0.0, 0.0, 0.0))


def test_the_first_step_is_outside_the_order_and_reached_by_walking_back():
    assert 1 not in jump_order([0.0, 9.0, 1.0, 8.0, 2.0])
    policy = policy_of(0.5, 0.1)
    published, walked = (small(policy, backwards=b).score([spoken([3] * 6)])[0] for b in (False, True))
    assert (published.first_error, walked.first_error) == (1, 0)
    (two,) = small(policy_of(0.5, 0.1)).score([spoken([3, 3])])
    assert two.first_error == 0, "a trace of two steps has no jump at all"


def test_equal_jumps_are_a_sequential_search():
    assert jump_order([2.0] * 6) == [2, 3, 4, 5]
    policy = policy_of(0.5, 0.9, 0.9, 0.9, 0.1)
    (judged,) = small(policy).score([spoken([3] * 6)])
    assert (policy.rounds, judged.first_error) == ([[0], [2], [3], [4]], 3)


def test_when_no_visited_prefix_is_worse_than_the_problem_the_last_step_is_the_error():
    policy = policy_of(0.5, 0.5)
    (judged,) = small(policy).score([spoken([3] * 5)])
    assert (judged.first_error, judged.scores) == (4, (1.0,) * 4 + (0.0,))
    assert len(policy.asked) == 20 * 4, "the last step is not rolled out"


def test_uncertainty_is_the_entropy_over_the_tokens_of_the_step():
    assert uncertainty([-1.0] * 7) == pytest.approx(math.log(7))
    weights = [math.exp(-1 / 5), math.exp(-6 / 5)]
    p = weights[0] / sum(weights)
    assert uncertainty([-1.0, -6.0]) == pytest.approx(-p * math.log(p) - (1 - p) * math.log(1 - p))
    assert uncertainty([-1.0, -6.0], "surprisal") == 7.0
    assert uncertainty([]) == uncertainty([-3.0]) == uncertainty([-3.0], "normalised-entropy") == 0.0
    assert uncertainty([-1e9, 0.0]) == pytest.approx(0.0), "an impossible token takes no share"


def test_entropy_measures_length_and_its_normalised_form_does_not():
    lengths = spoken([4, 5, 10, 12, 3])
    tokens = step_logprobs(lengths)
    assert [len(t) for t in tokens] == [4, 5, 10, 12, 3]
    assert jump_order([uncertainty(t) for t in tokens]) == [3, 2, 4]
    assert jump_order([uncertainty(t, "normalised-entropy") for t in tokens]) == [2, 3, 4]
    policy = policy_of(0.5, 0.6, 0.6, 0.6, 0.1)
    small(policy).score([lengths])
    assert policy.rounds == [[0], [3], [2], [4]]


def test_rates_are_weighted_by_how_likely_the_rollouts_are():
    class Flukes(Exact):
        """From two steps on most rollouts are right, but each right one is a fluke."""

        def _one(self, request):
            given = super()._one(request)
            fluke = request.prefix.count("\n") >= 2 and GOLD in given.text
            return replace(given, logprobs=(-4.0, -6.0) if fluke else (-0.1, -0.1))

    (judged,) = small(Flukes(rates(0.5, 0.5, 0.8))).score([spoken([3] * 5)])
    assert (judged.first_error, judged.counts[1]) == (1, (16, 20))


def test_rates_that_differ_by_rounding_alone_are_equal():
    """Means of 0.7 over different lengths differ in the last digit."""

    class Wordy(Exact):
        def _one(self, request):
            given = super()._one(request)
            return replace(given, logprobs=(-0.7,) * (3 + request.draw % 7 + 5 * request.prefix.count("\n")))

    (judged,) = small(Wordy(rates(0.1))).score([spoken([3] * 9)])
    assert judged.first_error == 8


def test_right_traces_are_all_ones_and_cost_nothing():
    policy = policy_of(0.0)
    (judged,) = UnPRM(policy).score([trace(5, GOLD)])
    assert (judged.scores, judged.first_error, judged.flags) == ((1.0,) * 5, NO_ERROR, ("assumed-correct",))
    assert policy.asked == []


def test_searches_of_all_traces_share_rounds_and_the_problem():
    policy = policy_of(0.5, 0.6, 0.6, 0.1)
    traces = [spoken([3] * n, draw=n) for n in range(1, 7)]
    judged = small(policy).score(traces)
    assert [j.first_error for j in judged] == [0, 1, 2, 2, 2, 2]
    probes = [0, 1, 1, 2, 2, 2]
    assert [j.usage.policy.calls for j in judged] == [20 + 20 * probes[0], *(20 * n for n in probes[1:])]
    assert len(policy.batches) == 3


@pytest.mark.parametrize("cycle, share, k", [(1, 1.0, 16), (2, 0.5, 24), (4, 0.25, 40), (72, 11 / 72, 16)])
def test_adaptive_k_is_the_least_multiple_of_8_with_10_right_ones(cycle: int, share: float, k: int):
    policy = Exact(rates(share, 0.0), cycle=cycle, tokens=even)
    (judged,) = UnPRM(policy, adaptive=True, backwards=False).score([spoken([3] * 4)])
    assert judged.counts == (None, (0, k), None, None)
    assert len(policy.asked) == 72 + k


def test_adaptive_leaves_out_problems_with_10_right_of_72():
    policy = Exact(rates(10 / 72, 0.0), cycle=72, tokens=even)
    (judged,) = UnPRM(policy, adaptive=True).score([spoken([3] * 4)])
    assert (judged.error.kind, judged.flags, judged.usage.policy.calls) == (
        "unsolved-problem",
        ("discarded",),
        72,
    )
    (none,) = small(policy_of(0.0, 1.0)).score([spoken([3] * 4)])
    assert (none.scores, none.error.kind, none.flags) == (None, "unsolved-problem", ("discarded",))


def test_undecided_and_failing_rollouts_are_errors_not_labels():
    for values, kind, calls in (
        (("cut", 1.0), "undecided", 20),
        ((0.5, 0.5, "cut"), "undecided", 40),
        ((None, 1.0), "rollouts-failed", 20),
        ((0.5, 0.5, None), "rollouts-failed", 40),
    ):
        (judged,) = small(policy_of(*values)).score([spoken([3] * 4)])
        assert (judged.scores, judged.error.kind, judged.usage.policy.calls) == (None, kind, calls)
        assert "discarded" not in judged.flags
    ungraded = spoken([3] * 4, grade=Grade(Verdict.UNDECIDED, "late"))
    assert small(policy_of(0.5)).score([ungraded])[0].error.kind == "undecided"


def test_missing_log_probabilities_of_trace_or_rollouts_are_said_not_guessed():
    policy = policy_of(0.5, 0.1)
    (bare,) = small(policy).score([trace(5)])
    assert (bare.scores, bare.error.kind, policy.asked) == (None, "no-logprobs", [])
    silent = Exact(rates(0.5, 0.1))
    (unweighed,) = small(silent).score([spoken([3] * 5)])
    assert (unweighed.scores, unweighed.error.kind, len(silent.asked)) == (None, "no-logprobs", 20)


def test_without_gold_nothing_is_asked():
    policy = policy_of(0.5)
    (judged,) = UnPRM(policy).score([Trace(NO_GOLD, "a\nb\n", steps_from_ends([2, 4]))])
    assert (judged.scores, judged.error.kind, policy.asked) == (None, "no-gold", [])


@dataclass
class Voiced:
    """A scripted policy that says how likely its tokens were: all alike."""

    policy: ScriptedPolicy

    @property
    def fingerprint(self) -> str:
        return f"voiced-{self.policy.fingerprint}"

    def generate(self, requests):
        answers = self.policy.generate(requests)
        return [replace(a, logprobs=(-0.7,) * len(a.text)) for a in answers]


def test_under_a_perfect_policy_walking_back_finds_the_oracles_error_and_the_published_search_overshoots():
    problems = arithmetic("test", 12, operations=(4, 7))
    traces = [
        t for t in sample(Voiced(ScriptedPolicy(error=0.25)), problems, samples=3) if not t.grade.correct
    ]
    truths = [WORLDS["arithmetic"].judge(t.problem, t.step_texts) for t in traces]
    exact = [[step.reachable for step in truth].index(False) for truth in truths]
    walked, published = (UnPRM(Voiced(PERFECT), rollouts=1, backwards=b).score(traces) for b in (True, False))
    assert [j.first_error for j in walked] == exact
    late = [j.first_error - e for j, e in zip(published, exact)]
    assert min(late) == 0 < max(late)


def test_the_search_alone():
    search = JumpSearch([4, 2, 3], steps=5)
    assert (search.probe, search.first_error) == (4, None)
    search.observe(4, fails=False)
    search.observe(2, fails=False)
    search.observe(3, fails=True)
    assert (search.probe, search.first_error, search.visited) == (None, 2, [4, 2, 3])
    assert JumpSearch([], steps=1).first_error == 0


def test_an_uncertainty_that_does_not_exist_is_refused():
    with pytest.raises(InputError, match="normalised-entropy"):
        UnPRM(Scripted(lambda t: 1.0), uncertainty="variance")  # type: ignore[arg-type]
