"""On real model output and human data the graders agree with the published verdicts, up to counted exceptions."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from preceptor.grade import equivalent, grade, grade_many
from preceptor.trace import Problem


def rows(path: Path) -> list[dict[str, Any]]:
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line) for line in content.splitlines()]


def test_every_gsm8k_gold_grades_correct_against_itself(shared_data: Path) -> None:
    found = rows(shared_data / "gsm8k" / "test.jsonl")
    assert len(found) == 1_319
    for row in found:
        number = row["answer"].rpartition("#### ")[2]
        assert grade(Problem("q", gold=row["answer"], grader="gsm8k"), row["answer"]).correct
        assert grade(Problem("q", gold=number, grader="gsm8k"), row["answer"]).correct
        assert grade(Problem("q", gold=number, grader="numeric"), f"Answer: {number}").correct
        assert not grade(Problem("q", gold=number, grader="gsm8k"), f"#### -{number}").correct


def test_gsm8k_agrees_with_the_published_verdicts_on_every_example_solution(shared_data: Path) -> None:
    """5,276 solutions of four models, no disagreement; 15 of them state no answer."""
    counts: Counter[tuple[bool, str, bool]] = Counter()
    for row in rows(shared_data / "gsm8k" / "example_model_solutions.jsonl"):
        problem = Problem("q", gold=row["ground_truth"], grader="gsm8k")
        for model in set(row) - {"question", "ground_truth"}:
            found = grade(problem, row[model]["solution"])
            counts[row[model]["is_correct"], found.verdict.value, found.answer is None] += 1
    assert counts == {
        (True, "correct", False): 2_001,
        (False, "incorrect", False): 3_260,
        (False, "incorrect", True): 15,
    }


@pytest.mark.parametrize("name", ["math", "math_is_equiv", "prm800k", "math_verify"])
def test_every_math500_solution_grades_correct_against_its_answer(shared_data: Path, name: str) -> None:
    found = rows(shared_data / "math500" / "test500.jsonl")
    grades = grade_many([(Problem("q", gold=r["answer"], grader=name), r["solution"]) for r in found])
    assert Counter(g.verdict.value for g in grades) == {"correct": 500}


def test_no_math500_answer_passes_for_another_problem(shared_data: Path) -> None:
    """Each answer against the next one that is written differently; what is accepted is in fact equal."""
    answers = [r["answer"] for r in rows(shared_data / "math500" / "test500.jsonl")]
    pairs = [(a, b) for a, b in pairwise(answers) if a != b]
    accepted = [(a, b) for a, b in pairs if equivalent("math", a, b).correct]
    assert accepted == [("5", "x=5")]


def test_bon_pool_answers_agree_with_the_published_verdicts(shared_data: Path) -> None:
    """8,000 sampled solutions. GSM8K's string rule misses 231 right ones written as `26.00` or `\\$125`."""
    pool = rows(shared_data / "bon_pools" / "gsm8k_250x32.jsonl.gz")
    wrong: Counter[str] = Counter()
    for row in pool:
        for candidate in row["candidates"]:
            for name in ("math", "numeric", "gsm8k"):
                found = equivalent(name, candidate["answer"], row["ground_truth"])
                assert found.decided
                wrong[name] += found.correct != candidate["is_correct"]
    assert wrong == {"math": 0, "numeric": 0, "gsm8k": 231}


def test_numeric_reads_the_answer_out_of_whole_bon_pool_solutions(shared_data: Path) -> None:
    """7,789 of 8,000 agree. In 210 of the others the published answer lost what stands before the comma of
    `$70,000` (it says `000`) and the published verdict is wrong; one solution does not end in its answer."""
    differ = []
    for row in rows(shared_data / "bon_pools" / "gsm8k_250x32.jsonl.gz"):
        problem = Problem("q", gold=row["ground_truth"], grader="numeric")
        for candidate in row["candidates"]:
            found = grade(problem, "\n\n".join(candidate["steps"]))
            if found.correct != candidate["is_correct"]:
                differ.append((found, candidate["answer"]))
    assert len(differ) == 211
    lost_comma = [
        (f, a) for f, a in differ if f.correct and "," in f.answer and a in f.answer.replace("$", "")
    ]
    assert len(lost_comma) == 210


def test_math_agrees_with_the_published_verdicts_on_sampled_solutions(shared_data: Path) -> None:
    """800 samples; the one difference, 10000 for `10{,}000`, is an error of the published verdict."""
    pairs, published = [], []
    for row in rows(shared_data / "sampled_math" / "math_cot_100.jsonl"):
        pairs += [(Problem("q", gold=row["gt"]), text) for text in row["code"]]
        published += row["score"]
    grades = grade_many(pairs)
    differ = [
        (p.gold, g.answer, g.correct)
        for (p, _), g, score in zip(pairs, grades, published)
        if g.correct != score
    ]
    assert len(grades) == 800
    assert differ == [("10{,}000", "10000", True)]


def test_countdown_agrees_with_the_published_rewards_of_the_game_of_24(shared_data: Path) -> None:
    """10,000 GPT-4 samples; the one difference states `= 48` behind an expression worth 24."""
    with (shared_data / "game24" / "24.csv").open(encoding="utf-8") as table:
        puzzles = {int(r["Rank"]) - 1: [int(n) for n in r["Puzzles"].split()] for r in csv.DictReader(table)}
    differ, total = [], 0
    for game in json.loads((shared_data / "game24" / "cot_sample_100.json").read_text("utf-8")):
        problem = Problem("q", grader="countdown", meta={"numbers": puzzles[game["idx"]], "target": 24})
        for text, info in zip(game["ys"], game["infos"], strict=True):
            total += 1
            found = grade(problem, text)
            if found.correct != bool(info["r"]):
                differ.append(found.answer)
    assert total == 10_000
    assert differ == ["(13 - 9) * (12 - 6) = 48"]
