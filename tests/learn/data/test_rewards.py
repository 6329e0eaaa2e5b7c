"""Specifies tasks made of solutions and their rewards: SRL, MR-RLVR, R^3, SCRL, h1.

Run: python -m pytest tests/learn/data/test_rewards.py
"""

from __future__ import annotations

import random
import time

import numpy as np
import pytest

from preceptor.annotate.tools import WorldOracle
from preceptor.credit import token_spans
from preceptor.errors import InputError
from preceptor.grade.calculator import states_its_value
from preceptor.learn.data import MRRLVR, R3, SRL, Horizon, h1, items_of, mr_rlvr, r3, scrl, srl
from preceptor.learn.data.srl import similarity
from preceptor.policy import ScriptedPolicy, prompt_ids, sample
from preceptor.trace import Finish, Problem
from preceptor.worlds import arithmetic
from tests.learn.data.toys import PROBLEM, RIGHT, WRONG, Loop, Says, trace

LOOP = Loop(Says(lambda r: ""))

# srl


def test_an_identical_action_is_1_and_thinking_changes_nothing() -> None:
    assert srl.reward("</think>12*7=84", "12*7=84\n") == 1.0
    assert srl.reward("so 12 boxes...</think>\n12*7=85\n", "12*7=84") == srl.reward(
        "</think>12*7=85", "12*7=84"
    )
    assert srl.reward("</think>12*7=85", "12*7=84") == pytest.approx(2 * 6 / 14)


def test_a_bad_format_is_minus_1() -> None:
    for text in ("12*7=84", "a</think>b</think>12*7=84", "a</think>", "</think>" + "9" * 3000):
        assert srl.reward(text, "12*7=84") == -1.0


def test_blocks_are_matched_longest_first_and_never_as_an_edit_distance() -> None:
    assert similarity("abXcd", "cdYab") == pytest.approx(2 * 2 / 10)
    assert similarity("", "") == 1.0
    assert similarity("abc", "xyz") == 0.0
    began = time.perf_counter()
    assert srl.reward("</think>" + "ab" * 1000, "ba" * 1000) > 0.9
    assert time.perf_counter() - began < 5


def test_flat_groups_are_not_trained_on_and_no_rollout_has_to_solve_the_problem() -> None:
    hook = SRL()
    task = hook.tasks(PROBLEM)[1]
    assert PROBLEM.reference[0] in task.prompt
    assert PROBLEM.reference[1].strip() not in task.prompt
    texts = ["</think>84-30=54", "</think>84+30=114", "nothing"]
    items = hook.amend(items_of([trace([t], task, draw=k) for k, t in enumerate(texts)]), LOOP)
    assert [x.outcome for x in items] == [1.0, similarity("84+30=114", "84-30=54"), -1.0]
    flat = hook.amend(items_of([trace([texts[0]], task, draw=k) for k in range(3)]), LOOP)
    assert [x.outcome for x in flat] == [None] * 3
    near = [
        srl.Item(trace([t], task), "g", r)
        for t, r in zip("ab", (0.5, 0.5 + 0.05 * 2**0.5 + 1e-9), strict=True)
    ]
    assert srl.spread(near, 0.05) == {"g"}  # the sample standard deviation: the population's would be below


def test_one_prefix_of_every_problem_is_asked_and_the_step_decides_which() -> None:
    problems = arithmetic("train", 20)
    first, again, later = (SRL().prepare(problems, s) for s in (0, 0, 1))
    assert first == again != later
    assert len({p.meta["step"] for p in first}) > 1


# mr_rlvr


def test_a_perfect_order_is_1_and_a_reversed_one_near_0() -> None:
    steps = [f"step {k}" for k in range(4)]
    assert mr_rlvr.order_reward("Order: 1 2 3 4", steps, steps) == 1.0
    assert mr_rlvr.order_reward("Order: 4 3 2 1", steps, steps) == 0.0
    assert mr_rlvr.order_reward("Order: 2 1", steps[:2], steps[:2]) == 0.0
    assert mr_rlvr.order_reward("Order: 3 2 1", steps[:3], steps[:3]) == pytest.approx(1 / 3)
    for n in (2, 3, 4):
        back = "Order: " + " ".join(map(str, range(n, 0, -1)))
        assert mr_rlvr.order_reward(back, steps[:n], steps[:n], "kendall") == 0.0


def test_what_is_no_order_of_all_steps_is_0_and_equal_steps_are_interchangeable() -> None:
    steps = ["a", "b", "a"]
    for text in ("", "Order: 1 2", "Order: 1 1 2", "Order: 1 2 3\nOrder: 3 2 1", "Order: 0 1 2"):
        assert mr_rlvr.order_reward(text, steps, steps) == 0.0
    for distance in ("positions", "kendall"):
        assert mr_rlvr.order_reward("Order: 3 2 1", steps, steps, distance) == 1.0


