"""Labels of mutants come from running them: before the line right, at it wrong, behind it masked.

Run: python -m pytest tests/annotate/code/test_mutation.py
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from preceptor.annotate import label
from preceptor.annotate.code import CodeMutation
from preceptor.annotate.code.execution import SURVIVED
from preceptor.errors import InputError, ItemError
from preceptor.grade import Suite, grade, run_tests
from preceptor.judgement import NO_ERROR, Question, Scorer
from preceptor.trace import Finish, Problem
from preceptor.worlds.programs import Programs
from tests.annotate.code.programs import PROBLEM, PROGRAM, QUICK, linux, trace, with_line

pytestmark = linux
SCORER = CodeMutation(sandbox=QUICK)


def test_it_is_a_scorer_of_validity():
    assert isinstance(SCORER, Scorer)
    assert (SCORER.name, SCORER.question) == ("code-mutation", Question.VALIDITY)
    assert SCORER.source != CodeMutation(sandbox=QUICK, per_line=2).source


def test_the_unmodified_program_is_right_in_every_line():
    (judged,) = SCORER.score([trace()])
    assert (judged.scores, judged.first_error, judged.flags) == ((1.0,) * 6, NO_ERROR, ())
    assert judged.usage.scorer.calls == 1


BROKEN = (
    "def count(xs, top):",
    "    n = 1",
    "    for x in limit:",
    "        if x >= limit:",
    "            n -= 1",
    "    return xs",
)


@pytest.mark.parametrize("k, line", enumerate(BROKEN))
def test_a_mutant_that_fails_is_right_before_its_line_wrong_at_it_and_masked_behind(k: int, line: str):
    right = trace()
    mutant = trace(with_line(k, line), parent=right.id)
    judged = SCORER.score([right, mutant])[1]
    assert judged.scores == (1.0,) * k + (0.0,) + (None,) * (5 - k)
    assert judged.first_error == k
    assert judged.rationale[k]
    assert "failed" in judged.rationale[k] or "error" in judged.rationale[k]


def test_a_mutant_that_passes_is_never_negative():
    """`n += 1` for `n = n + 1` is a change of the line and none of the program."""
    right = trace()
    survivors = [
        with_line(4, "            n = n + 1"),
        with_line(4, "            n += 1  # changed"),
        with_line(3, "        if x >= limit + 1:"),
        with_line(3, "        if not x <= limit:"),
    ]
    traces = [right, *(trace(text, parent=right.id, policy="code-mutation:operator") for text in survivors)]
    for judged in SCORER.score(traces)[1:]:
        assert (judged.scores, judged.first_error) == ((1.0,) * 6, NO_ERROR)
        assert judged.flags == (SURVIVED,)


def test_weak_tests_make_survivors_and_no_false_negatives():
    weak = replace(PROBLEM, gold=json.dumps({"tests": ["assert count([], 2) == 0"]}), id="weak")
    scorer = CodeMutation(sandbox=QUICK, per_line=9)
    right = trace(problem=weak)
    made = scorer.variants([right]).traces
    judged = scorer.score([right, *made])
    wrong = [(t.step_texts, j) for t, j in zip([right, *made], judged) if j.first_error != NO_ERROR]
    assert 0 < len(wrong) < len(made) / 2
    for t, j in zip(made, judged[1:]):
        assert (j.first_error == NO_ERROR) == grade(weak, t.text).correct
    kept = [t for t, _ in scorer.examples([right])]
    assert len(kept) == 1 + len(wrong), "survivors are dropped from the examples"


def test_every_label_of_every_example_is_what_the_tests_say():
    scorer = CodeMutation(sandbox=QUICK)
    programs = [trace("".join(p.reference), p) for p in Programs().problems(n=2)]
    pairs = scorer.examples(programs)
    assert [t for t, _ in pairs[:2]] == programs
    assert len(pairs) > 2 + 2 * 3
    by_id = {t.id: t for t in programs}
    for made, judged in pairs[2:]:
        origin = by_id[made.parent]
        k = judged.first_error
        assert made.step_texts[:k] == origin.step_texts[:k]
        assert made.step_texts[k] != origin.step_texts[k]
        assert made.step_texts[k + 1 :] == origin.step_texts[k + 1 :]
        assert judged.scores == (1.0,) * k + (0.0,) + (None,) * (len(made.steps) - k - 1)
        suite = Suite.from_json(made.problem.gold)
        assert run_tests(made.text, suite.tests, sandbox=QUICK, stop=True).passed is False


def test_mutants_depend_on_the_seed_alone_and_wrong_programs_have_none():
    wrong = trace(with_line(1, "    n = 5"))
    assert SCORER.variants([wrong]).traces == ()
    first, again = (SCORER.variants([trace(), wrong]).traces for _ in range(2))
    assert [t.text for t in first] == [t.text for t in again]
    assert len(first) == 5, "the `def` line has nothing to mutate"
    seeds = {
        tuple(t.text for t in CodeMutation(sandbox=QUICK, seed=s).variants([trace()]).traces)
        for s in range(4)
    }
    assert len(seeds) > 1


def test_a_program_one_line_from_the_problems_reference_is_labelled_too():
    known = replace(PROBLEM, reference=tuple(PROGRAM.splitlines()), id="known")
    (judged,) = SCORER.score([trace(with_line(1, "    n = 5"), known)])
    assert judged.scores == (1.0, 0.0, None, None, None, None)


def test_tests_do_not_say_where_any_other_wrong_program_is_wrong():
    two = with_line(1, "    n = 5", with_line(3, "        if x < limit:"))
    right, orphan = trace(), trace(with_line(1, "    n = 5"))
    assert SCORER.score([orphan])[0].error.kind == "no-origin"
    assert SCORER.score([right, trace(two, parent=right.id)])[1].error.kind == "no-origin"
    shorter = trace(PROGRAM.replace("    return n\n", ""), parent=right.id)
    assert SCORER.score([right, shorter])[1].scores is None


def test_what_cannot_be_run_has_a_typed_error_and_harms_no_other():
    no_tests = Problem("q", "5")
    bad = replace(PROBLEM, gold='{"tests": ["assert ("]}', id="bad")
    traces = [
        trace("", finish=Finish.ERROR, error=ItemError("timeout", "late")),
        trace(""),
        trace("x = 1\n", no_tests),
        trace(f"```python\n{PROGRAM}```"),
        trace(finish=Finish.LENGTH),
        trace(problem=replace(PROBLEM, gold="{}", id="empty")),
        trace(problem=bad),
        trace(),
    ]
    judged = SCORER.score(traces)
    assert [j.error and j.error.kind for j in judged] == [
        "failed-trace", "no-steps", "no-tests", "not-plain-code", "cut-program", "bad-tests", "undecided", None,
    ]  # fmt: skip
    assert (judged[6].undecided, judged[6].scores) == (1, None)
    assert judged[7].first_error == NO_ERROR
    assert SCORER.score([]) == []


def test_the_verb_label_takes_mutants_like_any_trace(tmp_path):
    from preceptor.store import Store

    right = trace()
    everything = [right, *SCORER.variants([right]).traces]
    with Store(tmp_path / "a.store") as store:
        found = label(SCORER, everything, store)
        again = label(SCORER, everything, store)
    assert found.failed == 0
    assert [j.scores for j in found.judgements] == [j.scores for j in again.judgements]
    assert again.skipped == len(everything)


def test_no_mutants_at_all_are_refused():
    with pytest.raises(InputError, match="per_line"):
        CodeMutation(per_line=0)
