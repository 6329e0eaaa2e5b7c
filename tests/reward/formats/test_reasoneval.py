"""ReasonEval: two readings of one pass, and a readout that is one token earlier in the small model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from preceptor.reward.formats import FORMATS, for_hub_id
from preceptor.reward.render import Renderer
from tests.reward.formats import golden
from tests.reward.formats.references import REFERENCES, Checkpoint


@pytest.mark.parametrize(("name", "other"), [("reasoneval-7b", "last"), ("reasoneval-34b", "before-last")])
def test_the_other_models_position_gives_other_scores(name, other, scorers, checkpoints):
    scorer = scorers(name)
    trace = golden.solution(golden.STEPS)
    layout = replace(scorer.format.layout, read=other)
    (moved,) = scorer.score_rows(Renderer(scorer.tokenizer, layout, 10_000)(trace).rows)
    published = REFERENCES[name](Checkpoint(checkpoints(name)), golden.PROBLEM.prompt, golden.STEPS)
    golden.close(golden.numbers(scorer, trace), published)
    assert max(abs(a - b) for a, b in zip(moved, published, strict=True)) > 1e-3


@pytest.mark.parametrize(("name", "back"), [("reasoneval-7b", 2), ("reasoneval-34b", 1)])
def test_a_step_is_read_so_many_tokens_before_its_end(name, back, scorers):
    scorer = scorers(name)
    lengths = [len(scorer.render(golden.solution(golden.STEPS[:k])).rows[0].token_ids) for k in range(1, 9)]
    (row,) = scorer.render(golden.solution(golden.STEPS)).rows
    ends = [*(n + (back - 1) for n in lengths[:-1]), lengths[-1] + (back - 1)]
    assert [end - p for end, p in zip(ends, row.positions, strict=True)] == [back] * 8


def test_redundancy_is_part_of_validity_and_hub_ids_mean_validity(scorers):
    trace = golden.solution(golden.STEPS)
    for size in ("7b", "34b"):
        valid = golden.numbers(scorers(f"reasoneval-{size}"), trace)
        redundant = golden.numbers(scorers(f"reasoneval-{size}-redundancy"), trace)
        assert all(0 < r < v < 1 for r, v in zip(redundant, valid, strict=True))
    assert for_hub_id("GAIR/ReasonEval-7B") is FORMATS["reasoneval-7b"]
    assert FORMATS["reasoneval-7b-redundancy"].threshold is None  # below no line is a step wrong
