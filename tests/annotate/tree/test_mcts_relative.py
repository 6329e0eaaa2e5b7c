"""MCTS process supervision: weights among siblings, the search that finds them, and their limits."""

from __future__ import annotations

from statistics import fmean

import pytest

from preceptor.annotate.tree import MCTSRelative, Tree, relative_weights
from preceptor.errors import InputError
from preceptor.generation import Sampling
from preceptor.judgement import Question, Scorer
from preceptor.policy import ScriptedGame24, ScriptedPolicy
from preceptor.store import Store
from preceptor.trace import Problem
from preceptor.worlds.twentyfour import Game24
from tests.annotate.scripted import GOLD, Scripted, problem, trace
from tests.annotate.tree.growing import attempts, grown, lines, long_problems

FREE = Sampling(1.0)


def small(policy, **settings) -> MCTSRelative:
    return MCTSRelative(policy, **{"simulations": 12, "sampling": FREE} | settings)


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_equal_siblings_weigh_nothing(value: float):
    assert relative_weights([value] * 4) == (0.0,) * 4
    assert relative_weights([value] * 4, "positive_part") == (0.0,) * 4


def test_weights_are_standardised_clipped_and_cancel_before_clipping():
    weights = relative_weights([0.2, 0.4, 0.6, 0.8])
    assert weights == pytest.approx((-1.0, -0.447, 0.447, 1.0), abs=1e-3)
    assert sum(weights) == pytest.approx(0)
    assert relative_weights([0.2, 0.8], "positive_part") == pytest.approx((0.0, 1.0), abs=1e-4)
    assert max(relative_weights([1.0] + [0.0] * 9)) == 1.0


def test_unknown_values_and_only_children_have_no_weight_which_is_not_0():
    assert relative_weights([None, 0.5]) == (None, None)
    assert relative_weights([0.5]) == (None,)
    assert relative_weights([1.0, None, 0.0])[1] is None


def test_where_one_path_is_right_it_reduces_to_rejection_sampling():
    right = lines("a", "b", f"Answer: {GOLD}")
    wrong = [lines("x", "Answer: 1"), lines("a", "y", "Answer: 2"), lines("a", "b", "Answer: 3")]
    tree = Tree.of(problem(), [right])
    for other in wrong:
        tree.insert(other)
    for n in tree:  # values of a search that has converged: reachable or not
        n.counts = (int(n.text in {right.prefix(t) for t in range(4)}), 1)
    weights = {s.text: s.target for s in small(Scripted(lambda t: 0.5), mode="positive_part").samples(tree)}
    assert len(weights) == 6
    for text, weight in weights.items():
        assert weight == pytest.approx(float(right.text.startswith(text)), abs=1e-5)


@pytest.mark.parametrize("value, answer", [(1.0, GOLD), (0.0, "41")])
def test_a_search_in_which_everything_ends_alike_gives_weight_0_everywhere(value: float, answer: str):
    (judged,) = small(Scripted(lambda t: value)).score([trace(4, answer)])
    assert judged.scores == (0.0,) * 4


def test_given_steps_count_as_children_and_the_cost_is_three_rollouts_a_step_and_the_simulations():
    policy = Scripted(lambda t: 0.5)
    given = trace(5)
    search = grown(small(policy, simulations=0), given.problem, [given])
    assert len(policy.asked) == 3 * 5
    assert len(policy.batches) == 1
    assert {r.prefix for r in policy.asked} == {given.prefix(t) for t in range(5)}
    assert all(len(n.children) >= 1 for n in search.tree if given.text.startswith(n.text) and not n.ended)
    writer = ScriptedPolicy(0.3)
    tree = small(writer, simulations=20).trees(long_problems(1))[0]
    assert (tree.usage.calls, tree.root.visits, tree.stopped) == (20, 20, "simulations")
    assert all(len(n.children) <= 4 for n in tree)


def test_every_count_is_one_rollout_and_a_finished_tree_is_not_counted_again():
    policy = Scripted(lambda t: 1.0)
    (tree,) = small(policy, simulations=50).trees([problem()])
    assert (len(policy.asked), tree.root.counts, tree.stopped) == (4, (4, 4), "exhausted")
    (grown_tree,) = small(ScriptedPolicy(0.3), simulations=40).trees(long_problems(1))
    assert grown_tree.root.counts[1] == grown_tree.usage.calls == 40
    for node in grown_tree:
        assert sum(child.counts[1] for child in node.children) <= node.counts[1]


def test_the_draw_that_gave_a_trace_is_not_counted_twice():
    policy, of = ScriptedPolicy(0.3), long_problems(1)
    own = attempts(policy, of, samples=1, seed=0)
    foreign = attempts(policy, of, samples=1, seed=5)
    for given, expected in ((own, 3), (foreign, 4)):
        search = grown(small(policy, simulations=0), of[0], given)
        assert len(search.tree.root.rollouts) == 3
        through = sum(child.visits for child in search.tree.root.children)
        deeper = sum(len(n.rollouts) for n in search.tree if n.parent is not None)
        assert through - deeper == expected


