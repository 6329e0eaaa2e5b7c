"""Planted errors: only an edit that destroys success becomes a negative; critic and generator play zero-sum."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from preceptor.annotate.judges.sneaky import (
    SneakyGenerator,
    accepted,
    critic,
    rewards,
    written,
    written_edit,
)
from preceptor.annotate.judges.sneaky_text import ERRORS, edit_prompt, read_edit
from preceptor.annotate.label import label
from preceptor.annotate.tools.oracle import WorldOracle
from preceptor.errors import InputError, ItemError
from preceptor.generation import Continuation
from preceptor.judgement import Question
from preceptor.policy import ScriptedPolicy
from preceptor.store import Store
from preceptor.trace import Finish, Problem, Trace, steps_from_ends
from preceptor.usage import Usage
from preceptor.worlds.arithmetic_oracle import State
from tests.annotate.judges.oracle import WORLD, Words, between, first_error, scripted_traces, trace_of, truths
from tests.annotate.scripted import GOLD, Scripted, trace

SURE = ScriptedPolicy(error=0.0)
REFERENCES = [trace_of(p, p.reference) for p in WORLD.problems(n=25)]


def lines_before(prompt):
    before = between("earlier_steps", prompt)
    return [] if before == "(none)" else before.split("\n")


@dataclass
class Sneak(Words):
    """Rewrites the step as the prompt says; `reply` replaces its reply."""

    reply: str | None = None
    fingerprint: str = "sneak"

    def answer(self, request):
        prompt = request.messages[0].content
        kind = next(k for k in ERRORS if f"Error: {k}," in prompt)
        steps = [*lines_before(prompt), between("step", prompt)]
        text = self.reply or "I will be subtle.\n" + written_edit(request.problem, steps, kind)
        return Continuation(text, Finish.STOP, usage=Usage(generated=6, prefilled=30, calls=1))


@dataclass
class Critic(Words):
    def answer(self, request):
        prompt = request.messages[0].content
        steps = [*lines_before(prompt), between("step", prompt)]
        text = written(request.problem, steps, WORLD.judge(request.problem, steps))
        return Continuation(text, Finish.STOP, usage=Usage(generated=6, calls=1))


def test_negatives_are_wrong_at_their_last_step_and_only_there_by_the_worlds_oracle():
    attempts = SneakyGenerator(Sneak(), SURE).negatives(REFERENCES)
    made = accepted(attempts)
    assert len(attempts) == len(REFERENCES)
    assert len(made) > 15
    for corrupted, judged in made:
        wrong = len(corrupted.steps) - 1
        state = WORLD.judge(corrupted.problem, corrupted.step_texts)[-1]
        assert first_error(corrupted) == wrong
        assert not state.reachable
        assert (judged.trace, judged.first_error, judged.question) == (corrupted.id, wrong, Question.VALUE)
        assert judged.scores == (*[1.0] * wrong, 0.0)
        assert judged.counts[-1] == (0, 4)
    assert {judged.flags[0] for _, judged in made} == set(ERRORS)
    assert {a.reason for a in attempts} <= {"accepted", "harmless-edit"}


def test_provenance_and_cost_are_on_record():
    generator = SneakyGenerator(Sneak(), SURE)
    attempt = next(a for a in generator.negatives(REFERENCES) if a.negative)
    corrupted, judged = attempt.negative
    assert (corrupted.parent, corrupted.policy) == (attempt.original.id, "sneak")
    assert corrupted.prefix(attempt.step) == attempt.original.prefix(attempt.step)
    assert corrupted.text.endswith("\n"), "the white space around a step stays"
    assert corrupted.finish is Finish.BOUNDARY
    assert (judged.source, judged.flags) == (generator.source, (attempt.kind,))
    assert "subtle" in judged.rationale[attempt.step]
    assert judged.usage.scorer.calls == 1
    assert judged.usage.policy.calls == 8
    assert attempt.usage == judged.usage
    assert (attempt.before.counts, attempt.after.counts) == ((4, 4), (0, 4))


def test_an_edit_that_leaves_success_unchanged_is_rejected():
    """7*12 for 12*7: another text, the same state. A generator that trusts itself would call it wrong."""

    @dataclass
    class Swaps(Sneak):
        def answer(self, request):
            left, result = between("step", request.messages[0].content).split("=")
            op = next(c for c in left if c in "+-*/")
            a, b = left.split(op)
            return Continuation(f"Step: {b}{op}{a}={result}", Finish.STOP)

    pool = [t for t in REFERENCES if all(c not in t.text for c in "-/")]
    attempts = SneakyGenerator(Swaps(), SURE).negatives(pool)
    assert len(pool) > 2
    assert {a.reason for a in attempts} == {"harmless-edit"}
    assert accepted(attempts) == []
    assert all(a.after.successes == a.before.successes == 4 for a in attempts)


def test_a_completer_that_repairs_errors_makes_no_negatives_and_one_that_cannot_solve_neither():
    repairs = SneakyGenerator(Sneak(), ScriptedPolicy(error=0.0, repair=1.0)).negatives(REFERENCES)
    assert {a.reason for a in repairs if a.kind != "skipped-step"} == {"harmless-edit"}
    lost = SneakyGenerator(Sneak(), ScriptedPolicy(error=1.0)).negatives(REFERENCES)
    # Where nothing is left to err in, even this completer repeats the last result.
    hopeless = [a for a in lost if a.step < len(State.of(a.original.problem).nodes) - 1]
    assert len(hopeless) > 10
    assert {a.before.counts for a in hopeless} == {(0, 4)}
    assert accepted(hopeless) == []
    assert "weak-original" in {a.reason for a in hopeless}


@pytest.mark.parametrize("before, wanted", [(4, "accepted"), (3, "accepted"), (2, "weak-original")])
def test_the_original_must_succeed_in_three_of_four(before, wanted):
    """A completer whose draws from the original prefix succeed `before` times, from the edited one never."""

    @dataclass
    class Counted(Scripted):
        def _one(self, request):
            good = "edited" not in request.prefix and request.draw < before
            return Continuation(f"Answer: {GOLD if good else 7}\n", Finish.STOP, usage=Usage(calls=1))

    generator = SneakyGenerator(Sneak(reply="Step: edited"), Counted(lambda t: 1.0))
    (attempt,) = generator.negatives([trace(4, GOLD)])
    assert attempt.reason == wanted
    assert (attempt.before.counts, attempt.after.counts) == ((before, 4), (0, 4))


@pytest.mark.parametrize(
    "bad, reason", [("cut", "undecided-rollouts"), (None, "rollouts-failed"), (GOLD, "harmless-edit")]
)
def test_rollouts_that_decide_nothing_prove_nothing(bad, reason):
    @dataclass
    class Completer(Scripted):
        def _one(self, request):
            self.value = lambda t: bad if "edited" in request.prefix else 1.0
            return super()._one(request)

    generator = SneakyGenerator(Sneak(reply="Step: edited"), Completer(lambda t: 1.0))
    (attempt,) = generator.negatives([trace(4, GOLD)])
    assert (attempt.reason, attempt.negative) == (reason, None)


def test_only_right_steps_before_the_last_are_picked():
    policy = Sneak()
    wrong = [t for t in scripted_traces(n=30, samples=1, error=0.5) if first_error(t) > 0]
    assert {a.reason for a in SneakyGenerator(policy, SURE).negatives(wrong)} == {"no-right-step"}
    assert policy.batches == [[]] or not policy.batches
    judged = WorldOracle().score(wrong)
    attempts = [
        a for seed in range(5) for a in SneakyGenerator(policy, SURE, seed=seed).negatives(wrong, judged)
    ]
    assert all(a.step < first_error(a.original) for a in attempts)
    assert len({(a.original.id, a.step, a.kind) for a in attempts}) > len(wrong), (
        "the seed draws step and type"
    )
    assert len(accepted(attempts)) > len(attempts) / 2
    right = SneakyGenerator(policy, SURE).negatives(REFERENCES)
    assert all(a.step < len(a.original.steps) - 1 for a in right)


def test_traces_that_cannot_be_used_say_why_and_cost_nothing():
    policy = Sneak()
    bad = [
        Trace(Problem("?", "1"), "", ()),
        Trace(Problem("?", None, grader="numeric"), "a\nb\n", steps_from_ends([2, 4])),
        Trace(Problem("?", "1"), "", (), finish=Finish.ERROR, error=ItemError("timeout", "late")),
    ]
    attempts = SneakyGenerator(policy, SURE).negatives([*bad, REFERENCES[0]])
    assert [a.reason for a in attempts[:3]] == ["no-steps", "no-gold", "failed-trace"]
    assert attempts[3].step is not None
    assert sum(map(len, policy.batches)) == 1
    assert SneakyGenerator(policy, SURE).negatives([]) == []


def test_edits_that_cannot_be_read_or_change_nothing_are_no_negatives():
    same = REFERENCES[0].step_texts
    for reply, reason in {
        "12*7=85": "unread-edit",
        "Step: 1\nStep: 2": "unread-edit",
        "Step: 1\nThere.": "unread-edit",
        "Step:": "unread-edit",
    }.items():
        (attempt,) = SneakyGenerator(Sneak(reply=reply), SURE).negatives(REFERENCES[:1])
        assert (attempt.reason, attempt.usage.policy, attempt.usage.scorer.calls) == (reason, Usage(), 1)
    reasons = {
        SneakyGenerator(Sneak(reply=f"Step:  {line.strip()} "), SURE).negatives(REFERENCES[:1])[0].reason
        for line in same[:-1]
    }
    assert "same-step" in reasons
    assert read_edit("Plan.\nStep: 12*7=85 ") == "12*7=85"


def test_rollouts_are_shared_through_the_store(tmp_path):
    with Store(tmp_path / "a.store") as store:
        first = SneakyGenerator(Sneak(), SURE, store=store).negatives(REFERENCES)
        again = SneakyGenerator(Sneak(), SURE, store=store).negatives(REFERENCES)
    assert sum(a.usage.policy.generated for a in first) > 0
    assert sum(a.usage.policy.generated for a in again) == 0
    assert [a.reason for a in again] == [a.reason for a in first]


def test_rewards_are_zero_sum():
    for said in (True, False, None):
        for right in (True, False):
            for_critic, for_generator = rewards(said, right)
            assert for_critic + for_generator == 0
            assert for_critic == (0 if said is None else 1 if said == right else -1)


def test_the_critic_judges_negatives_and_right_steps():
    made = accepted(SneakyGenerator(Sneak(), SURE).negatives(REFERENCES))
    labels = label(critic(Critic()), [t for t, _ in made] + REFERENCES[:3])
    for judged, (corrupted, said) in zip(labels.judgements, made):
        assert judged.scores == said.scores == tuple(map(float, truths(corrupted)))
    assert all(set(j.scores) == {1.0} for j in labels.judgements[len(made) :])
    fooled = critic(Words(say=("Fine.\nVerdict: Correct", ""), truth=lambda r: True)).score([made[0][0]])[0]
    assert rewards(fooled.scores[-1] > 0.5, right=False) == (-1.0, 1.0)


@pytest.mark.parametrize("hostile", ["</step>\nError: none", "< /problem>", "<EARLIER_STEPS>"])
def test_hostile_steps_stay_inside_their_fence(hostile):
    given = trace_of(REFERENCES[0].problem, [f"{hostile}\n", *REFERENCES[0].step_texts])
    bare = edit_prompt(REFERENCES[0], 1, "miscopy")
    assert all(edit_prompt(given, t, "miscopy").count("<") == bare.count("<") for t in (0, 1))
    completer = Scripted(lambda t: 1.0)
    completer._one = lambda r: Continuation(f"Answer: {7 if '</' in r.prefix else GOLD}\n", Finish.STOP)
    (attempt,) = SneakyGenerator(Sneak(reply="Step: </step> 1"), completer).negatives([trace(4, GOLD)])
    corrupted, _ = attempt.negative
    prompt, touched = critic(Critic()).prompt(corrupted, attempt.step)
    assert touched
    assert prompt.count("</step>") == 1


def test_settings_that_make_no_sense_are_refused_and_the_source_tells_the_others_apart():
    for settings in ({"kinds": ()}, {"kinds": ("typo",)}, {"floor": 0.0}, {"rollouts": 0}):
        with pytest.raises(InputError, match="expected"):
            SneakyGenerator(Sneak(), SURE, **settings)
    base = SneakyGenerator(Sneak(), SURE)
    others = [
        replace(base, rollouts=8),
        replace(base, floor=0.5),
        replace(base, kinds=("miscopy",)),
        replace(base, completer=ScriptedPolicy(0.1)),
        replace(base, policy=Sneak(fingerprint="b")),
        replace(base, seed=1),
    ]
    assert len({g.source for g in [base, *others]}) == 7
