"""The public calls: grade one text or many, compare two answers, name an answer's class for a vote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from preceptor.errors import InputError
from preceptor.grade import workers
from preceptor.grade.cascade import MATH
from preceptor.grade.choice import CHOICE
from preceptor.grade.code import CODE
from preceptor.grade.countdown import COUNTDOWN
from preceptor.grade.exact import EXACT
from preceptor.grade.grader import (
    BAD_GOLD,
    FAILED,
    NO_ANSWER,
    NO_ANSWER_CUT,
    NO_GOLD,
    TOO_LONG,
    Grader,
    clip,
)
from preceptor.grade.gsm8k import GSM8K
from preceptor.grade.math_is_equiv import MATH_IS_EQUIV
from preceptor.grade.math_verify import MATH_VERIFY
from preceptor.grade.numeric import NUMERIC
from preceptor.grade.prm800k import PRM800K
from preceptor.trace import Finish, Grade, Problem, Verdict, content_id

GRADERS: dict[str, Grader] = {
    "choice": CHOICE,
    "code": CODE,
    "countdown": COUNTDOWN,
    "exact": EXACT,
    "gsm8k": GSM8K,
    "math": MATH,
    "math_is_equiv": MATH_IS_EQUIV,
    "math_verify": MATH_VERIFY,
    "numeric": NUMERIC,
    "prm800k": PRM800K,
}


def grade(problem: Problem, text: str, *, finish: Finish | None = None) -> Grade:
    """Extract the answer from `text` and compare it with the problem's gold answer.

    Never raises on any text. Undecided: no gold answer, a failed generation, a timeout. Incorrect with
    `answer=None`: nothing could be extracted. Raises `InputError` when `problem.grader` is not in `GRADERS`.
    """
    early, answer = _extract(problem, text, finish)
    return early or equivalent(problem.grader, answer, problem.gold or "", problem.meta)


def grade_many(
    problems_and_texts: Sequence[tuple[Problem, str]], finishes: Sequence[Finish | None] | None = None
) -> list[Grade]:
    """`grade` of every pair, in order; the same answer to the same question is compared once.

    Comparisons that need sympy run on all workers of the pool at once.
    """
    finishes = finishes or [None] * len(problems_and_texts)
    found = [_extract(p, text, f) for (p, text), f in zip(problems_and_texts, finishes, strict=True)]
    questions: dict[str, tuple[str, str, str, Mapping[str, Any]]] = {}
    keys: list[str] = []
    for (problem, _), (early, answer) in zip(problems_and_texts, found, strict=True):
        question = (problem.grader, answer, problem.gold or "", problem.meta)
        keys.append("" if early else content_id(*question[:3], dict(problem.meta)))
        if not early:
            questions.setdefault(keys[-1], question)
    with ThreadPoolExecutor(workers.pool().size) as threads:
        grades = dict(zip(questions, threads.map(lambda q: equivalent(*q), questions.values())))
    return [early or grades[key] for (early, _), key in zip(found, keys, strict=True)]


def equivalent(grader: str, given: str, gold: str, meta: Mapping[str, Any] | None = None) -> Grade:
    """Compare two answers by the grader's rule, without extraction. Not symmetric for every grader."""
    rules = _named(grader)
    if rules.needs_gold and not gold.strip():
        return Grade(Verdict.UNDECIDED, NO_GOLD, given)
    wanted = rules.read_gold(gold)
    if wanted is None:
        return Grade(Verdict.UNDECIDED, f"{BAD_GOLD}: {clip(gold)}", given)
    if len(given) > max(rules.max_length, 2 * len(wanted)):
        return Grade(Verdict.INCORRECT, f"{TOO_LONG}: {len(given)} characters", given)
    return Grade(*rules.compare(given, wanted, meta or {}), given)


def canonical(problem: Problem, answer: str) -> str:
    """The class of an answer: equal strings count as one answer in a vote.

    Finer than `equivalent` where equality needs sympy: `\\sqrt{8}` and `2\\sqrt{2}` are two classes.
    """
    rules = _named(problem.grader)
    return answer if len(answer) > rules.max_length else rules.canonical(answer)


def _extract(problem: Problem, text: str, finish: Finish | None) -> tuple[Grade | None, str]:
    """A grade that needs no comparison, or the extracted answer."""
    rules = _named(problem.grader)
    if finish is Finish.ERROR:
        return Grade(Verdict.UNDECIDED, FAILED), ""
    cut = finish is Finish.LENGTH
    answer = rules.extract(text, not cut)
    if rules.needs_gold and not (problem.gold or "").strip():
        return Grade(Verdict.UNDECIDED, NO_GOLD, answer), ""
    if answer is None:
        return Grade(Verdict.INCORRECT, NO_ANSWER_CUT if cut else NO_ANSWER), ""
    return None, answer


def _named(name: str) -> Grader:
    if name not in GRADERS:
        raise InputError(f"grader: got {name!r}, expected one of {sorted(GRADERS)}")
    return GRADERS[name]
