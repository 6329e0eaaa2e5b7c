"""Specifies `learn.parts` and the sources of trees: what a method's name and one word become.

Run with `python -m pytest tests/learn/test_parts.py`.
"""

from __future__ import annotations

import json

import pytest

from preceptor.credit import METHODS
from preceptor.errors import InputError
from preceptor.generation import Sampling
from preceptor.learn import learn
from preceptor.learn.data import SCRL, Horizon, ThinkTuning
from preceptor.learn.data.hooks import items_of
from preceptor.learn.parts import helper, parts
from preceptor.learn.settings import wanted
from preceptor.learn.signals.source import SOURCES, AttentionSource, SiblingSource, TreeSource, tree_source
from preceptor.policy import TransformersPolicy
from preceptor.worlds import load_problems
from tests.learn.toys import HashValue, problems


@pytest.fixture
def policy(tiny_policy_dir):
    return TransformersPolicy.load(tiny_policy_dir)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_has_its_parts(method, policy):
    if method == "cooper":
        pytest.skip("its assistant is a chat model")
    found = parts(method, policy, HashValue() if "scorer" in helper(method) else None)
    needed = bool(wanted(METHODS[method]))
    assert (found["scorer"] is not None) == needed
    assert ("sampler" in found) == ("nodes" in METHODS[method].needs or method == "r3l")


@pytest.mark.parametrize(
    "method, word, said",
    [
        ("pure", None, "got no scorer"),
        ("slate", None, "got no scorer"),
        ("cooper", None, "rewrites"),
        ("outcome", "world:arithmetic", "reads nothing of the kind"),
        ("scrl", "world:arithmetic", "reads nothing of the kind"),
        ("magic", None, "expected one of"),
    ],
)
def test_a_word_that_is_missing_or_not_read_is_said(method, word, said, policy):
    with pytest.raises(InputError, match=said):
        parts(method, policy, word)


def test_variants_have_the_source_of_their_method():
    assert set(SOURCES) == {"attnrl", "slate", "treeps_rag"}
    assert tree_source("treeps_rag_local") is TreeSource
    assert tree_source("outcome") is None


def grouped(source, size):
    asked = [p for p in problems(2) for _ in range(size)]
    return source.traces(asked, [*range(size)] * 2, "train", 0)


def test_attention_trees_are_filled_up_to_the_batch_and_cost_is_counted(policy):
    source = AttentionSource(policy, Sampling(max_tokens=12), 0)
    made = grouped(source, 9)
    assert len(made) == 18
    blanks = [t for t in made if t.error is not None]
    assert {t.error.kind for t in blanks} <= {"no-branch"}
    assert len(made) - len(blanks) >= 2 * 3  # three responses a problem
    assert source.usage.generated >= sum(len(t.token_ids) for t in made[:3])
    before = source.usage
    grouped(source, 9)
    assert source.usage.generated < 3 * before.generated  # spent is not counted again
    source.load_state_dict({"mean": 0.25, "count": 4})
    assert source.state_dict() == {"mean": 0.25, "count": 4}
    with pytest.raises(InputError, match="at least 6"):
        grouped(source, 5)


def test_siblings_are_trained_from_their_last_step_on_and_have_no_outcome(policy):
    source = SiblingSource(policy, Sampling(max_tokens=12), 0, scorer=HashValue())
    made = grouped(source, 10)
    assert len(made) == 20
    known = [t for t in made if t.error is None]
    assert len(known) >= 10
    for item in items_of(known):
        rollout = source.trained(item.rollout)
        assert rollout.outcome is None
        assert rollout.pivot == max(len(rollout.spans) - 1, 0)


@pytest.mark.parametrize("method", ["attnrl", "slate", "treeps_rag"])
def test_trees_train(method, policy, tmp_path):
    pytest.importorskip("trl")
    own = parts(method, policy, HashValue() if method == "slate" else None)
    result = learn(policy, problems(3), out=tmp_path, method=method, steps=2, prompts_per_step=2, generations=6,
                   max_tokens=12, lr=1e-3, held_out=problems(2), **own)  # fmt: skip
    rows = [json.loads(line) for line in result.metrics.read_text().splitlines()]
    assert [r["step"] for r in rows if "credit" in r] == [1, 2]
    assert result.after.n == 2  # measured on plain samples


def test_subproblems_are_asked_for_and_scored_one_by_one(policy):
    hook = SCRL(count=2)
    (problem,) = [p for p in load_problems("world:arithmetic", n=40) if len(p.meta["nodes"]) > 2][:1]
    (task,) = hook.prepare([problem], 0)
    golds = task.meta["golds"]
    from dataclasses import replace

    from preceptor.generation import Continuation
    from preceptor.policy.sample import trace_of
    from preceptor.trace import Finish

    text = f"Answer 1: {golds[0]}\nAnswer 2: nothing\n"
    said = Continuation(text, Finish.STOP, tuple(map(ord, text)), tuple(range(1, len(text) + 1)))
    (item,) = hook.amend(items_of([trace_of(task, said)]), None)
    assert len(item.trace.steps) == 2
    assert hook.signals([item.trace]).scores == ((1.0, 0.0),)
    failed = replace(item.trace, error=trace_of(task, Continuation.failed("x", "y")).error)
    assert hook.signals([failed]).scores == (None,)


def test_hooks_say_what_belongs_to_a_checkpoint():
    horizon = Horizon(load_problems("world:arithmetic", n=2))
    horizon.history.append((1, 0.5))
    other = Horizon(horizon.pool)
    other.load_state_dict(json.loads(json.dumps(horizon.state_dict())))
    assert other.history == [(1, 0.5)]
    assert ThinkTuning.drop_negative is True
