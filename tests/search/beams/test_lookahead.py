"""Specifies look-ahead: where a step leads decides, and nothing else of the look-ahead stays."""

from __future__ import annotations

from preceptor.generation import Request, Sampling
from preceptor.search import StepBeam, solve
from preceptor.search.beams import LookAheadBeam
from tests.search.beams.tables import Marks, Table, asked, run
from tests.search.toy import Oracle, TreePolicy, problem, problems, value, walked


def test_no_look_ahead_is_the_plain_beam() -> None:
    ps = problems(10)
    plain = solve(TreePolicy(), ps, StepBeam(2, 3), Oracle())
    ahead = solve(TreePolicy(), ps, LookAheadBeam(2, 3, ahead=0, vote="bon"), Oracle())
    for a, b in zip(plain.solutions, ahead.solutions, strict=True):
        assert a.tree.to_record() == b.tree.to_record()
        assert a.answer == b.answer


OPTIONS = {"": ["a", "b"], "a": ["c"], "b": ["d"], "ac": ["!1"], "bd": ["!2"]}
MARKS = {"a": 0.9, "ac": 0.1, "ac!1": 0.1, "b": 0.2, "bd": 0.8, "bd!2": 0.8}


def test_a_step_is_chosen_by_where_it_leads() -> None:
    assert run(LookAheadBeam(1, 2, ahead=0), OPTIONS, MARKS).answer == "1"
    s = run(LookAheadBeam(1, 2, ahead=1), OPTIONS, MARKS)
    assert s.answer == "2"
    assert asked(s, "lookahead") == {"a": 1, "b": 1, "bd": 1}
    assert asked(s) == {"": 2, "b": 2, "bd": 2}


def test_only_the_ends_of_look_aheads_and_finished_candidates_are_scored() -> None:
    marks = Marks(MARKS)
    s = solve(Table(OPTIONS), [problem()], LookAheadBeam(1, 2, ahead=1), marks).solutions[0]
    assert len(marks.sent) == len(s.tree.nodes[1:]) - sum(
        n.role == "step" and n.finish is not None and n.finish.value == "boundary" for n in s.tree.nodes[1:]
    )
    first = [n for n in s.tree.nodes[1:] if n.parent == 0]
    assert all(n.scores is None for n in first)


def test_looking_to_the_end_scores_every_candidate_by_the_outcome_of_greedy_decoding() -> None:
    seen = 0
    for s in solve(TreePolicy(), problems(8), LookAheadBeam(2, 3, ahead=5), Oracle()).solutions:
        for node in s.tree.nodes[1:]:
            if node.role != "step" or "end" not in node.data:
                continue
            text = s.tree.path(node).text
            rest = (
                TreePolicy().generate([Request(s.problem, text, sampling=Sampling(temperature=0.0))])[0].text
            )
            end = s.tree[node.data["end"]]
            assert s.tree.path(end).text == text + rest
            assert end.scores is not None
            assert end.scores[-1] == value(s.problem, walked(text + rest))
            seen += 1
    assert seen > 40


def test_look_ahead_is_thrown_away_and_stays_in_the_ledger() -> None:
    for s in solve(TreePolicy(), problems(6), LookAheadBeam(2, 2, ahead=2), Oracle()).solutions:
        behind = [n for n in s.tree.nodes if n.role == "lookahead"]
        assert {n.status.value for n in behind} == {"pruned"}
        assert all(n.data["why"] == "look-ahead" for n in behind)
        steps = [n for n in s.tree.nodes if n.role == "step"]
        assert all(s.tree[n.parent or 0].role != "lookahead" for n in steps)
        assert s.ledger.policy.generated == sum(len(n.text) for n in [*behind, *steps])
        assert not {c.node for c in s.candidates} & {n.id for n in behind}


def test_a_candidate_whose_look_ahead_is_cut_ranks_last() -> None:
    options = OPTIONS | {"b": ["a step that does not fit into what a step may be"]}
    sampling = Sampling(max_tokens=12)
    s = run(LookAheadBeam(1, 2, ahead=1, sampling=sampling), options, MARKS)
    assert s.answer == "1"
