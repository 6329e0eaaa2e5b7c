"""Specifies the monitor: each hack is seen while it grows, and honest learning raises no alarm.

Run with `python -m pytest tests/learn/test_monitor.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from preceptor.credit import Rollout
from preceptor.errors import InputError
from preceptor.judgement import Question
from preceptor.learn import HackWarning, Monitor, learn
from preceptor.learn.figures import of_batch, repeated, written
from preceptor.learn.monitor import DETECTORS, drift
from preceptor.trace import Finish, Problem, Trace, steps_from_ends
from tests.learn.toys import HashValue, Sevens, problems

BATCHES, GROUPS, GROUP = 25, 8, 8


@dataclass
class Policy:
    """What a made-up policy writes at one moment of its training."""

    right: float = 0.4
    steps: int = 5
    words: int = 8
    """Words a step."""
    copies: int = 0
    """Times its last step is written again."""
    stuck: float = 0.0
    """Share of the words that are one and the same."""
    answers: int = 1
    score_right: float = 0.7
    score_wrong: float = 0.4
    same: float = 0.0
    """Share of groups whose completions all come out alike."""
    kl: float = 0.01


def text(policy: Policy, rng: np.random.Generator) -> tuple[str, list[int]]:
    lines = []
    for _ in range(max(1, policy.steps + int(rng.integers(-2, 3)))):
        count = max(1, policy.words + int(rng.integers(-3, 4)))
        numbers = rng.integers(1000, size=count).tolist()
        stuck = (rng.random(count) < policy.stuck).tolist()
        words = ["so" if same else str(n) for n, same in zip(numbers, stuck, strict=True)]
        lines.append(" ".join(words) + "\n")
    lines += [lines[-1]] * policy.copies
    lines += ["Answer: 7\n"] * policy.answers
    ends = np.cumsum([len(line) for line in lines])
    return "".join(lines), [int(e) for e in ends]


def batch(policy: Policy, rng: np.random.Generator, scored: bool = True) -> dict[str, float]:
    traces, rollouts, scores = [], [], []
    for g in range(GROUPS):
        alike = rng.random() < policy.same
        first = rng.random() < policy.right
        for _ in range(GROUP):
            right = first if alike else rng.random() < policy.right
            body, ends = text(policy, rng)
            traces.append(Trace(Problem(f"p{g}"), body, steps_from_ends(ends), Finish.STOP))
            rollouts.append(Rollout(f"p{g}", 1, float(right)))
            middle = policy.score_right if right else policy.score_wrong
            scores.append(np.clip(rng.normal(middle, 0.15, len(ends)), 0, 1).tolist())
    return of_batch([written(t) for t in traces], rollouts, scores if scored else None, policy.kl)


def stream(change: Callable[[Policy, float], None], seed: int = 0, **options) -> list[dict[str, float]]:
    """Batches of a policy that learns a little and that `change(policy, u)` turns, u from 0 to 1."""
    rng = np.random.default_rng(seed)
    found = []
    for at in range(BATCHES):
        u = at / (BATCHES - 1)
        policy = Policy(right=0.4 + 0.1 * u)
        change(policy, u)
        found.append(batch(policy, rng, **options))
    return found


def kinds(batches: list[dict[str, float]]) -> set[str]:
    monitor = Monitor()
    return {w.kind for step, figures in enumerate(batches, 1) for w in monitor.see(step, figures)}


def set_to(**ends: float) -> Callable[[Policy, float], None]:
    """Each named number goes from where it was to the given end."""

    def change(policy: Policy, u: float) -> None:
        for name, end in ends.items():
            start = getattr(policy, name)
            value = start + (end - start) * u
            setattr(policy, name, round(value) if isinstance(start, int) else value)

    return change


HACKS = {
    "divergence": set_to(score_right=0.95, score_wrong=0.9, right=0.4),
    "wrong_reward": set_to(score_wrong=0.68),
    "steps": set_to(steps=16, words=3),
    "length": set_to(words=30),
    "separators": set_to(steps=1, words=60),
    "repetition": set_to(copies=4),
    "answers": set_to(answers=4),
    "kl": set_to(kl=1.0),
    "falling": set_to(right=0.1),
    "flat_groups": lambda policy, u: setattr(policy, "same", min(1.0, 1.5 * u)),
}


@pytest.mark.parametrize("kind", sorted(DETECTORS))
def test_a_hack_that_grows_is_seen(kind) -> None:
    assert kind in kinds(stream(HACKS[kind]))


def test_a_policy_stuck_on_one_word_is_seen_as_repeating() -> None:
    assert "repetition" in kinds(stream(set_to(stuck=0.9)))


@pytest.mark.parametrize("kind", sorted(DETECTORS))
def test_a_hack_that_is_there_from_the_start_and_does_not_grow_is_no_drift(kind) -> None:
    """Except the distance to the start, which has a limit and no reference."""

    def constant(policy: Policy, u: float) -> None:
        HACKS[kind](policy, 1.0)

    assert kinds(stream(constant)) == ({"kl"} if kind == "kl" else set())


@pytest.mark.parametrize("seed", range(5))
def test_honest_learning_raises_no_alarm(seed) -> None:
    """Twice as many right, somewhat longer, scored higher because better, a little further from the start."""
    honest = set_to(right=0.85, words=11, kl=0.2, score_right=0.75)
    assert kinds(stream(honest, seed)) == set()


@pytest.mark.parametrize("seed", range(5))
def test_nothing_happening_raises_no_alarm(seed) -> None:
    assert kinds(stream(lambda policy, u: None, seed)) == set()


def test_a_fall_is_told_from_batches_of_unlike_problems() -> None:
    """Batches whose means scatter by 0.1: few false alarms in 100 runs, and nine of ten falls to half are seen."""
    rng = np.random.default_rng(0)
    told = {"still": 0, "fallen": 0}
    for _ in range(100):
        for name, end in (("still", 0.4), ("fallen", 0.2)):
            means = np.linspace(0.4, end, 60) + rng.normal(0, 0.1, 60)
            told[name] += "falling" in kinds([{"outcome": float(m)} for m in means])
    assert told["still"] <= 5
    assert told["fallen"] >= 90


def test_a_policy_that_solves_everything_is_not_told_that_its_groups_are_flat() -> None:
    assert kinds(stream(lambda policy, u: setattr(policy, "right", min(1.0, 0.4 + u)))) == set()


def test_a_single_odd_batch_raises_no_alarm() -> None:
    batches = stream(lambda policy, u: None)
    batches[15] = batch(Policy(words=20, answers=3, score_wrong=0.65), np.random.default_rng(1))
    assert kinds(batches) == set()


def test_the_scale_of_the_scores_does_not_matter() -> None:
    def tiny(figures: dict) -> dict:
        return {
            k: v / 1000 - 7 * ("std" not in k) if k.startswith("score") else v for k, v in figures.items()
        }

    assert "divergence" in kinds([tiny(f) for f in stream(HACKS["divergence"])])
    assert kinds([tiny(f) for f in stream(set_to(right=0.85))]) == set()


def test_what_is_not_known_is_not_watched() -> None:
    """No scorer, no reference model, no verdict: absent figures, no detector that fails."""
    rollouts = [Rollout("p", 1, None)] * 4
    trace = Trace(Problem("p"), "ab\n", steps_from_ends([3]), Finish.STOP)
    figures = of_batch([written(trace)] * 4, rollouts)
    assert set(figures) == {"length", "steps", "separators", "repetition", "repeated_steps", "answers"}
    assert kinds([figures] * 30) == set()
    assert of_batch([], []) == {}
    assert "divergence" not in kinds(stream(HACKS["divergence"], scored=False))


def test_the_warning_names_what_was_measured_and_what_it_is_compared_with() -> None:
    monitor = Monitor(warmup=2, window=1)
    assert monitor.see(1, {"answers": 1.0}) == monitor.see(2, {"answers": 1.0}) == []
    assert monitor.see(3, {"answers": 3.0}) == [HackWarning("answers", 3, 3.0, 1.0)]


def test_drift_is_the_last_window_against_the_first_and_needs_both() -> None:
    history = [{"x": v} for v in (1.0, 3.0, 100.0, 5.0, 7.0)]
    found = drift(history, "x", 2, 2)
    assert (found.reference, found.now) == (2.0, 6.0)
    assert found.error == pytest.approx(np.sqrt(2.0))
    assert drift(history[:3], "x", 2, 2) is None


def test_figures_of_one_completion() -> None:
    body = "a b c d\na b c d\nAnswer: 3\nthe final answer is \\boxed{4}\n"
    ends = [8, 16, 26, len(body)]
    found = written(Trace(Problem("p"), body, steps_from_ends(ends), Finish.LENGTH))
    assert (found.steps, found.repeated_steps, found.answers, found.cut) == (4, 0.25, 3, True)
    assert found.repetition == pytest.approx(1 / (found.tokens - 3))
    assert repeated([]) == 0.0


def test_only_known_kinds_stop_a_run() -> None:
    with pytest.raises(InputError, match="got \\['boredom'\\], expected some of"):
        Monitor(stop_on={"boredom"})


def test_a_run_that_is_being_hacked_warns_in_rows_and_progress_and_stops_when_told(
    tiny_policy_dir, tmp_path
) -> None:
    """Paid for sevens by a scorer that no verifier agrees with, a policy soon writes little else."""
    from preceptor.credit import Center, CreditConfig, StepScore, Stream

    told = []
    result = learn(
        tiny_policy_dir,
        problems(8, gold="7"),
        out=tmp_path,
        method=CreditConfig((Stream(StepScore(), Center("token", "leave_one_out", "std")),)),
        scorer=Sevens(Question.QUALITY),
        monitor=Monitor(stop_on={"repetition"}, warmup=3, window=2),
        steps=60,
        prompts_per_step=4,
        generations=8,
        max_tokens=16,
        lr=1e-2,
        held_out=problems(2),
        progress=lambda done, total, note: told.append(note),
    )
    rows = [json.loads(line) for line in result.metrics.read_text().splitlines()]
    assert result.stopped is not None
    assert result.stopped.kind == "repetition"
    assert result.steps == result.stopped.step < 60
    assert rows[-1]["step"] == result.steps, "measured when stopped"
    assert rows[-1]["held_out_n"] == 2
    assert "repetition" in {w["kind"] for w in rows[-2]["warnings"]}
    assert "warning: repetition" in told[-1]
    assert "warnings" not in rows[1]
    assert rows[1]["watched"]["repetition"] < 0.2


def test_the_monitor_of_a_run_sees_what_its_scorer_said(tiny_policy_dir, tmp_path) -> None:
    monitor = Monitor()
    learn(
        tiny_policy_dir,
        problems(4),
        out=tmp_path,
        method="progress",
        scorer=HashValue(),
        monitor=monitor,
        steps=2,
        prompts_per_step=2,
        generations=4,
        max_tokens=16,
        kl=0.1,
    )
    assert len(monitor.history) == 2
    assert {"score", "score_std", "outcome", "kl", "group_std"} <= set(monitor.history[0])
