"""Public data with labels: traces with human first-error marks, pools of scored candidates, graded solutions.

Every reader gives the whole file or raises: `RecordError` names file, line, field, what stands there, what is
expected and what to do. Nothing is skipped in silence. Published peculiarities are kept and flagged: PRMBench
lists error steps beyond the last step (flag `error-step-beyond-end`) and repeats rows (flag `repeated-row`).

A trace's text is its steps joined by a blank line; each delimiter belongs to the step it ends, so the steps
tile the text. Control characters are kept as they are. A step may be empty (BIG-Bench Mistake has one); a
trace without any text may not. Left out: fetching data, metrics (see `bench/`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from preceptor.errors import ItemError
from preceptor.judgement import NO_ERROR, Judgement, Question, Source
from preceptor.trace import Finish, Grade, Problem, Trace, Verdict, steps_from_ends
from preceptor.worlds.records import Row, read_rows, unique

DELIMITER = "\n\n"


@dataclass(frozen=True)
class LabelledTrace:
    """A trace and what people say of its steps; unpacks as `trace, judgement`."""

    trace: Trace
    judgement: Judgement
    id: str = ""
    """The data set's own id of the item."""
    category: str = ""
    """Subset, task or class of error, as the data set names it."""

    def __iter__(self) -> Iterator[Trace | Judgement]:
        return iter((self.trace, self.judgement))


@dataclass(frozen=True)
class Candidate:
    """One sampled solution with the step scores of several reward models."""

    steps: tuple[str, ...]
    answer: str | None
    correct: bool
    num_tokens: int
    step_scores: dict[str, tuple[float, ...]]
    """One score per step and model."""


@dataclass(frozen=True)
class Pool:
    """All candidates of one problem, in the order in which they were sampled."""

    problem: Problem
    candidates: tuple[Candidate, ...]

    @cached_property
    def traces(self) -> list[Trace]:
        """The candidates as graded traces; `draw` is the place in the pool."""
        return [
            replace(joined(self.problem, c.steps), grade=_stated(c.correct, "is_correct", c.answer), draw=i)
            for i, c in enumerate(self.candidates)
        ]


def joined(problem: Problem, steps: Sequence[str], delimiter: str = DELIMITER, policy: str = "") -> Trace:
    """The trace whose text is `delimiter.join(steps)`; all steps but the last include their delimiter."""
    ends, at = [], 0
    for i, step in enumerate(steps):
        at += len(step) + (len(delimiter) if i < len(steps) - 1 else 0)
        ends.append(at)
    return Trace(problem, delimiter.join(steps), steps_from_ends(ends), policy=policy)


def first_error_scores(first_error: int, steps: int) -> tuple[float | None, ...]:
    """Validity when only the first error is marked: 1 before it, 0 at it, unknown after it."""
    if first_error == NO_ERROR:
        return (1.0,) * steps
    return (1.0,) * first_error + (0.0,) + (None,) * (steps - first_error - 1)


def read_processbench(path: str | Path) -> list[LabelledTrace]:
    """ProcessBench (arXiv 2412.06559): solutions of 12 models with the first wrong paragraph marked.

    `path` is one subset, a JSON list or JSON lines. The problem's gold answer is not in the data; the grade
    is `final_answer_correct`. Several solutions of one problem share its id.
    """
    path = Path(path)
    return [processbench_item(row) for row in unique(read_rows(path), "id")]


def processbench_item(row: Row) -> LabelledTrace:
    """One row of ProcessBench."""
    steps, label = row.texts("steps"), row.get("label", int)
    if not NO_ERROR <= label < len(steps):
        raise row.bad("label", str(label), f"-1 or the index of one of {len(steps)} steps")
    trace = joined(processbench_problem(row), steps, policy=row.text("generator"))
    trace = trace.graded(_stated(row.get("final_answer_correct", bool), "final_answer_correct"))
    own, subset = str(row.get("id", str, int)), row.path.name.split(".")[0]
    return _labelled(trace, Source("human/processbench"), label, own, subset)


