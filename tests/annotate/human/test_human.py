"""People's labels: nothing leaks into a task, answers come back as they were meant, bad ones are named by line."""

from __future__ import annotations

import json

import pytest

from preceptor.annotate import WorldOracle
from preceptor.annotate.formats import FORMATS
from preceptor.annotate.human import (
    Control,
    agreement,
    cohen_kappa,
    fleiss_kappa,
    make_tasks,
    read_answers,
    settle,
)
from preceptor.annotate.human.tasks import INSTRUCTIONS
from preceptor.annotate.rules import first_error_targets
from preceptor.errors import InputError
from preceptor.judgement import NO_ERROR, Judgement, Question, Source
from preceptor.trace import Problem, Trace, steps_from_ends
from tests.annotate.combine.noisy import traces, truth
from tests.annotate.scripted import problem, trace


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def save(path, records):
    path.write_text("".join(json.dumps(r) + "\n" for r in records))
    return path


def filled(tasks, tmp_path, who, answer, name=None):
    """A task file as `who` hands it back; `answer` gives the fields for (task, position)."""
    tasks.write(tmp_path / "out.jsonl")
    records = lines(tmp_path / "out.jsonl")
    for i, (record, task) in enumerate(zip(records, tasks, strict=True)):
        record["answer"] |= {"annotator": who, **answer(task, i)}
    return save(tmp_path / (name or f"{who}.jsonl"), records)


def ratings_of(first_error: int, steps: int) -> list[int]:
    return [1] * steps if first_error < 0 else [1] * first_error + [-1]


def knows(task, _=0):
    """An annotator who is never wrong."""
    return {"ratings": ratings_of(truth([task.trace])[0].first_error, len(task.trace.steps))}


def test_an_oracle_as_annotator_comes_back_as_the_oracle_s_labels_to_the_first_error(tmp_path):
    given = traces(6)
    tasks = make_tasks(given)
    found = read_answers([filled(tasks, tmp_path, "ann", knows)], tasks)
    assert (len(found.judgements), found.bad, found.unfilled) == (len(given), (), 0)
    by_trace = {j.trace: j for j in found.judgements}
    for t, real in zip(given, truth(given)):
        judged = by_trace[t.id]
        assert (judged.question, judged.source.name) == (Question.VALIDITY, "human:ann")
        assert judged.first_error == real.first_error
        assert judged.scores == first_error_targets(real.first_error, len(t.steps))


def test_first_errors_alone_give_the_same_labels(tmp_path):
    given = traces(6)
    tasks = make_tasks(given, style="first-error")
    real = {t.id: j.first_error for t, j in zip(given, truth(given))}
    path = filled(tasks, tmp_path, "ann", lambda task, _: {"first_error": real[task.trace.id]})
    rated = make_tasks(given)
    ours = {j.trace: j.scores for j in read_answers([path], tasks).judgements}
    theirs = {
        j.trace: j.scores for j in read_answers([filled(rated, tmp_path, "b", knows)], rated).judgements
    }
    assert ours == theirs
    assert INSTRUCTIONS["first-error"] in path.read_text()


def test_real_prm800k_ratings_come_back_as_they_were_read(shared_data, tmp_path):
    read = list(FORMATS["prm800k"].read(shared_data / "format_samples" / "samples_prm800k.jsonl"))
    main = [(t, j) for t, j in read if j.error is None and "alternative" not in j.flags]
    main = [(t, j) for t, j in main if None not in j.extra["ratings"][: (j.first_error + 1) or None]]
    assert len(main) >= 3
    assert any(j.first_error >= 0 for _, j in main)
    assert any(0 in j.extra["ratings"] for _, j in main)
    by_id = {t.id: j for t, j in main}
    tasks = make_tasks([t for t, _ in main])
    for neutral in ("positive", "negative", "ignored"):
        options = type(FORMATS["prm800k"].read(shared_data).options)(neutral=neutral)
        wanted = {
            t.id: j.scores
            for t, j in FORMATS["prm800k"].read(
                shared_data / "format_samples" / "samples_prm800k.jsonl", options
            )
            if t.id in by_id
        }
        path = filled(
            tasks, tmp_path, "labeler", lambda task, _: {"ratings": by_id[task.trace.id].extra["ratings"]}
        )
        found = read_answers([path], tasks, neutral=neutral)
        assert found.bad == ()
        assert {j.trace: j.scores for j in found.judgements} == wanted
        assert {j.trace: j.first_error for j in found.judgements} == {
            i: j.first_error for i, j in by_id.items()
        }


def test_nothing_of_the_gold_answer_is_written_unless_asked(tmp_path):
    secret = Problem("What is it?", "SECRET-1", reference=("SECRET-2",), meta={"key": "SECRET-3"})
    hidden = Trace(secret, "a\nb\n", steps_from_ends([2, 4]))
    control = Control(trace(3), 1)
    kept = make_tasks([hidden], controls=[control])
    kept.write(tmp_path / "t.jsonl")
    text = (tmp_path / "t.jsonl").read_text()
    assert "SECRET" not in text
    assert "control" not in text
    assert hidden.id not in text, "the id of a trace could be looked up"
    records = lines(tmp_path / "t.jsonl")
    assert set(records[0]) == set(records[1]), "a control looks like any other task"
    (shown, _) = make_tasks([hidden], controls=[control], show_gold=True).records()
    assert {r.get("gold") for r in make_tasks([hidden], show_gold=True).records()} == {"SECRET-1"}
    assert "SECRET-2" not in json.dumps(shown)


