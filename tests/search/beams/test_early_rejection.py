"""Specifies early rejection: what tau saves, what it does not touch, and that without it there is the plain beam."""

from __future__ import annotations

import pytest

from preceptor.generation import Sampling
from preceptor.search import StepBeam, solve
from preceptor.search.beams import EarlyRejection
from preceptor.trace import Finish
from tests.search.beams.tables import Marks, Table, path, run
from tests.search.toy import Oracle, TreePolicy, problem, problems


@pytest.mark.parametrize("tau", [256, 10**6])
@pytest.mark.parametrize("duplicates", ["merge", "keep", "prefer-distinct"])
def test_without_a_limit_inside_the_step_it_is_the_plain_beam(tau: int, duplicates: str) -> None:
    ps = problems(8)
    for keep, expand, depth in ((2, 3, 20), (3, 2, 3)):
        beam = solve(TreePolicy(), ps, StepBeam(keep, expand, "last", depth, duplicates=duplicates), Oracle())
        early = EarlyRejection(keep, expand, "last", depth, duplicates=duplicates, tau=tau)
        got = solve(TreePolicy(), ps, early, Oracle())
        for a, b in zip(beam.solutions, got.solutions, strict=True):
            assert a.tree.to_record() == b.tree.to_record()
            assert (a.answer, a.stop) == (b.answer, b.stop)


def test_scores_that_are_sure_after_tau_tokens_keep_the_same_prefixes_for_fewer_tokens() -> None:
    ps, tau = problems(10), 4  # "go a" of "go a\n", "Answ" of "Answer: 7"
    beam = solve(TreePolicy(), ps, StepBeam(2, 3, duplicates="keep"), Oracle())
    early = solve(TreePolicy(), ps, EarlyRejection(2, 3, duplicates="keep", tau=tau), Oracle())
    for a, b in zip(beam.solutions, early.solutions, strict=True):
        assert a.answer == b.answer
        shown = {c.trace.text for c in b.candidates}
        assert shown <= {c.trace.text for c in a.candidates}
        steps = a.tree.nodes[1:]
        rejected = [n for n in b.tree.nodes[1:] if n.role == "step" and n.status.value == "pruned"]
        saved = 0
        for n in rejected:
            whole = next(
                s for s in steps if a.tree.path(s).text.startswith(b.tree.path(n).text) and s.draw == n.draw
            )
            saved += max(0, len(whole.text) - tau)
        assert rejected
        assert b.ledger.policy.generated == a.ledger.policy.generated - saved


OPTIONS = {"": ["a", "b", "cc", "!7"], "a": ["!1"], "cc": ["!2"]}
MARKS = {"a": 0.6, "b": 0.1, "cc": 0.5, "!7": 0.2, "a!1": 0.7, "cc!2": 0.4}


def test_what_ended_within_tau_is_not_extended_and_the_score_of_the_beginning_stays() -> None:
    strategy = EarlyRejection(2, 2, tau=7)  # "step a\n" fits, "step cc\n" does not
    marks = Marks(MARKS)
    s = solve(Table(OPTIONS), [problem()], strategy, marks).solutions[0]
    completions = [n for n in s.tree.nodes[1:] if n.role == "completion"]
    first = completions[0]
    assert path(s.tree.path(first).text) == "cc"
    assert first.text == "\n"
    assert first.scores is None
    ended = next(n for n in s.tree.nodes[1:] if path(n.text) == "a" and n.finish is Finish.BOUNDARY)
    assert all(c.parent != ended.id for c in completions)
    texts = [t.text for t in marks.sent]
    assert "step cc\n" not in texts, "a completed step is not scored again"
    assert "step cc" in texts


def test_the_beginning_is_continued_exactly_where_it_stopped() -> None:
    policy = TreePolicy()
    solve(policy, problems(6), EarlyRejection(2, 2, tau=3), Oracle())
    inside = [r for batch in policy.sent for r in batch if r.prefix and not r.prefix.endswith("\n")]
    assert len(inside) > 10
    assert all(r.prefix.rpartition("\n")[2] in ("go ", "Ans") for r in inside)
    assert all(r.sampling.max_tokens == 256 - 3 for r in inside)
    assert all(r.prefix_ids == tuple(map(ord, r.prefix)) for r in inside)


def test_a_step_may_have_no_more_tokens_than_without_early_rejection() -> None:
    sampling = Sampling(max_tokens=8)
    s = run(EarlyRejection(1, 1, tau=5, sampling=sampling), {"": ["a"], "a": ["!1"]}, {"a": 0.5})
    cut = s.tree.nodes[-1]
    assert (cut.role, cut.finish, cut.status.value) == ("completion", Finish.LENGTH, "cut")
    assert len(cut.text) == 3
    assert s.answer is None


def test_a_last_step_is_completed_at_the_greatest_depth_too() -> None:
    for strategy in (EarlyRejection(2, 2, max_steps=4, tau=4), EarlyRejection(2, 2, max_steps=4)):
        result = solve(TreePolicy(), problems(4), strategy, Oracle())
        assert all(s.finished and s.answer for s in result.solutions)
    short = solve(TreePolicy(), problems(4), EarlyRejection(2, 2, max_steps=3, tau=4), Oracle())
    for s in short.solutions:
        assert s.finished == 0
        last = [n for n in s.tree.nodes if n.role == "completion" and len(s.tree.path(n).ends) == 3]
        assert {n.status.value for n in last} == {"cut"}


def test_equal_beginnings_are_not_duplicates() -> None:
    ps = problems(8)
    s = solve(TreePolicy(), ps, EarlyRejection(3, 3, tau=3), Oracle(constant=0.5)).solutions
    level = [[n for n in x.tree.nodes[1:] if n.parent == 0] for x in s]
    assert all({n.text for n in nodes} == {"go "} for nodes in level)
    assert all(sum(n.status.value == "live" for n in nodes) == 3 for nodes in level)
    assert any(n.data.get("duplicate_of") and n.role == "completion" for x in s for n in x.tree.nodes)


def test_solutions_that_finish_early_stay() -> None:
    s = run(EarlyRejection(2, 2, tau=100), OPTIONS, MARKS)
    assert "7" in [c.answer for c in s.candidates]
