"""Specifies what is done to attempts that went wrong: interventions, corrections, feedback, retries.

Run: python -m pytest tests/learn/data/test_repairs.py
"""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from preceptor.annotate.tools import WorldOracle
from preceptor.credit import METHODS, compute
from preceptor.errors import InputError
from preceptor.generation import Request
from preceptor.learn.data import R3L, Interventions, ScopeCorrect, ThinkTuning, items_of, opmd_advantages
from preceptor.learn.data.intervention import intervention_of
from preceptor.learn.data.r3l import reflection_of
from preceptor.policy import ScriptedPolicy, TransformersPolicy
from preceptor.trace import Finish, Problem
from preceptor.worlds.arithmetic_oracle import State
from tests.learn.data.toys import END, PROBLEM, RIGHT, WRONG, Loop, Says, trace

FAILED = trace(WRONG, draw=1)


def finish_rightly(request: Request) -> str:
    """Go on from any prefix by right steps."""
    state = State.of(PROBLEM)
    for line in request.prefix.splitlines(keepends=True):
        state.take(line)
    return ScriptedPolicy(0.0).generate([replace(request, problem=PROBLEM)])[0].text


def names(step: int, text: str) -> Says:
    """Names a step and a replacement when it is asked, and otherwise goes on rightly."""
    said = "I see.\n" + json.dumps({"step": step, "replacement": text})
    return Says(lambda r: said if "<reference>" in r.problem.prompt else finish_rightly(r))


# int


def test_an_intervention_trains_the_prefix_and_the_new_step_and_no_token_after_it() -> None:
    made = Interventions(names(2, "84-30=54"), rollouts=4).build([FAILED])
    (row,) = made.rows
    assert row.text == "12*7=84\n84-30=54\n"
    assert all(p.trained for p in row.pieces)
    assert row.pieces[0].token_ids == FAILED.token_ids[:8]
    assert not row.end
    assert made.kept[0].counts == (4, 4)
    assert END not in (row.pieces[0].token_ids or ())


def test_the_reference_is_in_the_question_and_never_in_what_is_trained_on() -> None:
    problem = replace(PROBLEM, reference=("SECRET\n",))
    policy = names(2, "84-30=54")
    made = Interventions(policy, rollouts=2).build([trace(WRONG, problem)])
    assert "SECRET" in policy.asked[0].problem.prompt
    assert all("SECRET" not in r.problem.prompt + r.prefix for r in policy.asked[1:])
    (row,) = made.rows
    assert row.problem == problem
    assert "SECRET" not in row.problem.prompt + row.text


def test_only_interventions_that_raise_success_are_kept_and_the_others_are_counted() -> None:
    bad = names(2, "84-30=64")
    assert Interventions(bad).build([FAILED]).dropped == {"no-change": 1}
    lost = names(1, "12+7=19")
    found = Interventions(lost, rollouts=3).build(
        [FAILED, trace(RIGHT), trace(WRONG, replace(PROBLEM, reference=()))]
    )
    assert found.kept == ()
    assert found.dropped == {"no-success": 1, "not-failed": 1, "no-reference": 1}


def test_what_cannot_be_read_is_no_intervention_and_a_replacement_is_one_step() -> None:
    for text in (
        "",
        "{",
        '{"step": 9, "replacement": "1"}',
        '{"step": 0, "replacement": "1"}',
        '{"step": "2"}',
    ):
        assert intervention_of(FAILED, text) == "unreadable"
    said = json.dumps({"step": 2, "replacement": "84-30=54\nAnswer: 54"})
    assert intervention_of(FAILED, said).text == "84-30=54\n"


# scope_correct


def test_a_wrong_attempt_is_replaced_from_its_first_wrong_step_and_the_group_keeps_its_size() -> None:
    items = items_of([FAILED, trace(WRONG, draw=2), trace(WRONG, draw=3)])
    before = compute([x.rollout for x in items], None, METHODS["outcome"])
    assert not any(np.any(a) for a in before.advantages)
    out = ScopeCorrect(WorldOracle(), Says(finish_rightly)).amend(items, Loop(Says(lambda r: "")))
    assert [x.outcome for x in out] == [1.0, 0.0, 0.0]
    assert out[1:] == items[1:]
    new = out[0].trace
    assert new.text == "".join(RIGHT)
    assert new.parent == FAILED.id
    kept = len(RIGHT[0])
    assert out[0].off_policy == (False,) * kept + (True,) * (len(new.token_ids) - kept)
    assert new.token_ids[:kept] == FAILED.token_ids[:kept]
    after = compute([x.rollout for x in out], None, METHODS["outcome"])
    assert after.advantages[0][0] > 0 > after.advantages[1][0]


