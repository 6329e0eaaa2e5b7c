"""Specifies GLoRe: when a draft is refined, where, and that the reranker decides among three."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

import pytest

from preceptor.errors import BackendError
from preceptor.generation import Request
from preceptor.judgement import Judgement, Question, Source
from preceptor.search import Greedy, SolveResult, Tree, solve
from preceptor.search.refine import Glore, StepsThenOutcome
from preceptor.search.refine.glore import LOCAL, marked
from tests.search.refine.scripted import Scripted, check_house_rules, tree_of
from tests.search.toy import Oracle, TreePolicy, answers, problem, problems, value, walked


def better(request: Request) -> str:
    """A refiner that goes on from its prefix by the best steps."""
    return _walk(request, 1)


def worse(request: Request) -> str:
    """One that takes the worst."""
    return _walk(request, -1)


def _walk(request: Request, sign: int) -> str:
    tree, text = tree_of(request), request.prefix
    while len(node := walked(text)) < 3:
        text += max("ab", key=lambda step: sign * value(tree, node + step)).join(("go ", "\n"))
    return (text + "Answer: " + answers(tree)[walked(text)])[len(request.prefix) :]


def run(strategy: Glore, says=better, scorer=None, n: int = 25) -> SolveResult:  # type: ignore[no-untyped-def]
    helpers = {"global": Scripted(worse), "local": Scripted(says)}
    return solve(TreePolicy(), problems(n), strategy, scorer or Oracle(), helpers=helpers)


def test_a_constant_orm_returns_the_draft() -> None:
    greedy = solve(TreePolicy(), problems(25), Greedy())
    for scorer in (Oracle(constant=0.7), Oracle(constant=0.2)):
        refined = run(Glore(), scorer=scorer)
        assert [s.answer for s in refined.solutions] == [s.answer for s in greedy.solutions]
        assert {s.finished for s in refined.solutions} == {2 if scorer.constant == 0.7 else 3}


def test_a_draft_the_orm_is_content_with_is_all_there_is() -> None:
    greedy = solve(TreePolicy(), problems(25), Greedy())
    refined = run(Glore(when=0.5), scorer=Oracle(constant=0.5))
    assert [s.chosen.text for s in refined.solutions] == [s.chosen.text for s in greedy.solutions]  # type: ignore[union-attr]
    assert refined.ledger.policy == greedy.ledger.policy


def test_drafts_below_the_threshold_are_refined_and_the_others_are_not() -> None:
    for s in run(Glore(when=0.5)).solutions:
        right = s.tree[1].answer == "7"
        assert s.finished == (1 if right else 3)
        assert s.answer == "7"


def test_at_most_three_candidates_in_the_order_draft_global_local() -> None:
    for s in run(Glore()).solutions:
        assert [s.tree[c.node].by for c in s.candidates] == ["", "global", "local"][: s.finished]
        assert s.grade.correct
    greedy = solve(TreePolicy(), problems(25), Greedy())
    assert run(Glore(), worse).correct == greedy.correct, "the reranker keeps what refiners spoil"


def test_the_local_refinement_keeps_what_stands_before_the_mark() -> None:
    local = Scripted(better)
    result = solve(
        TreePolicy(),
        problems(40),
        Glore(where=0.1),
        Oracle(),
        helpers={"global": Scripted(worse), "local": local},
    )
    assert sum(bool(r.prefix) for r in local.sent) > 5
    by_tree = {s.problem.id: s for s in result.solutions}
    for request in local.sent:
        s = by_tree[tree_of(request).id]
        draft = s.tree.path(s.tree[1])
        wrong = s.tree[1].data["first_error"]
        assert value(s.problem, walked(draft.text[: draft.ends[wrong]])) < 0.1
        assert all(value(s.problem, walked(draft.text[:e])) >= 0.1 for e in draft.ends[:wrong])
        assert request.prefix == draft.text[: draft.ends[wrong - 1] if wrong else 0]
        assert request.prefix_ids is None, "the refiner may have other tokens"
        assert f"{request.prefix}[BAD] go" in request.problem.prompt
        refined = next(n for n in s.tree.nodes if n.by == "local")
        assert s.tree.path(refined).text.startswith(request.prefix)
        assert s.tree.path(refined).token_ids is None


def test_a_mark_that_the_draft_wrote_is_no_mark() -> None:
    asked = marked(LOCAL, problem(), ["go a\n", "go [BAD] b\n", "</solution>go a\n"], 1)
    solution = re.search(r"<solution>\n(.*)</solution>", asked.prompt, re.S)
    assert solution is not None
    assert solution[1] == "go a\n[BAD] go (BAD) b\n[/solution>go a\n\n"


@dataclass
class Fixed:
    """Scores by the text of a trace: one a step, or None for a failure."""

    table: dict[str, list[float | None] | None] = field(default_factory=dict)
    name: str = "fixed"
    question: Question = Question.VALUE

    @property
    def source(self) -> Source:
        return Source(self.name)

    def score(self, traces):  # type: ignore[no-untyped-def]
        return [
            Judgement(
                t.id, self.question, self.source, None if (s := self.table[t.text]) is None else tuple(s)
            )
            for t in traces
        ]


def _trace(text: str):  # type: ignore[no-untyped-def]
    policy = Scripted(lambda r: text)
    s = solve(policy, [problem()], Greedy()).solutions[0]
    return s.tree.trace(s.tree[1])


def test_two_models_make_one_scorer_whose_last_score_is_the_orms() -> None:
    trace = _trace("go a\ngo b\nAnswer: 1")
    sorm, orm = Fixed({trace.text: [0.9, 0.4, 0.2]}), Fixed({trace.text: [0.1, 0.1, 0.8]}, "orm")
    both = StepsThenOutcome(sorm, orm)
    assert both.score([trace])[0].scores == (0.9, 0.4, 0.8)
    orm.table[trace.text] = [None, None, 0.7]
    assert both.score([trace])[0].scores == (0.9, 0.4, 0.7)
    orm.table[trace.text] = None
    assert both.score([trace])[0].scores == (0.9, 0.4, None), "the SORM's last score does not stand in"
    sorm.table[trace.text] = [0.5]
    assert both.score([trace])[0].scores is None
    orm.table[trace.text] = [0.1, 0.2, 0.3]
    judged = both.score([trace])[0]
    assert judged.scores == (None, None, 0.3)
    assert judged.error is not None
    assert judged.error.kind == "score-count"


def test_a_scorer_out_of_order_is_refused() -> None:
    class Foreign(Fixed):
        def score(self, traces):  # type: ignore[no-untyped-def]
            return [replace(j, trace="other") for j in super().score(traces)]

    trace = _trace("Answer: 1")
    with pytest.raises(BackendError, match="in order"):
        StepsThenOutcome(Fixed({trace.text: [1.0]}), Foreign({trace.text: [1.0]})).score([trace])


def test_a_solution_the_orm_failed_on_never_beats_one_it_scored() -> None:
    draft, other = "go a\ngo b\nAnswer: 1", "go a\ngo a\ngo a\nAnswer: 99"
    sorm = Fixed({draft: [0.9, 0.9, 0.9], other: [0.1, 0.1, 0.1, 0.1]})
    orm = Fixed({draft: None, other: [None, None, None, 0.3]}, "orm")
    policy = Scripted(lambda r: draft)
    s = solve(
        policy,
        [problem()],
        Glore(),
        StepsThenOutcome(sorm, orm),
        helpers={"global": Scripted(lambda r: other)},
    )
    assert s.solutions[0].answer == "99"
    unknown = solve(policy, [problem()], Glore(when=0.5), StepsThenOutcome(sorm, orm))
    assert unknown.solutions[0].finished == 1, "nothing says that an unscored draft is wrong"


def test_helpers_tokens_leave_the_tree_as_json() -> None:
    for s in run(Glore()).solutions:
        again = Tree.from_record(s.tree.to_record(), s.problem)
        assert [again.path(n) for n in again.nodes] == [s.tree.path(n) for n in s.tree.nodes]


def test_house_rules() -> None:
    check_house_rules(Glore(), problems(4), Oracle, {"global": worse, "local": better})


def test_a_policy_without_refiners_refines_its_own_draft() -> None:
    policy = Scripted(lambda r: (better if "Here is a draft" in r.problem.prompt else worse)(r))
    s = solve(policy, [problem("toy0")], Glore(), Oracle()).solutions[0]
    assert s.answer == "7"
