"""All that a trace and a judgement say as one flat record, and back; shared by `jsonl` and `parquet`.

A field that has its default is left out. Token ids, log-probabilities and costs have no field: the store's
export keeps those.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from preceptor.annotate.formats.pieces import NO_ANSWER, texts_of
from preceptor.errors import ItemError
from preceptor.judgement import Judgement, Question, Source
from preceptor.trace import Finish, Grade, Problem, Step, Trace, Verdict
from preceptor.worlds.readers import DELIMITER, joined

SOURCE = "import/jsonl"
DEFAULTS: dict[str, Any] = {
    "gold": None, "answer": None, "verdict": None, "reason": NO_ANSWER, "generator": "", "draw": None,
    "finish": "stop", "question_answered": "validity", "source": SOURCE, "problem_id": "", "world": "",
    "grader": "math", "segmenter": "blank_line", "reference": [], "meta": {}, "delimiter": DELIMITER,
    "kinds": None, "observations": None, "counts": None, "undecided": 0, "rationale": None, "flags": [],
    "error": None, "ratings": None, "label_kind": None, "extra": {},
}  # fmt: skip
"""What an optional field means where it is absent or null."""


def filled(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The optional fields of a record, defaults put in."""
    return {k: default if fields.get(k) is None else fields[k] for k, default in DEFAULTS.items()}


def trace_of(said: Mapping[str, Any], prompt: str, steps: list[str]) -> Trace:
    problem = Problem(
        prompt, said["gold"], said["problem_id"], said["world"], said["grader"], said["segmenter"],
        tuple(said["reference"]), said["meta"],
    )  # fmt: skip
    whole = joined(problem, steps, said["delimiter"])
    cut = whole.steps
    if said["kinds"] or said["observations"]:
        kinds, seen = said["kinds"] or ["text"] * len(steps), said["observations"] or [None] * len(steps)
        cut = tuple(Step(s.start, s.end, kind, o) for s, kind, o in zip(cut, kinds, seen, strict=True))
    grade = None
    if said["verdict"] is not None or said["answer"] is not None:
        grade = Grade(Verdict(said["verdict"] or "undecided"), said["reason"], said["answer"])
    return Trace(
        problem, whole.text, cut, Finish(said["finish"]), grade, said["generator"], draw=said["draw"]
    )


def judgement_of(
    said: Mapping[str, Any], trace: Trace, scores: tuple[float | None, ...] | None, first_error: int | None
) -> Judgement:
    counts, why = said["counts"], said["rationale"]
    shared = {k: said[k] for k in ("ratings", "label_kind") if said[k] is not None}
    return Judgement(
        trace.id,
        Question(said["question_answered"]),
        source_of(said["source"]),
        scores,
        counts=None if counts is None else tuple(None if c is None else (c[0], c[1]) for c in counts),
        undecided=said["undecided"],
        first_error=first_error,
        rationale=None if why is None else tuple(why),
        flags=tuple(said["flags"]),
        error=ItemError.from_record(said["error"]),
        extra={**said["extra"], **shared},
    )


def source_of(text: str) -> Source:
    """`name`, `name@version` or `name@version#config`."""
    name, _, tail = text.partition("@")
    version, _, config = tail.partition("#")
    return Source(name, version or "1", config)


def source_text(source: Source) -> str:
    return source.name if (source.version, source.config) == ("1", "") else str(source)


def record_of(trace: Trace, judgement: Judgement) -> dict[str, Any]:
    """Every field, those with their default too."""
    steps, delimiter = texts_of(trace)
    problem, grade, extra = trace.problem, trace.grade, dict(judgement.extra)
    own = Problem(problem.prompt, problem.gold, "", problem.world, problem.grader, meta=problem.meta).id
    odd = any(s.kind != "text" for s in trace.steps)
    seen = any(s.observation is not None for s in trace.steps)
    bare = (
        grade is not None and (grade.decided, grade.reason) == (False, NO_ANSWER) and grade.answer is not None
    )
    return {
        "problem": problem.prompt,
        "steps": steps,
        "scores": None if judgement.scores is None else list(judgement.scores),
        "first_error": judgement.first_error,
        "gold": problem.gold,
        "answer": trace.answer,
        "verdict": None if grade is None or bare else grade.verdict.value,
        "reason": NO_ANSWER if grade is None else grade.reason,
        "generator": trace.policy,
        "draw": trace.draw,
        "finish": trace.finish.value,
        "question_answered": judgement.question.value,
        "source": source_text(judgement.source),
        "problem_id": "" if problem.id == own else problem.id,
        "world": problem.world,
        "grader": problem.grader,
        "segmenter": problem.segmenter,
        "reference": list(problem.reference),
        "meta": dict(problem.meta),
        "delimiter": delimiter if len(steps) > 1 else DELIMITER,
        "kinds": [s.kind for s in trace.steps] if odd else None,
        "observations": [s.observation for s in trace.steps] if seen else None,
        "counts": None if judgement.counts is None else [c and list(c) for c in judgement.counts],
        "undecided": judgement.undecided,
        "rationale": None if judgement.rationale is None else list(judgement.rationale),
        "flags": list(judgement.flags),
        "error": None if judgement.error is None else judgement.error.to_record(),
        "ratings": extra.pop("ratings", None),
        "label_kind": extra.pop("label_kind", None),
        "extra": extra,
    }


def lose_tokens(trace: Trace) -> dict[str, bool]:
    """What even the fullest record leaves out."""
    return {
        "token_ids": trace.token_ids is not None,
        "log_probabilities": trace.logprobs is not None,
        "seed": trace.seed is not None,
        "parent": trace.parent is not None,
        "trace_error": trace.error is not None,
    }