def test_a_correction_that_is_wrong_again_and_a_limit_of_0_change_nothing() -> None:
    items = items_of([FAILED, trace(RIGHT)])
    loop = Loop(Says(lambda r: ""))
    assert ScopeCorrect(WorldOracle(), Says(lambda r: "Answer: 1\n")).amend(items, loop) == items
    assert ScopeCorrect(WorldOracle(), Says(finish_rightly), limit=0).amend(items, loop) == items
    two = ScopeCorrect(WorldOracle(), Says(finish_rightly), limit=2)
    assert [x.note for x in two.amend(items_of([FAILED, trace(WRONG), trace(WRONG)]), loop)] == [
        "corrected"
    ] * 2 + [""]


def test_the_reference_corrects_only_where_the_kept_steps_are_its_own() -> None:
    loop = Loop(Says(lambda r: ""))
    own = ScopeCorrect(WorldOracle())
    assert own.amend(items_of([FAILED]), loop)[0].trace.text == "".join(RIGHT)
    other = trace(("7*12=84\n", *WRONG[1:]))
    assert own.amend(items_of([other]), loop)[0].note == ""


def test_a_correction_comes_in_the_tokens_of_the_model_in_training(tiny_policy_dir) -> None:
    policy = TransformersPolicy.load(tiny_policy_dir)
    read = policy.likelihood([Request(PROBLEM)], ["".join(WRONG)])[0]
    wrong = replace(FAILED, token_ids=read.token_ids, token_ends=read.token_ends)
    out = ScopeCorrect(WorldOracle(), Says(finish_rightly)).amend(items_of([wrong]), Loop(policy))
    ids = out[0].trace.token_ids
    assert policy.tokenizer.decode(ids[:-1]) == "".join(RIGHT)
    assert ids[-1] == policy.tokenizer.eos_token_id
    assert out[0].trace.logprobs is None
    assert out[0].rollout.length == len(ids)


# thinktuning


def advised(fraction: float, **more) -> tuple[list, list]:
    items = items_of([trace(WRONG, draw=k) for k in range(20)])
    hook = ThinkTuning(Says(lambda r: "Wait, 84-30 is not 64.", name="teacher"), fraction, **more)
    return items, hook.amend(items, Loop(Says(lambda r: "84-30=54\nAnswer: 54\n")))


def test_a_fraction_of_0_is_plain_grpo_and_of_1_every_rollout() -> None:
    items, out = advised(0.0)
    assert out == items
    assert all(x.note == "advised" for x in advised(1.0)[1])
    assert 0 < sum(x.note == "advised" for x in advised(0.25)[1]) < 15


def test_the_whole_text_is_trained_in_its_group_and_only_the_teachers_tokens_are_off_policy() -> None:
    items, out = advised(1.0)
    new = out[0]
    assert new.trace.text == "".join(WRONG) + "Wait, 84-30 is not 64.\n84-30=54\nAnswer: 54\n"
    assert new.outcome == 1.0
    assert new.group == items[0].group
    marked = "".join(chr(t) for t, off in zip(new.trace.token_ids, new.off_policy, strict=True) if off)
    assert marked == "Wait, 84-30 is not 64.\n"
    assert END not in new.trace.token_ids[:-1]
    assert new.model_mask is None


def test_cut_attempts_are_left_alone_and_a_silent_teacher_changes_nothing() -> None:
    cut = items_of([trace(WRONG, finish=Finish.LENGTH)])
    loop = Loop(Says(lambda r: "more\n"))
    assert ThinkTuning(Says(lambda r: "no"), 1.0).amend(cut, loop) == cut
    whole = items_of([FAILED])
    assert ThinkTuning(Says(lambda r: " "), 1.0).amend(whole, loop) == whole
    with pytest.raises(InputError, match="fraction"):
        ThinkTuning(Says(lambda r: ""), 1.5)


# r3l


def reflects(said: str, retry: str = "84-30=54\nAnswer: 54\n") -> Says:
    return Says(lambda r: said if "Is this attempt perfect" in r.problem.prompt else retry)


BAD = '{"perfect": false, "why": "64", "retry_from_step": 2}'