def test_the_shuffled_task_is_never_in_order_and_its_solution_scores_1() -> None:
    for problem in arithmetic("train", 30):
        task = mr_rlvr.reordered(problem)
        shown, steps = task.meta["shown"], task.meta["steps"]
        assert shown != steps
        order = [shown.index(s) + 1 for s in steps]
        assert mr_rlvr.order_reward("Order: " + " ".join(map(str, order)), shown, steps) == 1.0
    assert mr_rlvr.reordered(Problem("?", reference=("a\n", "a\n"))) is None


def test_filling_every_blank_is_1_half_of_them_one_half_and_nothing_0() -> None:
    task = mr_rlvr.masked(PROBLEM)
    hidden = task.meta["hidden"]
    assert len(hidden) == 4  # half of 12 7 84 84 30 54 54
    full = "\n".join(f"[{k}] {h}" for k, h in enumerate(hidden, 1))
    assert mr_rlvr.masked_reward(full, hidden) == 1.0
    assert mr_rlvr.masked_reward(full.replace(hidden[0], hidden[0] + ".0", 1), hidden) == 1.0
    assert mr_rlvr.masked_reward("\n".join(full.splitlines()[:2]), hidden) == 0.5
    assert mr_rlvr.masked_reward("", hidden) == 0.0
    assert mr_rlvr.masked_reward("[1] 1\n[1] " + hidden[0], hidden[:1]) == 0.0
    assert "[4]" in task.prompt
    assert mr_rlvr.masked(Problem("?", reference=("so be it\n",))) is None


def test_the_hook_makes_both_kinds_of_task_and_rewards_them() -> None:
    tasks = MRRLVR().prepare(arithmetic("train", 20), 0)
    assert {t.meta["task"] for t in tasks} == {"masked", "reordered"}
    items = MRRLVR().amend(items_of([trace(["nothing\n"], t) for t in tasks]), LOOP)
    assert {x.outcome for x in items} == {0.0}


# r3


def test_starts_lack_the_last_part_first_and_one_stage_is_plain_rl() -> None:
    assert r3.cuts(6, 6) == [5, 4, 3, 2, 1, 0]
    assert r3.cuts(3, 6) == [2, 2, 1, 1, 0, 0]
    assert R3(stages=1).prepare([PROBLEM], 7) == [PROBLEM]
    assert [p.meta.get("given", 0) for p in r3.starts(PROBLEM)] == [2, 1, 0]
    assert len({p.id for p in r3.starts(PROBLEM)}) == 3


def test_the_given_steps_are_prompt_tokens_the_very_ids_of_the_demonstration(tiny_policy_dir) -> None:
    from preceptor.policy import TransformersPolicy, text_ids

    tokenizer = TransformersPolicy.load(tiny_policy_dir).tokenizer
    begun = r3.start(PROBLEM, 2)
    given = text_ids(tokenizer, "".join(RIGHT[:2]))
    assert prompt_ids(tokenizer, begun) == [*prompt_ids(tokenizer, PROBLEM), *given]
    assert begun.world == ""
    assert begun.reference == RIGHT[2:]


def test_staged_starts_move_backwards_and_mixed_ones_use_every_stage() -> None:
    staged = R3(stages=3, schedule="staged", steps_per_stage=10)
    assert [staged.stage(PROBLEM, s) for s in (0, 9, 10, 25, 99)] == [1, 1, 2, 3, 3]
    assert {R3().stage(p, 0) for p in arithmetic("train", 60)} == {1, 2, 3, 4, 5, 6}


def test_a_wrong_number_earns_a_fifth_and_no_number_nothing() -> None:
    texts = (RIGHT, WRONG, ("Answer: many\n",), ("so\n",))
    items = R3().amend(items_of([trace(t) for t in texts]), LOOP)
    assert [x.outcome for x in items] == [1.0, 0.2, 0.0, 0.0]
    assert r3.reward(trace(RIGHT, Problem("?", None, grader="numeric"))) is None


# scrl


def test_a_task_asks_for_results_on_the_way_and_last_for_the_problem_itself() -> None:
    for problem in arithmetic("train", 30, operations=(4, 7)):
        parts = scrl.subproblems(problem)
        assert len(parts) == 3
        assert parts[-1].gold == problem.gold
        for part in parts[:-1]:
            assert states_its_value(part.question[8:-1], part.gold)
        assert scrl.task(problem).gold == problem.gold
    assert [len(scrl.subproblems(PROBLEM, k)) for k in (1, 2, 9)] == [1, 2, 2]
    assert scrl.task(PROBLEM, 1) is PROBLEM


def test_correctness_is_by_position_and_missing_doubled_or_misplaced_answers_are_0() -> None:
    task = scrl.task(PROBLEM, 2)
    texts = [
        "12*7=84\nAnswer 1: 84\n84-30=54\nAnswer 2: 54\n",
        "Answer 1: 84\nAnswer 2: 64\n",
        "Answer 2: 54\n",
        "Answer 1: 83\nAnswer 1: 84\nAnswer 2: 54\n",
        "Answer 2: 54\nAnswer 1: 84\n",
    ]
    got = scrl.correctness([trace([t], task) for t in texts])
    assert got.tolist() == [[1, 1], [1, 0], [0, 1], [0, 1], [1, 0]]
    assert trace([texts[0]], task).grade.correct


