"""PRM800K (arXiv 2305.20050), phases 1 and 2: one line is one labelled solution, rated -1, 0, 1.

The main item of a line is its path: the chosen, human or pre-generated text of each step; in phase 2 the whole
pre-generated solution, unjudged after the first error. Every other rated completion gives one more item, the
path before it and then that completion. Raw ratings stay in `extra["ratings"]`, the rest of the line (labeler,
quality control, times) in `extra["prm800k"]` of the main item, so that the line can be written again; what a 0
counts as is `ReadOptions.neutral`. Lines given up or with a bad problem have no scores, but an error that says so.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from preceptor.annotate.formats.base import DoesNotFit, Format, Labelled, ReadOptions, Writing
from preceptor.annotate.formats.pieces import (
    answered,
    first_mistake,
    hard,
    is_hard,
    lose_rest,
    rest,
    texts_of,
)
from preceptor.annotate.formats.prm800k_path import Path, path_of, refill
from preceptor.annotate.rules import rating_targets
from preceptor.errors import ItemError
from preceptor.judgement import NO_ERROR, Judgement, Question, Source
from preceptor.trace import Problem, Trace
from preceptor.worlds.readers import joined
from preceptor.worlds.records import Row

NAME = "prm800k"
ENDINGS = ("solution", "found_error", "bad_problem", "give_up")
MARK = "# Answer"


def looks(fields: Mapping[str, Any]) -> bool:
    label = fields.get("label")
    return isinstance(label, dict) and "steps" in label and isinstance(fields.get("question"), dict)


def items(row: Row, options: ReadOptions) -> list[Labelled]:
    question = row.inner("question", row.get("question", dict))
    label = row.inner("label", row.get("label", dict))
    if label.text("finish_reason") not in ENDINGS:
        raise label.bad("finish_reason", label.fields["finish_reason"], f"one of {list(ENDINGS)}")
    gold = question.get("ground_truth_answer", str, type(None))
    known = question.fields.get("ground_truth_solution")
    problem = Problem(
        question.text("problem"), gold, world=NAME, grader="prm800k", segmenter="blank_line",
        reference=(known,) if isinstance(known, str) else (),
    )  # fmt: skip
    before = question.texts("pre_generated_steps") if "pre_generated_steps" in question.fields else None
    path = path_of(label, before)
    main = _main(row, problem, path, before, options)
    if main[1].error is not None:
        return [main]
    return [main, *_alternatives(problem, path, main[0].id, options)]


def _source(options: ReadOptions) -> Source:
    return Source.of("human/prm800k", neutral=options.neutral, human=options.human)


def _targets(
    path: Path, ratings: list[int | None], options: ReadOptions, upto: int | None = None
) -> tuple[float | None, ...]:
    """Scores of ratings along the path, of which the first `upto` steps are shared."""
    targets = list(rating_targets(ratings, neutral=options.neutral))
    if options.human == "right":
        for t, (_, where) in enumerate(path.refs[:upto]):
            targets[t] = 1.0 if where == "human" and targets[t] is None else targets[t]
    return tuple(targets)


def _main(row: Row, problem: Problem, path: Path, before: list[str] | None, options: ReadOptions) -> Labelled:
    whole = before is not None and before[: len(path.texts)] == path.texts
    steps = before if whole and before is not None else path.texts
    ending = row.fields["label"]["finish_reason"]
    own = rest(row.fields, "question", "label")
    drop = ("problem", "ground_truth_answer", *(["pre_generated_steps"] if whole else []))
    own |= {
        "question": rest(row.fields["question"], *drop),
        "label": {**row.fields["label"], "steps": path.kept},
        "path": [list(ref) for ref in path.refs],
        "whole": whole,
    }
    trace = joined(problem, steps)
    given = row.fields["question"].get("pre_generated_answer")
    trace = answered(trace, given if isinstance(given, str) else _answer(steps))
    ratings = [*path.ratings, *[None] * (len(steps) - len(path.ratings))]
    error = None
    if ending in ("bad_problem", "give_up") or not steps:
        error = ItemError("given-up" if steps else "no-steps", f"the labeller finished with {ending}")
    first = first_mistake(ratings)
    judgement = Judgement(
        trace.id,
        Question.VALIDITY,
        _source(options),
        _targets(path, ratings, options) if error is None else None,
        first_error=first if error is None and (first >= 0 or ending == "solution") else None,
        flags=tuple(_flags(row, path)),
        error=error,
        extra={"ratings": ratings, NAME: own},
    )
    return trace, judgement


def _flags(row: Row, path: Path) -> Iterator[str]:
    if row.fields.get("is_quality_control_question"):
        yield "quality-control"
    if row.fields.get("is_initial_screening_question"):
        yield "initial-screening"
    if any(where == "human" for _, where in path.refs):
        yield "human-step"


def _answer(steps: list[str]) -> str | None:
    _, found, answer = (steps[-1] if steps else "").rpartition(MARK)
    return answer.strip() or None if found else None


def _alternatives(problem: Problem, path: Path, main: str, options: ReadOptions) -> Iterator[Labelled]:
    """The rated completions off the path, each after the path before it."""
    for step, place, text, rating in path.alternatives:
        steps, ratings = [*path.texts[:step], text], [*path.ratings[:step], rating]
        trace = replace(answered(joined(problem, steps), _answer([text])), draw=place)
        extra = {"ratings": ratings, NAME: {"alternative": [step, place], "of": main}}
        targets = _targets(path, ratings, options, step)
        yield (
            trace,
            Judgement(
                trace.id, Question.VALIDITY, _source(options), targets, first_error=first_mistake(ratings),
                flags=("alternative",), extra=extra,
            ),
        )  # fmt: skip


def records(found: Iterable[Labelled], writing: Writing) -> Iterator[dict[str, Any]]:
    """Lines; an alternative is part of the line before it, and cannot be written without that."""
    line = ""
    for trace, judgement in found:
        own = judgement.extra.get(NAME, {})
        if "alternative" in own:
            if own["of"] == line:
                writing.report.count(judgement)
            else:
                writing.report.left_out["alternative apart from its line"] += 1
            continue
        try:
            written = _again(trace, judgement) if "path" in own else _made(trace, judgement, writing)
        except DoesNotFit as error:
            writing.report.left_out[error.reason] += 1
            continue
        line = trace.id
        writing.report.count(judgement)
        yield written


def _again(trace: Trace, judgement: Judgement) -> dict[str, Any]:
    """The line an item was read from."""
    own = copy.deepcopy(dict(judgement.extra[NAME]))
    texts, refs, whole = texts_of(trace)[0], own.pop("path"), own.pop("whole")
    own["question"] |= {"problem": trace.problem.prompt, "ground_truth_answer": trace.problem.gold}
    if whole:
        own["question"]["pre_generated_steps"] = texts
    refill(own["label"]["steps"], refs, texts, judgement.extra["ratings"])
    return own


def _made(trace: Trace, judgement: Judgement, writing: Writing) -> dict[str, Any]:
    """A phase-2 line for an item from elsewhere: rated up to its first error."""
    texts, scores = texts_of(trace)[0], judgement.scores
    if scores is None or all(s is None for s in scores):
        raise DoesNotFit("no labels")
    ratings = judgement.extra.get("ratings")
    if ratings is None:
        marks = iter(hard([s for s in scores if s is not None], writing))
        ratings = [None if s is None else 1 if next(marks) else -1 for s in scores]
    elif not is_hard(scores):
        raise DoesNotFit("ratings and soft labels")
    first = first_mistake(ratings)
    shown = ratings if first == NO_ERROR else ratings[: first + 1]
    read = (*rating_targets(shown, neutral="positive"), *[None] * (len(ratings) - len(shown)))
    reads = (Source("human/prm800k"), Question.VALIDITY)
    lose_rest(
        trace, judgement, writing, read, reads, NAME, gold_answer=True, ratings=True, answer=True, source=True
    )
    writing.lose(labels_after_the_first_error=any(s is not None for s in scores[len(shown) :]))
    steps = [
        {
            "completions": [{"text": text, "rating": rating, "flagged": None}],
            "human_completion": None,
            "chosen_completion": None if rating == -1 else 0,
        }
        for text, rating in zip(texts, shown, strict=False)
    ]
    question = {"problem": trace.problem.prompt, "ground_truth_answer": trace.problem.gold}
    return {
        "labeler": str(judgement.source),
        "generation": None,
        "is_quality_control_question": False,
        "is_initial_screening_question": False,
        "question": {**question, "pre_generated_steps": texts, "pre_generated_answer": trace.answer},
        "label": {"steps": steps, "finish_reason": "solution" if first == NO_ERROR else "found_error"},
    }


FORMAT = Format(NAME, "PRM800K, phases 1 and 2: ratings -1, 0, 1 and alternatives", looks, items, records)