def read_bigbench_mistake(path: str | Path) -> list[LabelledTrace]:
    """BIG-Bench Mistake (arXiv 2311.08516): PaLM 2 traces of one task with the first mistake marked.

    The trace is correct when `answer` equals `target`. Items have no id; theirs is the task and the line.
    """
    path, found = Path(path), []
    lines: dict[str, int] = {}
    source, task = Source("human/bigbench-mistake"), path.name.split(".")[0]
    for row in read_rows(path):
        steps = row.texts("steps")
        mistake = row.get("mistake_index", int, type(None))
        if mistake is not None and not 0 <= mistake < len(steps):
            raise row.bad("mistake_index", str(mistake), f"null or the index of one of {len(steps)} steps")
        label = NO_ERROR if mistake is None else mistake
        trace = joined(bigbench_problem(row), steps, policy="PaLM 2")
        answer, target = row.get("answer", str), row.text("target")
        trace = trace.graded(_stated(answer.strip() == target.strip(), "answer and target", answer))
        if trace.id in lines:
            got = f"the trace of line {lines[trace.id]} again"
            raise row.bad("steps", got, "traces that differ", "Remove one of them.")
        lines[trace.id] = row.line
        found.append(_labelled(trace, source, label, f"{task}-{row.line}", task))
    return found


def read_prmbench(path: str | Path) -> list[LabelledTrace]:
    """PRMBench (arXiv 2501.03124): PRM800K solutions into which one class of error was written.

    Scores are 0 at each of the (1-based) `error_steps` and 1 elsewhere. `category` is the class. Of the rows
    that repeat a pair of class and `idx` the first is kept, as the benchmark does. A row whose error steps
    all lie beyond the end has no scores and the item error `label-out-of-range`.
    """
    found: dict[str, LabelledTrace] = {}
    for row in read_rows(path):
        item = prmbench_item(row)
        if item.id in found:
            first = found[item.id].judgement
            flags = tuple(sorted({*first.flags, "repeated-row"}))
            item = replace(found[item.id], judgement=replace(first, flags=flags))
        found[item.id] = item
    return list(found.values())


def prmbench_item(row: Row) -> LabelledTrace:
    """One row of PRMBench."""
    kind = row.text("classification")
    steps, listed = row.texts("modified_process"), row.integers("error_steps")
    if any(e < 1 for e in listed):
        raise row.bad("error_steps", str(listed), "1-based step numbers")
    trace = joined(prmbench_problem(row), steps)
    errors = sorted({e - 1 for e in listed if e <= len(steps)})
    lost = bool(listed) and not errors
    judgement = Judgement(
        trace.id,
        Question.VALIDITY,
        Source("injected/prmbench"),
        None if lost else tuple(0.0 if t in set(errors) else 1.0 for t in range(len(steps))),
        first_error=None if lost else (errors or [NO_ERROR])[0],
        flags=("error-step-beyond-end",) if any(e > len(steps) for e in listed) else (),
        error=ItemError("label-out-of-range", f"error steps {listed} of {len(steps)}") if lost else None,
    )
    return LabelledTrace(trace, judgement, f"{kind}/{row.text('idx')}", kind)


def read_bon_pool(path: str | Path) -> list[Pool]:
    """Best-of-n pools (StrictPRMBench): per problem the same number of samples or fewer, each with the step
    scores of the same reward models."""
    pools: list[Pool] = []
    models: list[str] | None = None
    for row in unique(read_rows(path), "problem_id"):
        candidates = []
        for i, fields in enumerate(row.get("candidates", list)):
            candidate = row.inner(f"candidates[{i}]", fields)
            candidates.append(_candidate(candidate))
            own = sorted(candidates[-1].step_scores)
            if own != (models := own if models is None else models):
                raise candidate.bad("step_scores", f"models {own}", f"{models} as in the rows before")
        if not candidates:
            raise row.bad("candidates", "none", "at least one candidate")
        pools.append(Pool(bon_problem(row), tuple(candidates)))
    return pools


