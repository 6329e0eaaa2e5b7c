"""OmegaPRM: the pool's formula and rules, the searches it leads to, and the scores read off the tree."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from preceptor.annotate import OmegaBisection
from preceptor.annotate.tree import Node, OmegaPRM, Pool, Tree, point_samples, quality
from preceptor.errors import InputError
from preceptor.generation import Sampling
from preceptor.judgement import NO_ERROR, Question, Scorer
from preceptor.policy import ScriptedGame24, ScriptedPolicy
from preceptor.store import Store
from preceptor.trace import Grade, Problem, Verdict
from preceptor.worlds.twentyfour import Game24
from tests.annotate.scripted import GOLD, Scripted, problem, trace
from tests.annotate.tree.growing import attempts, grown, lines, long_problems

FREE = Sampling(1.0)


def before(error: int):
    """Value 1 for prefixes that end before step `error` (1-based), 0 from it on."""
    return lambda t: 1.0 if t < error else 0.0


def small(policy, **settings) -> OmegaPRM:
    return OmegaPRM(policy, **{"rollouts": 4, "searches": 8, "filter": 0, "sampling": FREE} | settings)


def asked_at(policy: Scripted) -> list[int]:
    """Steps of each probed prefix, the root left out."""
    return [b[0].prefix.count("\n") for b in policy.batches if b[0].prefix]


def test_the_quality_of_a_pair_is_the_published_formula():
    assert quality(0.5, 100) == pytest.approx(0.6924, abs=5e-5)
    assert quality(0.5, 100) == pytest.approx(0.5**0.5 * 0.9**0.2)
    assert quality(0.9, 10) > quality(0.9, 200) > quality(0.1, 200), "high value and short win"


def test_a_selection_raises_n_and_so_lowers_the_other_pairs_of_its_node():
    pool = Pool(0.5, 0.9, 500, 0.125)
    a, b = Node("a\n", counts=(5, 10)), Node("b\n", counts=(45, 100))
    for node in (a, a, b):
        pool.offer(node, lines(node.text), f"{node.text}wrong {len(pool)}\n")
    order = [pool.pop().node.text for _ in range(3)]
    assert order == ["a\n", "b\n", "a\n"], "without N(s) += 1 both pairs of a come first"
    assert (a.visits, b.visits, pool.pop()) == (2, 1, None)


def test_the_bonus_is_c_times_the_root_of_all_visits_over_one_plus_own():
    pool = Pool(0.5, 0.9, 500, 0.125)
    a, b = Node("a\n", counts=(1, 2)), Node("b\n", counts=(1, 2))
    for i in range(4):
        pool.offer(a if i < 3 else b, lines("x"), f"{'a' if i < 3 else 'b'}\nwrong{i}\n")
    first = pool.pop()
    bonus = {c.node.text: pool.priority(c) - c.quality for c in pool.waiting}
    assert first.node is a
    assert bonus == pytest.approx({"a\n": 0.125 / 2, "b\n": 0.125})
    assert pool.pop().node is b
    assert [pool.priority(c) - c.quality for c in pool.waiting] == pytest.approx([0.125 * 2**0.5 / 2] * 2)


def test_a_popped_pair_never_comes_back():
    pool = Pool(0.5, 0.9, 500, 0.125)
    node = Node("a\n", counts=(1, 2))
    pool.offer(node, lines("x"), "a\nwrong\n")
    pool.pop()
    pool.offer(node, lines("x"), "a\nwrong\n")
    assert len(pool) == 0


def test_eight_steps_with_the_error_at_the_fifth_probe_4_6_5():
    policy = Scripted(before(5))
    (judged,) = small(policy).score([trace(8)])
    assert asked_at(policy) == [4, 6, 5]
    assert judged.first_error == 4
    assert judged.scores == (1.0, 1.0, 1.0, 1.0, 0.0, 0.0, None, 0.0)
    assert judged.counts == (None, None, None, (4, 4), (0, 4), (0, 4), None, None)
    assert judged.flags == ()


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 8, 13, 21])
def test_every_place_is_found_within_the_bound_and_the_last_step_is_never_rolled_out(steps: int):
    for error in range(1, steps + 1):
        policy = Scripted(before(error))
        given = trace(steps)
        scorer = small(policy, rollouts=2)
        search = grown(scorer, given.problem, [given])
        if error == 1:
            assert search.tree.root.value == 1.0
        judged = scorer.read(given, search.tree)
        assert judged.first_error == error - 1
        assert search.spent - 2 <= 2 * math.ceil(math.log2(steps))
        assert all(r.prefix.count("\n") < steps for r in policy.asked)
        (alone,) = OmegaBisection(Scripted(before(error)), rollouts=2, sampling=FREE).score([given])
        assert (judged.scores, judged.counts) == (alone.scores, alone.counts)


def test_an_error_in_the_last_step_is_graded_and_becomes_a_node():
    given = trace(4)
    search = grown(small(Scripted(lambda t: 1.0)), given.problem, [given])
    leaf = search.tree.nodes[given.text]
    assert (leaf.counts, leaf.ended, leaf.rollouts) == ((0, 1), True, [])
    assert leaf.parent.text == given.prefix(3), "the last prefix above 0 is the parent of what follows"
    (last,) = [s for s in point_samples(search.tree) if s.text == given.text]
    assert last.target == 0.0


def test_wrong_rollouts_of_probed_nodes_that_are_sometimes_right_join_and_no_pair_is_searched_twice():
    policy = ScriptedPolicy(error=0.25, repair=0.1)
    for of in long_problems(3):
        search = grown(small(policy, rollouts=8, searches=30), of)
        pairs = [(c.node.text, c.text) for c in search.pool.popped]
        assert len(set(pairs)) == len(pairs) == sum(n.visits for n in search.tree)
        assert 12 <= len(pairs) <= 30
        inner = [c for c in search.pool.popped if c.node is not search.tree.root]
        assert len(inner) > 5, "rollouts of rollouts were searched"
        offered = {(c.node.text, c.text) for c in [*search.pool.waiting, *search.pool.popped]}
        for node in search.tree:
            wrong = {r.request.prefix + r.continuation.text for r in node.rollouts if r.right is False}
            expected = {(node.text, w) for w in wrong} if node.value and node.value < 1 else set()
            assert {pair for pair in offered if pair[0] == node.text} == expected


def test_no_search_takes_more_than_k_rollouts_at_ceil_log2_t_prefixes():
    policy = ScriptedPolicy(error=0.1)
    for of in long_problems(3):
        spent = [grown(small(policy, rollouts=8, searches=n), of).spent for n in range(8)]
        lines_in_all = len(of.reference)
        assert 7 <= lines_in_all <= 9
        assert all(0 <= b - a <= 8 * math.ceil(math.log2(lines_in_all)) for a, b in pairwise(spent))
        assert spent[-1] > spent[0] == 8


def test_every_node_says_what_its_own_rollouts_showed_and_hangs_below_a_prefix_of_it():
    search = grown(small(ScriptedPolicy(0.2, 0.1), searches=20), long_problems(1)[0])
    for node in search.tree:
        if not node.ended:
            assert node.counts == (sum(r.right is True for r in node.rollouts), 4)
        if node.parent is not None:
            assert node.text.startswith(node.parent.text)
            assert node.parent.value > 0, "a probe of value 0 is nobody's parent"
            assert "".join(node.steps) == node.text


def test_the_budget_of_rollouts_is_never_exceeded():
    of = long_problems(1)[0]
    for limit in (4, 5, 21, 40):
        search = grown(small(ScriptedPolicy(0.1), searches=1000, max_rollouts=limit), of)
        assert limit - 4 < search.spent <= limit
        assert search.tree.stopped == "rollouts"
    with pytest.raises(InputError, match="at least the 32 of the root"):
        OmegaPRM(ScriptedPolicy(), max_rollouts=20)


def test_the_search_count_and_an_empty_pool_end_a_search():
    of = long_problems(1)[0]
    assert grown(small(ScriptedPolicy(0.1), searches=2), of).tree.stopped == "searches"
    assert grown(small(ScriptedPolicy(0.0)), of).tree.stopped == "empty-pool"


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_problems_that_are_always_or_never_solved_are_filtered_after_32_rollouts(value: float):
    policy = Scripted(lambda t: value)
    right, wrong = OmegaPRM(policy).score([trace(5, GOLD), trace(5)])
    assert len(policy.asked) == 32
    assert (wrong.scores, wrong.first_error) == ((None, None, None, None, 0.0), None)
    assert wrong.flags == ("filtered-problem", "not-searched")
    assert (right.first_error, right.flags) == (NO_ERROR, ("assumed-correct",))


def test_only_wrong_given_traces_are_worth_a_search():
    policy = Scripted(before(3))
    (judged,) = small(policy).score([trace(5, GOLD)])
    assert not policy.asked
    assert (judged.scores, judged.first_error) == ((1.0,) * 5, NO_ERROR)


def test_given_traces_do_not_count_towards_the_value_of_the_root():
    of = problem()
    search = grown(small(Scripted(lambda t: 0.5)), of, [trace(3, draw=d) for d in range(40)])
    assert search.tree.root.counts[1] == 4


def test_a_value_that_recovers_is_flagged_from_the_probes_of_another_search():
    value = {2: 0.0}
    policy = Scripted(lambda t: value.get(t, 1.0 if t < 5 else 0.0))
    long = trace(8)
    short = lines(*long.text.splitlines()[:3], "Answer: 41")
    first, second = small(policy).score([long, short])
    assert first.scores[:4] == (1.0, 0.0, 1.0, 1.0)
    assert (first.first_error, first.flags) == (1, ("monotone-violation",))
    assert (second.first_error, second.flags) == (1, ())
    (alone,) = small(policy).score([long])
    assert (alone.first_error, alone.flags) == (4, ()), "one bisection cannot know"


def test_a_right_trace_through_a_probed_prefix_of_value_0_contradicts_its_ending():
    wrong = trace(4)
    right = lines(*wrong.text.splitlines()[:2], f"Answer: {GOLD}")
    judged, _ = small(Scripted(before(2))).score([right, wrong])
    assert judged.scores == (1.0, 0.0, 1.0)
    assert (judged.first_error, judged.flags) == (1, ("assumed-correct", "monotone-violation"))


def test_a_probe_that_is_undecided_leaves_the_error_unknown():
    policy = Scripted(lambda t: "cut" if t == 6 else 1.0 if t < 5 else 0.0)
    (judged,) = small(policy).score([trace(8)])
    assert (judged.first_error, judged.scores[4:]) == (None, (None, None, None, 0.0))
    assert judged.flags == ("truncated-rollouts", "not-searched", "undecided-probe")
    assert judged.undecided == 4


class Mixed(Scripted):
    """The first draw of a prefix is right, the second wrong, the third cut short, the others fail."""

    def _one(self, request):
        self.value = lambda t: {0: 1.0, 1: 0.0, 2: "cut"}.get(request.draw)
        return super()._one(request)


def test_neither_cut_nor_failed_rollouts_are_wrong_ones():
    search = grown(small(Mixed(lambda t: 1.0), rollouts=5), problem())
    assert search.tree.root.counts == (1, 2)
    assert [c.text for c in search.pool.popped] == ["Answer: 7\n"]


def test_failures_lose_the_traces_through_that_prefix_only():
    policy = Scripted(lambda t: None if t == 2 else 1.0)
    lost, fine, unknown = small(policy).score(
        [trace(4), trace(2, draw=1), trace(3, draw=2, grade=Grade(Verdict.UNDECIDED, "timeout"))]
    )
    assert (lost.scores, lost.error.kind) == (None, "rollouts-failed")
    assert fine.first_error == 1
    assert (unknown.scores, unknown.error.kind) == (None, "undecided")


def test_a_problem_that_cannot_be_graded_gives_an_empty_tree_with_its_reason():
    policy = Scripted(lambda t: 0.5)
    lost, fine = small(policy).trees([Problem("?", None, grader="numeric"), problem()])
    assert (lost.error.kind, len(lost)) == ("no-gold", 1)
    assert fine.error is None
    assert fine.root.counts[1] == 4


def test_what_a_tree_cost_is_carried_once():
    policy = Scripted(before(3))
    judged = small(policy).score([trace(6, draw=d, name=name) for name in "ab" for d in range(3)])
    assert sum(j.usage.policy.calls for j in judged) == len(policy.asked)
    assert [j.usage.policy.calls > 0 for j in judged] == [True, False, False] * 2


def test_all_problems_advance_in_one_batch_a_round():
    policy = Scripted(before(3))
    small(policy).score([trace(6, name=name) for name in "abcde"])
    assert [len(batch) for batch in policy.batches] == [20, 20, 20, 20][: len(policy.batches)]
    assert len({r.problem.id for r in policy.batches[0]}) == 5


def test_results_do_not_depend_on_what_else_is_asked_or_on_order(tmp_path):
    policy, problems = ScriptedPolicy(0.25, 0.1), long_problems(4)
    traces = attempts(policy, problems)
    scorer = small(policy, searches=6)
    together = {j.trace: (j.scores, j.counts, j.flags) for j in scorer.score(traces)}
    split = [j for part in (traces[:8], traces[8:]) for j in scorer.score(part)]
    assert {j.trace: (j.scores, j.counts, j.flags) for j in split} == together
    backwards = scorer.score(traces[::-1])
    assert {j.trace: (j.scores, j.counts, j.flags) for j in backwards} == together
    with Store(tmp_path / "omega.store") as store:
        stored = small(policy, searches=6, store=store)
        stored.score(traces)
        again = stored.score(traces)
    assert {j.trace: (j.scores, j.counts, j.flags) for j in again} == together
    assert sum(j.usage.policy.generated for j in again) == 0


@pytest.mark.parametrize(
    "policy, problems",
    [
        (ScriptedPolicy(0.2, 0.1), long_problems(3)),
        (ScriptedGame24(0.6), Game24().problems("test", 3)),
    ],
    ids=["arithmetic", "game24"],
)
def test_rates_are_the_exact_values_up_to_sampling_error_and_converge(policy, problems):
    errors = []
    for rollouts in (4, 64):
        trees = small(policy, rollouts=rollouts, searches=6).trees(problems)
        nodes = [(t, n) for t in trees for n in t if not n.ended]
        assert len(nodes) > 12
        off = [abs(n.value - policy.value(t.problem, n.text)) for t, n in nodes]
        assert max(off) <= 4.5 * 0.5 / math.sqrt(rollouts)
        errors.append(sum(off) / len(off))
    assert errors[1] < errors[0] / 2


def test_located_errors_are_the_true_ones_where_nothing_repairs():
    """Without repair the value is 0 from the first error on, and (1 - e)^m before it."""
    policy = ScriptedPolicy(error=0.1)
    problems = long_problems(4)
    traces = [t for t in attempts(policy, problems) if not t.grade.correct]
    few, judged = (small(policy, rollouts=16, searches=n).score(traces) for n in (4, 1000))
    truth = [
        next(i for i in range(len(t.steps)) if policy.value(t.problem, t.prefix(i + 1)) == 0) for t in traces
    ]
    assert len(traces) > 6
    found = [(j.first_error, t) for j, t in zip(few, truth) if "not-searched" not in j.flags]
    assert found
    assert all(e == t for e, t in found)
    assert [j.first_error for j in judged] == truth


def test_it_is_a_scorer_of_value_with_published_defaults():
    scorer = OmegaPRM(Scripted(before(1)))
    assert isinstance(scorer, Scorer)
    assert scorer.question is Question.VALUE
    defaults = (scorer.alpha, scorer.beta, scorer.length, scorer.c_puct, scorer.rollouts, scorer.filter)
    assert defaults == (0.5, 0.9, 500, 0.125, 8, 32)
    assert scorer.source != OmegaPRM(Scripted(before(1)), beta=0.8).source
    assert isinstance(scorer.trees([])[:1], list)
    with pytest.raises(InputError, match="alpha and beta"):
        OmegaPRM(Scripted(before(1)), alpha=0.0)
    assert Tree(problem()).stopped == ""