def test_one_subproblem_is_the_outcome_and_an_all_wrong_group_still_has_signal_earlier() -> None:
    assert scrl.correctness([trace(RIGHT), trace(WRONG)]).tolist() == [[1.0], [0.0]]
    task = scrl.task(PROBLEM, 2)
    c = scrl.correctness([trace([f"Answer 1: {k}\nAnswer 2: 1\n"], task) for k in (84, 83)])
    assert c[:, 1].std() == 0
    assert c[:, 0].std() > 0
    none = scrl.correctness([trace(RIGHT, Problem("?", None, grader="numeric"))])
    assert np.isnan(none).all()


def test_each_answers_span_goes_from_behind_the_last_answer_to_behind_its_own() -> None:
    task = scrl.task(PROBLEM, 2)
    made = scrl.recut(trace(["12*7=84\n", "Answer 1: 84\n", "84-30=54\n", "Answer 2: 54\n"], task))
    assert made.step_texts == ["12*7=84\nAnswer 1: 84\n", "84-30=54\nAnswer 2: 54\n"]
    assert token_spans([s.end for s in made.steps], made.token_ends) == ((0, 21), (21, len(made.token_ids)))
    assert scrl.recut(trace(["Answer 2: 54\n"], task)).step_texts == ["", "Answer 2: 54\n"]


# h1

POOL = arithmetic("train", 60, operations=(2, 3), distractors=(0, 0))


def test_horizon_1_is_the_base_data() -> None:
    assert h1.compose(POOL[:1]) is POOL[0]
    assert h1.chains(POOL, 1, 5) == list(POOL[:5])
    assert Horizon(POOL).prepare(POOL[:3], 0) == list(POOL[:3])


@pytest.mark.parametrize("horizon", [2, 3])
def test_every_links_answer_is_needed(horizon: int) -> None:
    for chain in h1.chains(POOL, horizon, 8):
        assert chain.meta["horizon"] == horizon
        assert chain.reference[-1] == f"Answer: {chain.gold}\n"
        for given in range(len(chain.meta["givens"])):
            assert h1.moved(chain, given) != int(chain.gold), "a constant of a link does not matter"
        assert chain.prompt.count("Call the answer") == horizon - 1
        assert chain.prompt.count("(A") == 1


def test_the_worlds_oracle_judges_a_chain_and_its_reference_is_right() -> None:
    chains = h1.chains(POOL, 3, 8)
    for chain in chains:
        (judged,) = WorldOracle().score([trace(chain.reference, chain)])
        assert set(judged.scores) == {1.0}
    assert all(t.grade.correct for t in sample(ScriptedPolicy(0.0), chains, 1))


def test_changing_the_first_links_constant_changes_the_gold_by_what_the_chain_does_to_it() -> None:
    first = next(p for p in POOL if p.meta["nodes"][-1][0] in "+-")
    for second in POOL:
        chain = h1.compose([first, second]) if second is not first else None
        if chain is None:
            continue
        ends = [h1.moved(chain, k) for k in range(len(first.meta["givens"]))]
        assert int(chain.gold) not in ends
        break
    else:
        pytest.fail("no link fits")


def test_the_horizon_advances_above_the_threshold_or_at_the_cap_and_never_beyond_the_last() -> None:
    good, bad = [(1, 0.8)] * 5, [(1, 0.7)] * 5
    assert h1.horizon_after([]) == 1
    assert h1.horizon_after(good[:4]) == 1
    assert h1.horizon_after(good) == 2
    assert h1.horizon_after(bad) == 1
    assert h1.horizon_after(bad * 40) == 2
    assert h1.horizon_after([*good, (2, 1.0)]) == 2
    assert h1.horizon_after([(5, 1.0)] * 5) == 5


def test_the_hook_follows_success() -> None:
    hook = Horizon(POOL, window=2)
    for step in range(2):
        hook.amend(items_of([trace(RIGHT)]), LOOP)
        assert len(hook.prepare(POOL[:2], step)) == 2
    assert hook.now == 2
    assert {p.meta["horizon"] for p in hook.prepare(POOL[:4], 3)} == {2}


def test_links_of_other_worlds_are_refused() -> None:
    with pytest.raises(InputError, match="arithmetic"):
        h1.compose([Problem("?", "1")])
    with pytest.raises(InputError, match="arithmetic"):
        scrl.subproblems(Problem("?", "1"))


def test_hostile_text_costs_no_time() -> None:
    rng = random.Random(0)
    began = time.perf_counter()
    for unit in ("[1] ", "order: ", "Answer 1: ", "\n\t ", "1 ,", "</think>"):
        text = unit * (200_000 // len(unit)) + str(rng.random())
        mr_rlvr.masked_reward(text, ["1"])
        mr_rlvr.order_reward(text, ["a", "b"], ["a", "b"])
        scrl.answers(text, 3)
        srl.reward(text, "12*7=84")
    assert time.perf_counter() - began < 5
    assert trace(["x"], finish=Finish.LENGTH).grade is not None
