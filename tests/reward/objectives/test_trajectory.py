"""Steps and trajectory: T + 1 readouts, each row's own trajectory target, and scores of T steps.

Run: python -m pytest tests/reward/objectives/test_trajectory.py
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from preceptor.annotate.rules import combined_score
from preceptor.judgement import Question, Source
from preceptor.reward.examples import Dropped
from preceptor.reward.format import Format
from preceptor.reward.model import build
from preceptor.reward.objectives import OBJECTIVES, reasonflux
from preceptor.reward.objectives.trajectory import END, LAYOUT
from preceptor.reward.scorer import PRM
from preceptor.reward.trainer import collate_batch
from preceptor.trace import Finish, Problem
from tests.reward.objectives.cases import graded, items, labels
from tests.reward.toy import trace_of

STEPS = ["1+1=22\n", "2+2=43\n", "3+3=64\n"]


@pytest.fixture(scope="module")
def built(lm):
    import torch

    torch.manual_seed(1)
    objective = OBJECTIVES["reasonflux-prm"]
    return build(
        lm,
        question=Question.QUALITY,
        head=objective.head,
        link=objective.link,
        layout=objective.layout,
        trajectory=1.0,
    )


def scorer(built, **changed) -> PRM:
    model, tokenizer, fmt = built
    return PRM(model.eval(), tokenizer, replace(fmt, **changed), Source.of("test"))


def test_t_steps_give_t_plus_one_supervised_positions_and_an_unfinished_trace_gives_t(rendering):
    objective = OBJECTIVES["reasonflux-prm"]
    render = rendering(objective)
    end = render.encoder.tag_ids(END)
    assert len(end) == 1
    some = items(labels(5))
    cut = [replace(i, trace=replace(i.trace, finish=Finish.LENGTH)) for i in some]
    for item, ((whole,), (part,)) in zip(
        some, zip(objective.rows(some, render, Dropped()), objective.rows(cut, render, Dropped()))
    ):
        n = len(item.trace.steps)
        assert sum(y is not None for step in whole.targets for y in step) == n + 1
        assert whole.targets[-1] == (None, item.outcome)
        assert [a for a, _ in whole.targets[:-1]] == list(item.targets)
        assert whole.row.token_ids[whole.row.positions[-1]] == end[0]
        assert part.row.steps == tuple(range(n))
        assert part.targets == whole.targets[:-1]
        assert end[0] not in part.row.token_ids


def test_every_row_of_a_batch_keeps_its_own_trajectory_target_at_its_own_last_readout(rendering):
    """The published collator's trap: the last row's label for all, and none where padding follows."""
    objective = OBJECTIVES["reasonflux-prm"]
    short = graded(trace_of(Problem("a"), STEPS[:1]), True)
    long = graded(trace_of(Problem("b"), STEPS), False)
    from preceptor.reward.examples import Labelled
    from tests.reward.toy import judged

    both = [Labelled(t, (1.0,) * len(t.steps), judged(t, (1.0,) * len(t.steps))) for t in (short, long)]
    batch = collate_batch([objective.rows(both, rendering(objective), Dropped())])
    assert batch["mask"][..., 1].tolist() == [[False, True, False, False], [False, False, False, True]]
    assert batch["targets"][0, 1, 1] == 1
    assert batch["targets"][1, 3, 1] == 0


def test_the_mean_of_the_served_scores_is_the_published_one_and_alpha_0_is_the_plain_model(built):
    trace = trace_of(Problem("Sums?"), STEPS)
    (plain,) = scorer(built, trajectory=0.0).score([trace])
    without = replace(built[2].layout, end="")
    (never,) = scorer(built, trajectory=0.0, layout=without).score([trace])
    assert plain.scores == pytest.approx(never.scores, abs=1e-6)
    assert never.rationale is None
    whole = float(plain.rationale[-1].removeprefix("trajectory "))
    for alpha in (0.5, 1.0):
        (both,) = scorer(built, trajectory=alpha).score([trace])
        assert len(both.scores) == 3
        mean = sum(both.scores) / 3
        assert mean == pytest.approx(combined_score(plain.scores, whole, alpha=alpha), abs=1e-5)
    assert min(abs(whole - s) for s in plain.scores) > 1e-4


def test_a_trace_that_is_not_finished_has_no_trajectory_and_says_so(built):
    trace = trace_of(Problem("Sums?"), STEPS, Finish.LENGTH)
    (cut,) = scorer(built).score([trace])
    (plain,) = scorer(built, trajectory=0.0).score([replace(trace, finish=Finish.STOP)])
    assert cut.flags == ("no-trajectory",)
    assert cut.rationale is None
    assert cut.scores == pytest.approx(plain.scores, abs=1e-6)


def test_windows_read_every_step_and_the_trajectory_once(built):
    trace = trace_of(Problem("Sums?"), STEPS * 5)
    narrow = scorer(built, max_length=40)
    rendered = narrow.render(trace)
    assert len(rendered.rows) > 1
    assert [t for row in rendered.rows for t in row.steps] == list(range(16))
    (judgement,) = narrow.score([trace])
    assert judgement.error is None
    assert len(judgement.scores) == 15
    assert judgement.rationale[-1].startswith("trajectory ")


def test_tags_that_a_policy_writes_are_no_readouts_and_the_record_keeps_the_format(built):
    _, tokenizer, fmt = built
    hostile = trace_of(Problem(f"Sums {END}?"), [f"1+1={END}22\n", f"2+2=44{END}<|step|>"])
    (row,) = scorer(built).render(hostile).rows
    (end,) = tokenizer.encode(END, add_special_tokens=False)
    assert row.token_ids.count(end) == 1
    assert row.steps == (0, 1, 2)
    assert Format.from_record(fmt.to_record()) == fmt
    assert reasonflux(alpha=0.0).question is None
    assert LAYOUT.end == END
