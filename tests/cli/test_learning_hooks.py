"""Specifies `preceptor learn --with`: hooks of the loop from the command line.

Run: python -m pytest tests/cli/test_learning_hooks.py
"""

from __future__ import annotations

import json

import pytest

from preceptor.cli import main
from preceptor.learn.hooks_by_name import HOOKS

pytest.importorskip("trl")

TRAIN = ["--policy", "world:arithmetic", "--problems", "world:arithmetic?split=train", "--n", "16"]
SMALL = ["--steps", "2", "--prompts", "2", "--generations", "4", "--max-tokens", "48", "--lr", "1e-4"]
SOLVER = "writer=world:arithmetic-solver"


def rows_of(out, *more):
    method = [] if "--method" in more else ["--method", "outcome"]
    assert main(["learn", *method, *TRAIN, *SMALL, "--out", str(out), *more]) == 0
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [r["step"] for r in rows] == [1, 2]
    assert all(r["credit"]["rollouts"] == 8 for r in rows)
    return [{k: v for k, v in r.items() if k != "seconds"} for r in rows]


def settings_of(*pairs):
    return [word for pair in pairs for word in ("--set", pair)]


def test_starts_inside_a_demonstration_leave_little_to_write_and_one_stage_is_the_plain_run(tmp_path):
    late = rows_of(tmp_path / "late", "--with", "r3", *settings_of("schedule=staged"))
    plain = rows_of(tmp_path / "plain")
    assert max(r["length_mean"] for r in late) < min(r["length_mean"] for r in plain)
    assert late[0]["accuracy"] > 0.8
    assert rows_of(tmp_path / "one", "--with", "r3", *settings_of("stages=1", "partial=0")) == plain


def test_the_horizon_grows_with_success(tmp_path):
    found = rows_of(tmp_path, "--with", "h1", *settings_of("window=1", "threshold=-1", "last=2"))
    assert [r["hook"] for r in found] == [{"horizon-1": 8}, {"horizon-2": 8}]


@pytest.mark.parametrize("name, pairs", [("srl", ["marker=", "least_std=0"]), ("mr_rlvr", ["share=0.3"])])
def test_tasks_made_of_solutions_give_their_own_rewards(name, pairs, tmp_path):
    found = rows_of(tmp_path, "--with", name, *settings_of(*pairs))
    assert all(0 <= r["accuracy"] <= 1 for r in found)
    if name == "srl":
        assert all(0 < r["accuracy"] < 1 and r["credit"]["flat_groups"] == 0 for r in found)


def test_a_policy_that_does_not_close_its_thinking_gives_srl_nothing_to_learn_from(tmp_path):
    found = rows_of(tmp_path, "--with", "srl")
    assert all(r["hook"] == {"flat-group": 8} and r["credit"]["undecided"] == 8 for r in found)


@pytest.mark.parametrize(
    "more",
    [
        settings_of("scorer=world:arithmetic", SOLVER, "limit=2"),
        ["--method", "pure", "--scorer", "world:arithmetic"],
    ],
)
def test_wrong_attempts_are_corrected_with_a_scorer_of_its_own_or_the_methods(more, tmp_path):
    """The second one's writer is the reference."""
    found = rows_of(tmp_path, "--with", "scope_correct", *more, "--prompts", "4", "--generations", "2")
    assert sum(r.get("hook", {}).get("corrected", 0) for r in found) > 0
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert settings["amend"] == "ScopeCorrect.amend"
    assert settings["hooks"]["ScopeCorrect"]["scorer"].startswith("world-oracle")
    assert ("writer" in settings["hooks"]["ScopeCorrect"]) == (SOLVER in more)


def test_a_teachers_feedback_stands_in_attempts(tmp_path):
    found = rows_of(
        tmp_path, "--with", "thinktuning", *settings_of("teacher=world:arithmetic", "fraction=1"), "--n", "4",
        "--prompts", "4", "--generations", "2",
    )  # fmt: skip
    assert sum(r["hook"].get("advised", 0) for r in found) > 0


def test_a_run_is_resumed_only_with_the_same_hook(tmp_path, capsys):
    more = ["--with", "r3", "--save-every", "1", "--resume"]
    rows_of(tmp_path, *more, *settings_of("stages=3"))
    again = ["learn", "--method", "outcome", *TRAIN, *SMALL, "--out", str(tmp_path)]
    for other in ([*more, *settings_of("stages=4")], more, ["--resume"]):
        capsys.readouterr()
        assert main([*again, *other]) == 2
        assert "hooks: got" in capsys.readouterr().err
    assert main([*again, *more, *settings_of("stages=3")]) == 0


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--with", "scope_corect"], "Did you mean scope_correct"),
        (["--with", "scrl"], "scrl is a method"),
        (["--with", "scope_correct"], "scorer=WORD"),
        (["--with", "scope_correct", "--set", "scorer={tmp}/none"], "none"),
        (["--with", "thinktuning"], "teacher=WORD (as --policy)"),
        (["--with", "r3", "--set", "stages=many"], "stages='many', expected a whole number"),
        (["--with", "r3", "--set", "schedule=mixd"], "schedule 'mixed' or 'staged'"),
        (["--with", "r3", "--set", "stage=3"], "expected some of partial, schedule, stages, steps_per_stage"),
        (["--with", "r3", "--problems", "{tmp}/bare.jsonl"], "got problem p1 without a reference solution"),
        (["--with", "srl", "--problems", "{tmp}/bare.jsonl"], "got problem p1 without a reference solution"),
        (["--with", "mr_rlvr", "--problems", "{tmp}/bare.jsonl"], "p1 without a reference solution"),
        (["--with", "scope_correct", "--set", "scorer=world:arithmetic", "--problems", "{tmp}/bare.jsonl"],
         "Or name a policy that corrects: writer=WORD"),
        (["--with", "h1", "--problems", "{tmp}/bare.jsonl"], "expected problems of the world 'arithmetic'"),
        (["--with", "h1", "--set", "last=5"], "Or let the horizon grow less far: last=4"),
        (["--with", "h1", "--set", "window=0"], "window=0"),
        (["--with", "r3", "--method", "scrl"], "which has rollouts or hooks of its own"),
        (["--with", "r3", "--method", "treeps_rag"], "which has rollouts or hooks of its own"),
        (["--with", "r3", "--episodes"], "--with: got with --episodes"),
        (["--set", "stages=3"], "--set: got with a credit method and no --with"),
        (["--with", "r3", "--method", "sft"], "--with: got with --method sft"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_said(arguments, said, tmp_path, capsys):
    bare = [{"id": f"p{i}", "prompt": f"What is {i}+1?", "gold": str(i + 1)} for i in range(1, 17)]
    (tmp_path / "bare.jsonl").write_text("".join(json.dumps(p) + "\n" for p in bare))
    filled = [a.format(tmp=tmp_path) for a in arguments]
    method = [] if "--method" in arguments else ["--method", "outcome"]
    small = ["--steps", "1", "--prompts", "1", "--generations", "2"]
    assert main(["learn", *method, *TRAIN, *small, "--out", str(tmp_path / "o"), *filled]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err
    assert not (tmp_path / "o").exists()


def test_every_hook_stands_in_the_help(capsys):
    assert main(["learn", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert ", ".join(sorted(HOOKS)) in shown
