"""Specifies `learn.hooks_by_name`: hooks from a name, problems and settings, in runs and over interruptions.

Run with `python -m pytest tests/learn/test_hooks_by_name.py`.
"""

from __future__ import annotations

import json
from dataclasses import fields

import pytest
import torch

from preceptor.errors import InputError
from preceptor.judgement import Judgement, Question
from preceptor.learn import learn
from preceptor.learn.data import h1
from preceptor.learn.data.hooks import items_of
from preceptor.learn.hooks_by_name import HOOKS, WORDS, hooks
from preceptor.learn.rollouts import RolloutSource
from preceptor.learn.signals.scores import StepScores
from preceptor.policy import ScriptedPolicy, TransformersPolicy
from preceptor.worlds import load_problems
from tests.learn.toys import HashValue

pytest.importorskip("trl")

PROBLEMS = load_problems("world:arithmetic?split=train", n=24)


class AllWrong(HashValue):
    def value(self, trace, k):
        return 0.0


def rows(out):
    found = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "seconds"} for row in found]


def weights(directory):
    return torch.cat([p.flatten() for p in TransformersPolicy.load(directory).model.parameters()]).detach()


def run(policy, out, name=None, settings=None, **more):
    own = {} if name is None else hooks(name, PROBLEMS, settings)
    sizes = {"steps": 2, "prompts_per_step": 3, "generations": 4, "max_tokens": 12, "lr": 1e-3}
    return learn(policy, PROBLEMS, out=out, method="outcome", **own, **{**sizes, **more})


def test_groups_that_were_all_wrong_have_signal_where_a_corrector_knows_better(tiny_policy_dir, tmp_path):
    """A random policy is never right; the writer always is."""
    run(tiny_policy_dir, tmp_path / "plain", max_tokens=160)
    assert [(r["grad_norm"], r["accuracy"]) for r in rows(tmp_path / "plain")] == [(0.0, 0.0)] * 2
    settings = {"scorer": AllWrong(), "writer": ScriptedPolicy(0.0)}
    run(tiny_policy_dir, tmp_path / "mended", "scope_correct", settings, max_tokens=160)
    for row in rows(tmp_path / "mended"):
        assert row["hook"] == {"corrected": 3}  # one a group
        assert row["credit"]["rollouts"] == 12
        assert row["accuracy"] == 0.25
        assert row["credit"]["flat_groups"] == 0
        assert row["grad_norm"] > 0


def test_what_a_start_gives_is_in_the_prompt_and_no_token_of_it_is_trained(tiny_policy_dir, tmp_path):
    trained = []

    class Seen(RolloutSource):
        def trained(self, rollout):
            trained.append(rollout)
            return super().trained(rollout)

        def traces(self, *asked, **more):
            found = super().traces(*asked, **more)
            for trace in found:
                (whole,) = [p for p in PROBLEMS if p.id == trace.problem.meta["of"]]
                given = "".join(whole.reference[: trace.problem.meta["given"]])
                asked = self.policy.tokenizer.decode(self.prompt_ids(trace.problem))
                assert given
                assert asked.endswith(given)
                assert not trace.text.startswith(given)
            asked_tokens.extend(len(t.token_ids) for t in found)
            return found

    asked_tokens = []
    run(tiny_policy_dir, tmp_path, "r3", {"schedule": "staged"}, sampler=Seen)
    assert [r.length for r in trained] == asked_tokens  # what was sampled, nothing that was given
    assert len(trained) == 24


class Killed(BaseException):
    """Stands for a kill inside this process: nothing catches it."""


def test_a_killed_run_goes_on_at_the_horizon_it_had_and_ends_as_the_whole_one(tmp_path):
    settings = {"window": 1, "threshold": -1.0, "last": 2}
    options = {"steps": 4, "prompts_per_step": 2, "max_tokens": 40, "save_every": 1, "lr": 1e-4}

    def die(step, *_):
        if step == 3:
            raise Killed

    run("world:arithmetic", tmp_path / "whole", "h1", settings, **options)
    with pytest.raises(Killed):
        run("world:arithmetic", tmp_path / "cut", "h1", settings, **options, progress=die)
    run("world:arithmetic", tmp_path / "cut", "h1", settings, **options, resume=True)
    whole = rows(tmp_path / "whole")
    assert [row["hook"] for row in whole] == [{f"horizon-{n}": 8} for n in (1, 2, 2, 2)]
    assert rows(tmp_path / "cut") == whole
    assert torch.equal(*(weights(tmp_path / name / "model") for name in ("whole", "cut")))


def test_chains_of_a_small_pool_are_different_or_refused():
    pool = PROBLEMS[:8]
    assert len({c.id for c in h1.chains(pool, 2, 6)}) == 6  # all there are
    with pytest.raises(InputError, match="larger pool"):
        h1.chains(pool[:2], 2, 16, tries=20)


def test_the_horizon_is_that_of_one_process(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="several processes"):
        hooks("h1", PROBLEMS, {"last": 2})


def test_the_methods_own_scorer_finds_wrong_steps_where_its_scores_can_tell_them():
    made = hooks("scope_correct", PROBLEMS, scorer=StepScores(AllWrong()))
    assert made["amend"].__self__.scorer.source == AllWrong.source
    with pytest.raises(InputError, match="got a scorer of progress"):
        hooks("scope_correct", PROBLEMS, scorer=StepScores(AllWrong(Question.PROGRESS)))
    with pytest.raises(InputError, match="got no scorer"):
        hooks("scope_correct", PROBLEMS, scorer=object())


@pytest.mark.parametrize("name", sorted(HOOKS))
def test_a_hook_has_what_it_does_and_takes_the_runs_seed(name):
    words = {"scorer": AllWrong(), "writer": ScriptedPolicy(0.0), "teacher": ScriptedPolicy(0.0)}
    given = {k: words[k] for k in WORDS.get(name, ())}
    made = hooks(name, PROBLEMS, {**given, **({"last": 2} if name == "h1" else {})}, seed=7)
    assert set(made) == {"amend"} if name in WORDS else {"prepare", "amend"}
    hook = made["amend"].__self__
    assert getattr(hook, "seed", 7) == 7
    assert set(given) <= {f.name for f in fields(hook)}


def test_judgements_that_failed_correct_nothing(tiny_policy_dir):
    class Silent(AllWrong):
        def score(self, traces):
            return [Judgement(t.id, self.question, self.source, None) for t in traces]

    from preceptor.generation import Sampling

    source = RolloutSource(TransformersPolicy.load(tiny_policy_dir), Sampling(max_tokens=8), 0)
    items = items_of(source.traces(PROBLEMS[:2], [0, 0], "train", 0))
    made = hooks("scope_correct", PROBLEMS, {"scorer": Silent(), "writer": ScriptedPolicy(0.0)})
    assert made["amend"](items, source) == items