def test_a_retry_starts_at_the_pivot_and_the_shared_prefix_has_no_gradient() -> None:
    policy = reflects(BAD)
    out = R3L().amend(items_of([FAILED]), Loop(policy))
    first, retry, reflection, guided = out
    kept = len(WRONG[0])
    assert retry.trace.text == "".join(RIGHT)
    assert first.model_mask[:kept] == retry.model_mask[:kept] == guided.model_mask[:kept] == (False,) * kept
    assert all(first.model_mask[kept:])
    assert all(retry.model_mask[kept:])
    assert policy.asked[1].prefix == WRONG[0]
    advantages = compute([x.rollout for x in (first, retry)], None, METHODS["outcome"]).advantages
    assert not any(np.any(a[:kept]) for a in advantages)
    assert all(np.all(a[kept:] != 0) for a in advantages)
    assert reflection.note == "reflection"


def test_the_trained_copy_has_no_guidance_and_the_guided_one_is_its_own_group_of_reward_1() -> None:
    first, retry, reflection, guided = R3L().amend(items_of([FAILED]), Loop(reflects(BAD)))
    assert retry.trace.problem == PROBLEM
    assert retry.group == first.group == PROBLEM.id
    assert BAD in guided.trace.problem.prompt
    assert (reflection.outcome, guided.outcome) == (1.0, 1.0)
    assert len({first.group, reflection.group, guided.group}) == 3
    groups, rewards = zip(*[(x.group, x.outcome) for x in (first, retry, reflection, guided)], strict=True)
    assert opmd_advantages(rewards, groups).tolist() == [-0.5, 1.0, 1.0, 1.0]


def test_an_invalid_reflection_a_perfect_attempt_and_a_retry_that_fails_add_nothing_of_reward_1() -> None:
    items = items_of([FAILED])
    for said in (
        "",
        "{}",
        '{"perfect": false, "retry_from_step": 9}',
        '{"perfect": false, "retry_from_step": 0}',
    ):
        assert R3L().amend(items, Loop(reflects(said))) == items
    assert R3L().amend(items, Loop(reflects('{"perfect": true}'))) == items
    out = R3L().amend(items, Loop(reflects(BAD, "84-30=1\nAnswer: 1\n")))
    assert [x.outcome for x in out] == [0.0, 0.0]
    (_, praised) = R3L().amend(items_of([trace(RIGHT)]), Loop(reflects('{"perfect": true}')))
    assert (praised.note, praised.outcome) == ("reflection", 1.0)


def test_a_group_of_all_failures_gives_only_signals_that_are_not_positive() -> None:
    assert opmd_advantages([0.0] * 4, ["a"] * 4).tolist() == [0.0] * 4
    assert (opmd_advantages([-1.0, -1.0], ["a", "a"]) <= 0).all()
    assert opmd_advantages([1, 1, 0, 0.6], ["a", "a", "a", "b"]).tolist() == pytest.approx([1, 1, -2 / 3, 0])
    assert opmd_advantages([0.2, 0.0], ["a", "a"]).tolist() == pytest.approx([0.3, -0.1])


def test_a_reflection_is_read_strictly() -> None:
    assert reflection_of('so {"perfect": false, "retry_from_step": 1}', 3).pivot == 0
    assert reflection_of('{"perfect": "maybe", "retry_from_step": 1}', 3) is None
    assert reflection_of('{"perfect": false}', 3) is None


def test_undecided_attempts_are_not_touched() -> None:
    unknown = items_of([trace(WRONG, Problem("?", None, grader="numeric"))])
    policy = reflects(BAD)
    assert R3L().amend(unknown, Loop(policy)) == unknown
    assert policy.asked == []


def test_attempts_that_an_environment_answered_are_not_continued_as_text() -> None:
    played = replace(FAILED, sampled=tuple(k > 8 for k in range(len(FAILED.token_ids))))
    items, loop = items_of([played]), Loop(Says(lambda r: "84-30=54\nAnswer: 54\n"))
    assert ScopeCorrect(WorldOracle(), Says(finish_rightly)).amend(items, loop) == items
    assert ThinkTuning(Says(lambda r: "Wait."), 1.0).amend(items, loop) == items
    assert R3L().amend(items, Loop(reflects(BAD))) == items
    assert Interventions(names(2, "84-30=54")).build([played]).dropped == {"needs-environment": 1}
