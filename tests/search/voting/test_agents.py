"""Specifies best of N over labelled steps: vetoes, outcomes beside labels, and what is no score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from preceptor.generation import Continuation, Request, Sampling
from preceptor.judgement import Judgement, Question, Source
from preceptor.search import Solution, solve
from preceptor.search.voting.agent_best_of_n import AgentBestOfN, step_ratio
from preceptor.search.voting.data_prm_best_of_n import DataPRMBestOfN, trajectory_score
from preceptor.trace import Finish, Problem, Trace
from preceptor.usage import Ledger, Usage
from tests.search.voting.judges import Judge


@dataclass
class Agent:
    """Draw i writes the i-th trajectory; a question about one is answered by the judge."""

    trajectories: Sequence[str]
    judge: Judge = field(default_factory=Judge)
    fingerprint: str = "agent"

    def generate(self, requests: Sequence[Request]) -> list[Continuation]:
        return [self._one(r) for r in requests]

    def _one(self, request: Request) -> Continuation:
        if request.problem.prompt != "do it":
            return self.judge.generate([request])[0]
        text, limit = self.trajectories[request.draw], request.sampling.max_tokens
        finish = Finish.STOP if len(text) <= limit else Finish.LENGTH
        return Continuation(text[:limit], finish, usage=Usage(generated=min(len(text), limit), calls=1))


@dataclass
class Labels:
    """A label per line: its mark, of + o - and ?, the last being unscored."""

    marks: dict[str, float | None]
    source: Source = field(default_factory=lambda: Source("labels"))
    question: Question = Question.QUALITY

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        usage = Ledger(scorer=Usage(calls=1))
        return [
            Judgement(
                t.id,
                self.question,
                self.source,
                tuple(self.marks[x.strip()[-1]] for x in t.step_texts),
                usage=usage,
            )
            for t in traces
        ]


TERNARY: dict[str, float | None] = {"+": 1.0, "o": 0.0, "-": -1.0, "?": None}
GRADED: dict[str, float | None] = {"+": 1.0, "o": 0.5, "-": 0.0, "?": -1.0}


def trajectory(marks: str, answer: str) -> str:
    return "".join(f"act {m}\n" for m in marks[:-1]) + f"Answer: {answer} {marks[-1]}"


def best(strategy, trajectories: Sequence[str], marks=TERNARY, judge: Judge | None = None) -> Solution:  # type: ignore[no-untyped-def]
    task = Problem("do it", "7 +", id="task", grader="exact")
    agent = Agent(trajectories, judge or Judge())
    return solve(agent, [task], strategy(len(trajectories)), Labels(marks)).solutions[0]


def agent(**settings) -> Callable[[int], AgentBestOfN]:  # type: ignore[no-untyped-def]
    return lambda n: AgentBestOfN(n, judging=Sampling(max_tokens=99), **settings)


def test_labels_alone_choose_by_their_mean_on_a_scale_of_0_to_1() -> None:
    s = best(
        agent(outcome_weight=0.0), [trajectory("+-+", "1"), trajectory("+o+", "2"), trajectory("oo+", "3")]
    )
    assert s.answer == "2 +"
    assert [s.tree[i].data["process"] for i in (1, 2, 3)] == pytest.approx([4 / 6, 5 / 6, 4 / 6])
    assert len(s.tree) == 4  # no verdicts were asked for


def test_outcome_and_labels_are_weighed_and_weight_1_is_lexicographic() -> None:
    # the judge finds that the second is right ("Answer: 7"); its labels are poor
    pool = [trajectory("+++", "1"), trajectory("--o", "7"), trajectory("oo+", "7")]
    assert best(agent(outcome_weight=0.5), pool).answer == "7 +"
    assert best(agent(outcome_weight=0.2), pool).answer == "1 +"
    lexicographic = best(agent(outcome_weight=1.0), pool)
    assert lexicographic.chosen is not None
    assert lexicographic.chosen.draw == 2
    assert [lexicographic.tree[i].data["outcome"] for i in (1, 2, 3)] == [0.0, 1.0, 1.0]


def test_a_wrong_step_before_what_cannot_be_undone_is_a_veto() -> None:
    pool = [
        "act +\nbuy -\nact +\nAnswer: 7 +",
        "act o\nbuy o\nact o\nAnswer: 1 o",
        "act -\nact -\nact -\nAnswer: 2 -",
    ]
    free = best(agent(), pool)
    assert free.answer == "7 +"
    careful = best(agent(irreversible=lambda step: step.startswith("buy")), pool)
    assert careful.answer == "1 o"
    assert [careful.tree[i].data["vetoed"] for i in (1, 2, 3)] == [True, False, False]
    assert "irreversible step 1" in careful.tree[1].data["why"]
    later = best(
        agent(irreversible=lambda step: step.startswith("buy")), ["buy +\nact -\nAnswer: 7 +", pool[1]]
    )
    assert later.answer == "7 +"
    assert (
        best(agent(irreversible=lambda step: True), ["act -\nAnswer: 7 +"]).answer == "7 +"
    )  # ranks, not forbids


def test_stopping_early_is_reported_beside_the_ratio() -> None:
    pool = [trajectory("+", "1"), trajectory("+o+", "7")]
    task = Problem("do it", "7 +", id="task", grader="exact")
    strategy = AgentBestOfN(2, outcome_weight=0.0)
    result = solve(Agent(pool), [task], strategy, Labels(TERNARY))
    assert result.solutions[0].answer == "1 +"  # the labels alone prefer the trajectory that stopped
    ratio = step_ratio(result)
    assert (ratio.chosen_ratio, ratio.chosen_steps) == (1.0, 1.0)
    assert (ratio.pool_ratio, ratio.pool_steps) == (0.75, 2.0)
    # a trajectory cut by a limit does not compete at all
    cut = solve(
        Agent(pool),
        [task],
        AgentBestOfN(2, outcome_weight=0.0, sampling=Sampling(max_tokens=12)),
        Labels(TERNARY),
    )
    assert [c.answer for c in cut.solutions[0].candidates] == ["1 +"]


def test_what_nobody_knows_is_left_out_and_what_some_lack_ranks_them_last() -> None:
    mute = Judge(says=lambda r: "who knows")
    assert best(agent(), [trajectory("-+", "1"), trajectory("++", "2")], judge=mute).answer == "2 +"
    half = Judge(says=lambda r: "who knows" if "Answer: 1" in r.problem.prompt else "Verdict: No")
    assert best(agent(), [trajectory("++", "1"), trajectory("--", "2")], judge=half).answer == "2 -"
    blank = best(
        agent(outcome_weight=0.0), [trajectory("??", "1"), trajectory("??", "2"), trajectory("??", "2")]
    )
    assert blank.answer == "2 ?"  # nobody is scored: the majority
    with pytest.raises(ValueError, match=r"label in \[-1, 1\]"):
        best(agent(outcome_weight=0.0), [trajectory("++", "1")], {"+": 4.0})
    with pytest.raises(ValueError, match="outcome_weight"):
        AgentBestOfN(outcome_weight=1.5)


def test_data_prm_takes_the_mean_of_what_was_scored_and_the_last_score_on_ties() -> None:
    assert trajectory_score((1.0, -1.0, None, 0.5)) == [0.75, 0.5]
    assert trajectory_score((-1.0, None)) is None
    pool = [trajectory("+o", "1"), trajectory("o+", "2"), trajectory("+??o", "3")]
    s = best(DataPRMBestOfN, pool, GRADED)
    assert s.answer == "2 +"
    assert [s.tree[i].data["score"] for i in (1, 2, 3)] == [[0.75, 0.5], [0.75, 1.0], [0.75, 0.5]]
    # as a score, -1 would have sunk this one
    assert best(DataPRMBestOfN, [trajectory("oo", "1"), trajectory("+??", "2")], GRADED).answer == "2 ?"
    assert best(DataPRMBestOfN, [trajectory("??", "1"), trajectory("--", "2")], GRADED).answer == "2 -"
    with pytest.raises(ValueError, match="and -1 for unscored"):
        trajectory_score((0.5, 3.0))
    assert (DataPRMBestOfN().n, DataPRMBestOfN().sampling.top_k) == (16, 20)