def test_order_and_ids_depend_on_content_and_seed_only_and_controls_are_mixed_in():
    given = traces(6)
    controls = [Control(t, -1) for t in traces(9)[24:]]
    tasks = make_tasks(given, controls=controls)
    again = make_tasks(given[::-1], controls=controls[::-1])
    assert list(tasks.records()) == list(again.records())
    other = make_tasks(given, controls=controls, seed=1)
    assert [t.trace.id for t in other] != [t.trace.id for t in tasks]
    assert {t.id for t in other}.isdisjoint(t.id for t in tasks)
    places = [i for i, task in enumerate(tasks) if task.control]
    assert len(places) == 12
    assert places not in (list(range(12)), list(range(24, 36)))


def test_proposals_stand_beside_their_source_and_traces_that_cannot_be_shown_are_counted():
    given = [trace(3), trace(3), Trace(problem(), "", ()), trace(2, draw=4)]
    proposed = Judgement(given[0].id, Question.VALIDITY, Source("critic"), (1.0, 0.0, None), first_error=1)
    tasks = make_tasks(given, proposals=[proposed, None])
    assert (len(tasks), tasks.left_out) == (2, {"repeated": 1, "no-steps": 1})
    shown = [r.get("proposed") for r in tasks.records()]
    assert {"first_error": 1, "scores": (1.0, 0.0, None), "source": "critic"} in shown
    assert None in shown
    with pytest.raises(InputError, match="control"):
        make_tasks([], controls=[Control(trace(3), 3)])
    with pytest.raises(InputError, match="style"):
        make_tasks(given, style="stars")


@pytest.mark.parametrize(
    "answer, said",
    [
        ({"ratings": [1, 1]}, "all 3 steps"),
        ({"ratings": [1, -1, 1]}, "up to the first -1"),
        ({"ratings": [1, 2, 1]}, "-1, 0 or 1"),
        ({"ratings": [True, 1, 1]}, "-1, 0 or 1"),
        ({"ratings": [1, None, 1]}, "Rate every step"),
        ({"ratings": []}, "0 ratings"),
        ({"ratings": "1 1 1"}, "a list"),
        ({"first_error": 3}, "a step from 0 to 2"),
        ({"first_error": -2}, "-1 for none"),
        ({"first_error": "1"}, "an integer"),
        ({"ratings": [1, 1, 1], "first_error": 1}, "as rated"),
        ({"finish": "bored"}, "bad_problem"),
        ({"finish": "give_up", "ratings": [1]}, "without ratings"),
        ({"ratings": [1, 1, 1], "annotator": " "}, "annotator"),
        ({"ratings": [1, 1, 1], "annotator": None}, "annotator"),
    ],
)
def test_a_bad_answer_is_a_named_error_with_its_line_and_never_a_label(tmp_path, answer, said):
    tasks = make_tasks([trace(3, draw=d) for d in range(3)])
    path = filled(tasks, tmp_path, "ann", lambda _, i: answer if i == 1 else {"ratings": [1, 0, 1]})
    found = read_answers([path], tasks)
    (error,) = found.bad
    assert error.line == 2
    assert said in str(error)
    assert [j.first_error for j in found.judgements] == [NO_ERROR, NO_ERROR]


def test_other_bad_lines_do_not_stop_the_reading(tmp_path):
    tasks = make_tasks([trace(3)])
    path = filled(tasks, tmp_path, "ann", lambda *_: {"ratings": [1, -1, None]})
    (record,) = lines(path)
    path.write_text(
        "not json\n" + json.dumps({"task": "zz", "answer": {}}) + "\n[1]\n" + 2 * (json.dumps(record) + "\n")
    )
    found = read_answers([path], tasks)
    assert [e.line for e in found.bad] == [1, 2, 3, 5]
    assert "one answer each" in str(found.bad[-1])
    assert [j.scores for j in found.judgements] == [(1.0, 0.0, None)]


def test_empty_and_given_up_tasks_label_nothing(tmp_path):
    tasks = make_tasks([trace(3, draw=d) for d in range(4)])
    answers = [{}, {"finish": "give_up"}, {"finish": "bad_problem"}, {"ratings": [0, 0, 0]}]
    found = read_answers([filled(tasks, tmp_path, "ann", lambda _, i: answers[i])], tasks)
    assert (found.unfilled, found.given_up, len(found.judgements)) == (1, {"give_up": 1, "bad_problem": 1}, 1)


