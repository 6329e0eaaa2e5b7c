"""Whole traces: one per problem and draw, graded and cut; token fields only where they are complete."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from preceptor.errors import InputError, ModelError
from preceptor.generation import Continuation, Request, Sampling
from preceptor.policy import TransformersPolicy, load_policy, sample, tokens_until, trace_of
from preceptor.trace import Finish, Problem, Verdict

PROBLEM = Problem("12*7?", gold="84", grader="numeric")


class Writer:
    """Writes the right answer on even draws, fails on draw 3."""

    fingerprint = "writer"

    def generate(self, requests: Sequence[Request]) -> list[Continuation]:
        return [self._one(r) for r in requests]

    def _one(self, r: Request) -> Continuation:
        if r.draw == 3:
            return Continuation.failed("timeout", "30 s passed")
        text = "12*7=84\nAnswer: 84\n" if r.draw % 2 == 0 else "12*7=74\nAnswer: 74\n"
        ends = tuple(range(1, len(text) + 1))
        return Continuation(text, Finish.STOP, tuple(map(ord, text)), ends, (-0.5,) * len(text))


def test_a_trace_per_problem_and_draw_with_grade_steps_and_tokens():
    told: list[tuple[int, int, str]] = []
    traces = sample(Writer(), [PROBLEM], samples=5, seed=7, progress=lambda *a: told.append(a))
    assert [t.draw for t in traces] == [0, 1, 2, 3, 4]
    assert [t.grade.verdict for t in traces if t.grade] == [
        Verdict.CORRECT,
        Verdict.INCORRECT,
        Verdict.CORRECT,
        Verdict.UNDECIDED,
        Verdict.CORRECT,
    ]
    assert traces[0].step_texts == ["12*7=84\n", "Answer: 84\n"]
    assert {(t.seed, t.policy) for t in traces} == {(7, "writer")}
    assert traces[0].logprobs
    assert len(traces[0].logprobs) == len(traces[0].token_ids or ())
    assert told[-1] == (5, 5, "correct 3/5")


def test_a_failed_draw_is_a_trace_that_says_so():
    trace = sample(Writer(), [PROBLEM], samples=4)[3]
    assert (trace.finish, trace.text, trace.steps) == (Finish.ERROR, "", ())
    assert trace.error is not None
    assert trace.error.kind == "timeout"
    assert trace.grade is not None
    assert trace.grade.verdict is Verdict.UNDECIDED


def test_a_continued_trace_keeps_the_tokens_of_the_part_it_came_from():
    earlier = sample(Writer(), [PROBLEM], samples=1)[0]
    prefix = earlier.prefix(1)
    rest = Continuation("Answer: 85\n", Finish.STOP, (1, 2), (7, 11), (-1.0, -2.0))
    trace = trace_of(PROBLEM, rest, prefix, earlier=earlier)
    assert trace.text == "12*7=84\nAnswer: 85\n"
    assert trace.token_ids == (*map(ord, prefix), 1, 2)
    assert trace.token_ends is not None
    assert trace.token_ends[-3:] == (8, 15, 19)
    assert trace.logprobs is not None
    assert trace.logprobs[-3:] == (-0.5, -1.0, -2.0)
    assert trace.parent == earlier.id
    alone = trace_of(PROBLEM, rest, prefix)
    assert (alone.token_ids, alone.token_ends, alone.logprobs, alone.parent) == (None, None, None, None)


def test_the_tokens_of_a_prefix_are_whole_and_no_more_than_needed():
    text = "a\n€"
    tokens = Continuation(text, Finish.STOP, (1, 2, 3, 4, 5, 6), (1, 2, 2, 2, 3, 3), (-1.0,) * 6)
    trace = trace_of(Problem("p"), tokens)
    assert [tokens_until(trace, end) for end in (0, 1, 2, 3)] == [0, 1, 2, 5]
    assert trace.token_ids is not None
    straddling = trace_of(Problem("p"), Continuation("ab\nc", Finish.STOP, (1, 2), (1, 4), (-1.0, -1.0)))
    assert tokens_until(straddling, 3) is None


def test_with_a_store_a_second_call_samples_nothing(tmp_path: Path):
    from preceptor.store import Store

    class Counting(Writer):
        asked = 0

        def generate(self, requests: Sequence[Request]) -> list[Continuation]:
            self.asked += len(requests)
            return super().generate(requests)

    policy = Counting()
    with Store(tmp_path / "store.sqlite") as store:
        first = sample(policy, [PROBLEM], samples=3, store=store)
        again = sample(policy, [PROBLEM], samples=3, store=store)
    assert policy.asked == 3
    assert [t.id for t in first] == [t.id for t in again]


def test_a_model_writes_traces_whose_prefixes_can_be_continued_by_ids(tiny_policy_dir: Path):
    policy = load_policy(str(tiny_policy_dir), device="cpu")
    traces = sample(policy, [PROBLEM], samples=6, sampling=Sampling(max_tokens=40))
    assert isinstance(policy, TransformersPolicy)
    for trace in traces:
        assert "".join(trace.step_texts) == trace.text
        for t in range(len(trace.steps)):
            count = tokens_until(trace, trace.steps[t].start)
            if count:
                ids = (trace.token_ids or ())[:count]
                assert policy.tokenizer.decode(list(ids)) == trace.prefix(t)


@pytest.mark.parametrize(
    "spec",
    ["", "nonsense", "world:moon", "openai:localhost", "openai:http://x", "./no/such/dir", "a/b/c", "/no"],
)
def test_a_word_that_names_no_policy_is_an_input_error_with_the_forms(spec: str):
    with pytest.raises(InputError, match="xpected"):
        load_policy(spec)


def test_a_directory_without_a_model_is_a_model_error(tmp_path: Path):
    with pytest.raises(ModelError, match=r"config\.json"):
        load_policy(str(tmp_path))


def test_at_least_one_sample_is_asked_for():
    with pytest.raises(ValueError, match="samples"):
        sample(Writer(), [PROBLEM], samples=0)
