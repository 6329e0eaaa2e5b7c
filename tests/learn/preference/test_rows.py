"""Specifies rows: sampled ids as they are, text encoded once, nothing added, mismatches for KTO's z0."""

from __future__ import annotations

import pytest
import torch

from preceptor.errors import InputError
from preceptor.generation import Request, Sampling
from preceptor.learn.preference import Attempt, Pair, Piece, piece
from preceptor.learn.preference.rows import Encoder, with_reference
from preceptor.policy import TransformersPolicy, sample
from preceptor.policy.render import prompt_ids, text_ids
from tests.learn.preference.toys import attempts, pairs, problem


@pytest.fixture(scope="module")
def policy(tiny_policy_dir) -> TransformersPolicy:
    return TransformersPolicy.load(tiny_policy_dir, dtype="float32")


def test_sampled_ids_go_into_the_rows_untouched(policy) -> None:
    one, two = sample(policy, [problem()], 2, 0, Sampling(max_tokens=40))
    cut = next(k for k in range(1, len(one.steps) + 1) if piece(one, 0, k) is not None)
    prefix, chosen = piece(one, 0, cut), piece(one, cut, len(one.steps)) or Piece("x")
    rejected = piece(two, 0, len(two.steps))
    if not chosen.text:
        chosen = rejected
    (row,) = Encoder(policy).pairs([Pair(problem(), prefix, chosen, rejected)])
    before = (*prompt_ids(policy.tokenizer, problem()), *prefix.ids)
    assert row.sequences == ((*before, *chosen.ids), (*before, *rejected.ids))
    assert [(p.start, p.end) for p in row.parts] == [(len(before), len(s)) for s in row.sequences]


def test_text_without_ids_is_encoded_once_behind_its_prefix_and_nothing_is_added(policy) -> None:
    encoder = Encoder(policy)
    (row, *_) = encoder.pairs(pairs(1))
    pair = pairs(1)[0]
    ids = [text_ids(policy.tokenizer, p.text) for p in (pair.prefix, pair.chosen)]
    assert list(row.sequences[0]) == prompt_ids(policy.tokenizer, pair.problem) + ids[0] + ids[1]
    assert policy.tokenizer.eos_token_id not in row.sequences[0] + row.sequences[1]
    assert encoder.encoded == 3


def test_an_end_of_text_that_was_sampled_is_trained_on(policy) -> None:
    end = policy.tokenizer.eos_token_id
    ids = (*text_ids(policy.tokenizer, "7\n"), end)
    (row,) = Encoder(policy).attempts([Attempt(problem(), Piece("7\n", ids))])
    assert row.sequences[0][-1] == end
    assert row.parts[0].end == len(row.sequences[0])


def test_ids_of_another_tokenizer_are_refused(policy) -> None:
    encoder = Encoder(policy)
    ids = tuple(text_ids(policy.tokenizer, "8\n"))
    with pytest.raises(InputError, match="another tokenizer's"):
        encoder.attempts([Attempt(problem(), Piece("7\n", ids))])
    with pytest.raises(InputError, match="less than"):
        encoder.attempts([Attempt(problem(), Piece("7\n", (10**6,)))])


def test_records_beyond_the_context_are_counted_not_cut(policy) -> None:
    encoder = Encoder(policy)
    long = Attempt(problem(), Piece("7\n" * 400))
    assert len(encoder.attempts([long, Attempt(problem(), Piece("7\n"))])) == 1
    assert encoder.dropped == {"too-long": 1}


def test_the_reference_is_the_probability_that_the_policy_itself_gives(policy) -> None:
    rows = with_reference(policy.model, Encoder(policy).pairs(pairs(5)), 0, 2)
    for row, pair in zip(rows, pairs(5), strict=True):
        for value, side in zip(row.reference, (pair.chosen, pair.rejected), strict=True):
            request = Request(pair.problem, pair.prefix.text)
            (read,) = policy.likelihood([request], [side.text])
            assert value == pytest.approx(sum(read.logprobs), abs=1e-3)


def test_step_ktos_rows_have_outcome_steps_and_an_answer_to_another_problem(policy) -> None:
    given = [*attempts(3), Attempt(problem("q2"), Piece("1\n"), None, ((0, 1, False),))]
    rows = Encoder(policy).labelled(given)
    at = rows[0].parts[0].start
    own = [(p.start - at, p.end - at, p.good, p.share) for p in rows[0].parts[:-1]]
    size = rows[0].parts[0].end - at
    assert own == [(0, size, True, 1.0), (0, 2, True, 0.5), (2, 5, True, 0.5)]
    assert [len(r.parts) for r in rows] == [4, 4, 4, 2]
    # the first takes the last one's; the last does not take that of its own problem
    assert policy.tokenizer.decode(rows[0].sequences[1]).endswith("1\n")
    assert policy.tokenizer.decode(rows[3].sequences[1]).endswith("1+1=8\n")
    assert all(r.parts[-1].mismatched for r in rows)


def test_step_kto_needs_two_problems_and_steps_inside_the_answer(policy) -> None:
    with pytest.raises(InputError, match="at least two"):
        Encoder(policy).labelled(attempts(1))
    bad = Attempt(problem("other"), Piece("7\n"), True, ((0, 99, True),))
    with pytest.raises(InputError, match="inside the response"):
        Encoder(policy).labelled([*attempts(1), bad])


def test_reading_the_reference_leaves_no_gradient_and_the_mode_alone(policy) -> None:
    policy.model.train()
    rows = with_reference(policy.model, Encoder(policy).pairs(pairs(2)), 0, 2)
    assert policy.model.training
    policy.model.eval()
    assert all(p.grad is None for p in policy.model.parameters())
    assert all(isinstance(v, float) and torch.isfinite(torch.tensor(v)) for r in rows for v in r.reference)