def read_gsm8k_solutions(path: str | Path) -> list[Trace]:
    """The released solutions of four GSM8K models (arXiv 2110.14168): a trace per problem and model.

    Lines are steps, calculator notes `<<a*b=c>>` are kept, `policy` is the model's name. A solution without
    its `A: ` line was cut off by the token limit and finishes with `Finish.LENGTH`.
    """
    found = []
    for row in unique(read_rows(path), "question"):
        problem = gsm8k_solved_problem(row)
        models = [name for name in row.fields if name not in ("question", "ground_truth")]
        if not models:
            raise row.bad("question", "no model's solution", "{model: {is_correct, solution}}")
        for name in models:
            own = row.inner(name, row.fields[name])
            trace = joined(problem, own.text("solution").split("\n"), "\n", policy=name)
            mark, _, answer = trace.step_texts[-1].partition("A: ")
            ended = not mark and bool(answer)
            grade = _stated(own.get("is_correct", bool), "is_correct", answer.strip() if ended else None)
            found.append(replace(trace, grade=grade, finish=Finish.STOP if ended else Finish.LENGTH))
    return found


def processbench_problem(row: Row) -> Problem:
    return Problem(row.text("problem"), world="processbench", segmenter="blank_line")


def bigbench_problem(row: Row) -> Problem:
    return Problem(
        row.text("input"),
        row.text("target"),
        world="bigbench_mistake",
        grader="exact",
        segmenter="blank_line",
    )


def prmbench_problem(row: Row) -> Problem:
    """The question that the evaluated (modified) solution answers."""
    question = row.text("modified_question")
    return Problem(question, world="prmbench", segmenter="blank_line", meta={"idx": row.text("idx")})


def bon_problem(row: Row) -> Problem:
    return Problem(
        row.text("question"),
        row.text("ground_truth"),
        str(row.get("problem_id", str, int)),
        world="bon_pools",
        segmenter="blank_line",
    )


def gsm8k_problem(row: Row) -> Problem:
    """The published form: worked lines, then `#### answer`."""
    return _gsm8k(row, "answer", "#### ")


def gsm8k_solved_problem(row: Row) -> Problem:
    """The form beside the models' solutions: worked lines, then `A: answer`."""
    return _gsm8k(row, "ground_truth", "A: ")


def _gsm8k(row: Row, field: str, mark: str) -> Problem:
    *lines, last = row.text(field).split("\n")
    before, found, gold = last.partition(mark)
    if before or not found or not gold.strip():
        raise row.bad(field, ascii(last[:60]), f"a last line '{mark}NUMBER'")
    reference = tuple(line + "\n" for line in lines if line.strip())
    return Problem(
        row.text("question"),
        gold.strip(),
        world="gsm8k",
        grader="gsm8k",
        segmenter="line",
        reference=reference,
    )


def _candidate(row: Row) -> Candidate:
    steps = row.texts("steps")
    given = row.get("step_scores", dict)
    inner = row.inner("step_scores", given)
    scores = {model: inner.numbers(model) for model in given}
    for model, values in scores.items():
        if len(values) != len(steps):
            raise inner.bad(model, f"{len(values)} scores", f"one for each of {len(steps)} steps")
    return Candidate(
        tuple(steps),
        row.get("answer", str, type(None)),
        row.get("is_correct", bool),
        row.get("num_tokens", int),
        scores,
    )


def _labelled(trace: Trace, source: Source, first_error: int, own: str, category: str) -> LabelledTrace:
    scores = first_error_scores(first_error, len(trace.steps))
    judgement = Judgement(trace.id, Question.VALIDITY, source, scores, first_error=first_error)
    return LabelledTrace(trace, judgement, own, category)


def _stated(correct: bool, field: str, answer: str | None = None) -> Grade:
    verdict = Verdict.CORRECT if correct else Verdict.INCORRECT
    return Grade(verdict, f"stated by the data ({field})", answer)
