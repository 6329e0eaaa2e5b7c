"""Trees in the loop: a source of trees as the sampler, and node ids where the method reads them."""

from __future__ import annotations

import json

import pytest

from preceptor.learn.signals import TreeSource, node_ids
from tests.learn.toys import problems, trainer

pytest.importorskip("trl")


def test_a_method_that_reads_nodes_gets_those_of_the_sampled_texts(tiny_policy_dir):
    made, inputs = trainer(tiny_policy_dir, "treeps_rag")
    made._generate_and_score_completions([dict(x) for x in inputs])
    assert [r.nodes for r in made.last_rollouts] == [
        node_ids(t) if len(r.spans) == len(t.steps) else None
        for r, t in zip(made.last_rollouts, made.last_traces, strict=True)
    ]
    assert any(r.nodes for r in made.last_rollouts)
    other, inputs = trainer(tiny_policy_dir, "outcome")
    other._generate_and_score_completions([dict(x) for x in inputs])
    assert all(r.nodes is None for r in other.last_rollouts)


def test_learn_trains_on_trees_where_the_sampler_grows_them(tiny_policy_dir, tmp_path):
    from preceptor.learn import learn

    result = learn(
        tiny_policy_dir,
        problems(4),
        out=tmp_path,
        method="treeps_rag",
        sampler=TreeSource,
        steps=2,
        prompts_per_step=2,
        generations=4,
        max_tokens=24,
    )
    rows = [json.loads(line) for line in result.metrics.read_text().splitlines()]
    steps = [r for r in rows if "credit" in r]
    assert len(steps) == 2
    # a branch pays for its own tokens only
    assert steps[-1]["generated_tokens"] <= steps[-1]["trained_tokens"]
    assert json.loads((tmp_path / "settings.json").read_text())["sampler"] == "TreeSource"
