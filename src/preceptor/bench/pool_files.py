"""Files of sampled solutions as pools, whatever their form; told apart by the fields of the first record.

    candidates        StrictPRMBench (`worlds.readers.read_bon_pool`): step scores of several reward models
    response, score   samples of RL-Verifier-Pitfalls: one logit of a reward model per solution (model "reward")
    ys, infos         Game of 24 logs of Tree of Thoughts, the puzzles in `24.csv` beside the file: free samples
                      without scores, or the last beam with GPT-4's value of every prefix (model "gpt4_value", the sum
                      of three votes of 20, 1 or 0.001, over 60)

Only the first form says how many tokens a solution has; elsewhere `num_tokens` is 0.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from preceptor.errors import InputError
from preceptor.grade.grader import after_answer_marker
from preceptor.trace import Problem
from preceptor.worlds.readers import Candidate, Pool, read_bon_pool
from preceptor.worlds.records import Row, read_rows

VALUE_SUM = 60.0
"""Three votes of "sure"."""


def read_pools(path: str | Path) -> list[Pool]:
    """All pools of one file. InputError for an unknown form and an empty file, `RecordError` for a malformed record."""
    path = Path(path)
    first = next(iter(read_rows(path)))
    for fields, read in _FORMS:
        if set(fields) <= set(first.fields):
            return read(path)
    raise InputError(
        f"{path}: got records with {sorted(first.fields)[:12]}, expected pools of candidates: one of "
        f"{[list(fields) for fields, _ in _FORMS]}"
    )


def read_sampled_math(path: Path) -> list[Pool]:
    """One candidate per response; its one score is a logit, and the response is one step."""
    pools = []
    for row in read_rows(path):
        texts, answers, right, scores = (
            row.get(f, list) for f in ("response", "pred", "score", "pred_score")
        )
        if not len(texts) == len(answers) == len(right) == len(scores):
            raise row.bad(
                "response", f"{len(texts)} texts", f"as many as in pred, score ({len(right)}), pred_score"
            )
        candidates = tuple(
            Candidate((text,), answer or None, good, 0, {"reward": _one(row, score)})
            for text, answer, good, score in zip(texts, answers, right, scores, strict=True)
        )
        problem = Problem(row.text("question"), row.text("gt"), world="math", segmenter="blank_line")
        pools.append(Pool(problem, candidates))
    return pools


def _one(row: Row, score: Any) -> tuple[float, ...]:
    if not (isinstance(score, list) and len(score) == 1 and isinstance(score[0], int | float)):
        raise row.bad("pred_score", repr(score)[:40], "a list of one number per response")
    return (float(score[0]),)


def read_game24_logs(path: Path) -> list[Pool]:
    """Candidates in the order of the log; the lines are the steps."""
    puzzles = path.parent / "24.csv"
    if not puzzles.is_file():
        raise InputError(f"{path}: the puzzles are not beside it, expected {puzzles}")
    with puzzles.open(encoding="utf-8", newline="") as file:
        numbers = [row["Puzzles"] for row in csv.DictReader(file)]
    pools = []
    for row in read_rows(path):
        at = row.get("idx", int)
        if not 0 <= at < len(numbers):
            raise row.bad("idx", str(at), f"the number of one of {len(numbers)} puzzles")
        meta = {"numbers": [int(n) for n in numbers[at].split()], "target": 24}
        problem = Problem(numbers[at], None, f"game24-{at}", world="game24", grader="countdown", meta=meta)
        values = _values(row)
        infos = row.get("infos", list)
        pools.append(
            Pool(
                problem,
                tuple(
                    _play(text, info["r"] == 1, values)
                    for text, info in zip(row.texts("ys"), infos, strict=True)
                ),
            )
        )
    return pools


def _values(row: Row) -> dict[str, float] | None:
    """The value of every prefix in the log of a search; None for free samples."""
    if "steps" not in row.fields:
        return None
    found: dict[str, float] = {}
    for step in row.get("steps", list):
        for prefix, value in zip(step["new_ys"], step["values"], strict=True):
            found.setdefault(prefix, value / VALUE_SUM)
    return found


def _play(text: str, correct: bool, values: dict[str, float] | None) -> Candidate:
    lines = [line for line in text.split("\n") if line.strip()]
    answer = after_answer_marker(text, True) or None
    scores: dict[str, tuple[float, ...]] = {}
    if values is not None:
        prefixes = ["".join(f"{line}\n" for line in lines[: t + 1]) for t in range(len(lines))]
        # the last move and its answer line were written, and valued, as one
        known = [values.get(prefix) for prefix in prefixes]
        scores["gpt4_value"] = tuple(v for v in known if v is not None)
    return Candidate(tuple(lines), answer, correct, 0, scores)


_FORMS: tuple[tuple[tuple[str, ...], Callable[[Path], list[Pool]]], ...] = (
    (("candidates",), read_bon_pool),
    (("response", "score", "pred", "pred_score"), read_sampled_math),
    (("ys", "infos", "idx"), read_game24_logs),
)