def test_selection_prefers_what_turned_out_better_and_what_was_tried_less():
    search = small(Scripted(lambda t: 0.5)).begin(problem(), ())
    root = search.tree.root
    search.tried[""] = 4
    for text, counts in (("a\n", (8, 10)), ("b\n", (2, 10)), ("c\n", (1, 2))):
        child = search.tree.add(text, root)
        child.counts, child.visits = counts, counts[1]
    root.visits = 22
    assert search._select().text == "c\n"
    search.tree.nodes["c\n"].visits = 10
    assert search._select().text == "a\n"


def test_the_first_error_of_a_wrong_trace_weighs_less_than_its_right_siblings():
    policy = ScriptedPolicy(error=0.5)
    problems = long_problems(6)
    traces = [t for t in attempts(policy, problems, samples=2) if not t.grade.correct]
    judged = small(policy, rollouts=8, simulations=0).score(traces)
    errors = [
        next(i for i in range(len(t.steps)) if policy.value(t.problem, t.prefix(i + 1)) == 0) for t in traces
    ]
    at_error = [j.scores[e] for j, e in zip(judged, errors)]
    assert max(at_error) <= 0
    assert fmean(at_error) < -0.2
    after = [s for j, e in zip(judged, errors) for s in j.scores[e + 1 :] if s is not None]
    assert set(after) <= {0.0}, "where all is lost no sibling is better"


@pytest.mark.parametrize(
    "policy, problems",
    [(ScriptedPolicy(0.35), long_problems(4)), (ScriptedGame24(0.3), Game24().problems("test", 4))],
    ids=["arithmetic", "game24"],
)
def test_more_simulations_rank_siblings_more_like_their_exact_values(policy, problems):
    agreement = []
    for simulations in (12, 400):
        scorer = small(policy, simulations=simulations)
        right = total = 0
        for tree in scorer.trees(problems):
            for node in [tree.root, *tree.root.children]:
                kids = [(c.value, policy.value(tree.problem, c.text)) for c in node.children]
                for i, (seen, exact) in enumerate(kids):
                    for other_seen, other in kids[:i]:
                        if abs(exact - other) > 0.1:
                            total += 1
                            right += (seen > other_seen) == (exact > other) and seen != other_seen
        assert total > 5
        agreement.append(right / total)
    assert agreement[1] > 0.85
    assert agreement[1] > agreement[0]


def test_results_do_not_depend_on_what_else_is_asked_or_on_order(tmp_path):
    policy, problems = ScriptedPolicy(0.3, 0.1), long_problems(4)
    traces = attempts(policy, problems)
    scorer = small(policy)
    together = {j.trace: j.scores for j in scorer.score(traces)}
    assert {j.trace: j.scores for part in (traces[:8], traces[8:]) for j in scorer.score(part)} == together
    assert {j.trace: j.scores for j in scorer.score(traces[::-1])} == together
    with Store(tmp_path / "mcts.store") as store:
        small(policy, store=store).score(traces)
        again = small(policy, store=store).score(traces)
    assert {j.trace: j.scores for j in again} == together
    assert sum(j.usage.policy.generated for j in again) == 0


def test_steps_without_an_alternative_are_not_judged():
    (tree,) = small(ScriptedPolicy(0.3), simulations=1).trees(long_problems(1))
    assert small(ScriptedPolicy(0.3)).samples(tree) == [], "one step, tried once"
    (judged,) = small(Scripted(lambda t: "cut"), simulations=0, rollouts=1).score([trace(3)])
    assert judged.scores == (None, None, None)
    assert judged.flags == ("no-siblings",)
    (cut,) = small(Scripted(lambda t: "cut"), simulations=0).score([trace(3)])
    assert cut.scores == (None, None, None)
    assert (cut.undecided, cut.flags) == (9, ("truncated-rollouts", "no-siblings"))


def test_failures_are_typed_and_the_search_ends():
    (judged,) = small(Scripted(lambda t: None if t == 1 else 0.5)).score([trace(3)])
    assert (judged.scores, judged.error.kind) == (None, "rollouts-failed")
    assert judged.usage.policy.calls > 0
    (tree,) = small(Scripted(lambda t: None)).trees([problem()])
    assert (tree.stopped, len(tree)) == ("exhausted", 1)
    (lost,) = small(Scripted(lambda t: 0.5)).trees([Problem("?", None, grader="numeric")])
    assert lost.error.kind == "no-gold"


def test_it_is_a_scorer_of_progress_whose_evidence_is_not_mistaken_for_the_label():
    policy = Scripted(lambda t: 0.5)
    scorer = small(policy)
    assert isinstance(scorer, Scorer)
    assert scorer.question is Question.PROGRESS
    (judged,) = scorer.score([trace(3)])
    assert (judged.question, judged.counts, judged.first_error) == (Question.PROGRESS, None, None)
    assert all(-1 <= s <= 1 for s in judged.scores)
    (positive,) = small(policy, mode="positive_part").score([trace(3)])
    assert positive.scores == tuple(max(0.0, s) for s in judged.scores)
    assert positive.source != judged.source
    with pytest.raises(InputError, match="'signed' or 'positive_part'"):
        small(policy, mode="negative")
