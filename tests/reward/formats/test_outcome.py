"""Outcome models: one score for the whole solution, read behind the end of the answer's turn."""

from __future__ import annotations

import pytest

from preceptor.reward.formats import FORMATS
from tests.reward.formats import golden

NAMES = ["qwen-rm", "acemath-rm"]


@pytest.mark.parametrize("name", NAMES)
def test_the_score_is_read_at_the_last_token_of_the_rendered_chat(name, scorers):
    scorer = scorers(name)
    (row,) = scorer.render(golden.solution(golden.STEPS)).rows
    assert row.positions == (len(row.token_ids) - 1,)
    assert row.steps == (7,)
    assert scorer.tokenizer.convert_ids_to_tokens(row.token_ids[-2:]) == ["<|im_end|>", "Ċ"]


@pytest.mark.parametrize("name", [*NAMES, "reasonflux-1.5b"])
def test_how_a_solution_is_cut_into_steps_does_not_matter(name, scorers):
    scorer = scorers(name)
    whole = "\n".join(golden.STEPS)
    golden.close(
        golden.numbers(scorer, golden.solution([whole])),
        golden.numbers(scorer, golden.solution(golden.STEPS)),
    )


def test_what_is_from_memory_is_marked_in_the_record():
    marked = " ".join(FORMATS["acemath-rm"].unsure)
    assert marked.count("(from memory)") == 2
    assert "not found" in " ".join(FORMATS["qwen-rm"].unsure)
    prompts = [FORMATS[name].layout.prompt.system for name in NAMES]
    assert prompts[0].replace("put", "check") == prompts[1]