@pytest.mark.parametrize(
    "neutral, scores",
    [
        ("positive", (1.0, 1.0, 0.0, None)),
        ("negative", (1.0, 0.0, 0.0, None)),
        ("ignored", (1.0, None, 0.0, None)),
    ],
)
def test_neutral_is_what_the_rule_says_and_the_rule_is_part_of_the_source(tmp_path, neutral, scores):
    tasks = make_tasks([trace(4)])
    path = filled(tasks, tmp_path, "ann", lambda *_: {"ratings": [1, 0, -1]})
    (judged,) = read_answers([path], tasks, neutral=neutral).judgements
    assert (judged.scores, judged.first_error, judged.extra["ratings"]) == (scores, 2, [1, 0, -1])
    (default,) = read_answers([path], tasks).judgements
    assert (default.source == judged.source) is (neutral == "positive")
    with pytest.raises(InputError, match="neutral"):
        read_answers([path], tasks, neutral="maybe")


def test_annotators_who_fail_the_controls_are_reported_and_set_apart(tmp_path):
    given, others = traces(3), traces(6)[12:]
    controls = [Control(t, j.first_error) for t, j in zip(others, WorldOracle().score(others))]
    tasks = make_tasks(given, controls=controls)
    good = filled(tasks, tmp_path, "good", knows)
    lazy = filled(tasks, tmp_path, "lazy", lambda task, _: {"ratings": [1] * len(task.trace.steps)})
    only = filled(tasks, tmp_path, "new", lambda task, i: {} if task.control else knows(task))
    found = read_answers([good, lazy, only], tasks)
    assert found.failed == ("lazy",)
    assert (found.quality["good"].value, found.quality["new"].value) == (1.0, None)
    assert found.quality["lazy"].of == 12
    assert {j.source.name for j in found.judgements} == {"human:good", "human:new"}
    assert {j.source.name for j in found.refused} == {"human:lazy"}
    assert len(found.judgements) == 2 * len(given), "controls are no labels"
    assert found.agreement.same.value == 1.0
    assert read_answers([lazy], tasks, pass_share=0.0).failed == ()


def judged(name: str, who: str, first_error: int | None, steps: int = 3, scores=None) -> Judgement:
    scores = scores or first_error_targets(first_error, steps)
    return Judgement(name, Question.VALIDITY, Source(f"human:{who}"), scores, first_error=first_error)


def test_kappa_is_the_textbook_s():
    both = ["yy"] * 20 + ["yn"] * 5 + ["ny"] * 10 + ["nn"] * 15
    assert cohen_kappa([p[0] for p in both], [p[1] for p in both]) == pytest.approx(0.4)
    counts = [
        (0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1),
        (7, 7, 0, 0, 0), (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7),
    ]  # fmt: skip
    rated = [[c for c, k in enumerate(row) for _ in range(k)] for row in counts]
    assert fleiss_kappa(rated) == pytest.approx(0.210, abs=5e-4)
    assert (cohen_kappa("yy", "yy"), fleiss_kappa(["y", "n"]), cohen_kappa("", "")) == (None, None, None)
    assert fleiss_kappa(["yy", "yyy", "nn"]) == 1.0
    assert fleiss_kappa(["yn", "ny"]) == -1.0


def test_agreement_tells_the_exact_place_from_clean_or_not():
    given = [judged(t, w, e) for t, es in (("t1", (0, 1)), ("t2", (-1, -1)), ("t3", (2, 1)))
             for w, e in zip("ab", es)]  # fmt: skip
    found = agreement([*given, judged("t4", "a", 0), judged("t1", "c", None)])
    assert (found.same.hits, found.same.of) == (1, 3)
    assert found.clean == 1.0
    assert found.first_error < 0.5
    assert set(found.pairs) == {("human:a", "human:b")}


def test_settling_takes_agreement_then_the_adjudicator_and_leaves_the_rest_open():
    given = [
        judged("same", "a", 1), judged("same", "b", 1), judged("same", "chief", 2),
        judged("differ", "a", 1), judged("differ", "b", 2), judged("differ", "chief", 2),
        judged("open", "a", 1), judged("open", "b", NO_ERROR),
        judged("one", "a", 0),
    ]  # fmt: skip
    same, differ, left, one = settle(given, adjudicator="chief")
    assert (same.first_error, same.extra["settled"], same.scores) == (1, "agreed", (1.0, 0.0, None))
    assert (differ.first_error, differ.extra["settled"]) == (2, "adjudicated")
    assert (left.scores, left.error.kind) == (None, "needs-adjudication")
    assert (one.first_error, one.extra["settled"]) == (0, "single")


def test_without_an_adjudicator_more_than_half_must_agree():
    three = [judged("t", w, e) for w, e in zip("abc", (1, 1, 2))]
    assert [(j.first_error, j.extra["settled"]) for j in settle(three)] == [(1, "majority")]
    assert settle([*three, judged("t", "d", 2)])[0].error.kind == "no-majority"
    neutral = judged("t", "a", -1, scores=(1.0, None, 1.0)), judged("t", "b", -1, scores=(1.0, 1.0, 1.0))
    assert settle(neutral)[0].scores == (1.0, None, 1.0), (
        "equal first errors, but one step was rated differently"
    )
