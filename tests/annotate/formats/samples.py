"""Published samples, small records of every format, and comparison of JSON that tells true from 1."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

MARKED = "Is 2+3=5? Step 1: 2+3=5. ки\nStep 2: So yes. The answer is: yes ки"

RECORDS: dict[str, list[dict[str, Any]]] = {
    "trl-stepwise": [
        {"prompt": "p", "completions": ["a\nb", "c\n"], "labels": [True, False], "index": 7},
        {"prompt": "q", "completions": ["a"], "labels": [True], "index": 8},
    ],
    "axolotl-stepwise": [{"prompt": "p", "completions": ["a", "b"], "labels": [True, False]}],
    "scan": [{"question": "q", "steps": ["a", "b", "c"], "scores": [1, 0.6667, 0], "level": "x"}],
    "unprm": [{"prompt": "p", "answer": "4", "completions": ["a", "b"], "label": [True, False]}],
    "fover": [
        {
            "id": "x1",
            "problem": "p",
            "solution_steps": ["a", "b", "c", "d"],
            "error_labels": [False, True, None, True],
            "hypothesis_formula": "A -> B",
        }
    ],
    "rlhflow-chat": [
        {
            "conversations": [
                {"role": "user", "content": "What is 2+2? Step 1: Add."},
                {"role": "assistant", "content": "+"},
                {"role": "user", "content": "Step 2: It is 5."},
                {"role": "assistant", "content": "-"},
            ]
        }
    ],
    "math-shepherd": [
        {"input": MARKED, "label": MARKED.replace("ки", "+", 1).replace("ки", "-"), "task": "GSM8K"},
        {
            "input": "У сутки? Step 1: 24. ки\nStep 2: The answer is: 24 ки",
            "label": "У сут-? Step 1: 24. +\nStep 2: The answer is: 24 +",
            "task": "GSM8K",
        },
        {
            "input": "No steps here? One. ки\n\n Two. ки tail",
            "label": "No steps here? One. +\n\n Two. - tail",
        },
    ],
    "jsonl": [
        {"problem": "p", "steps": ["a", "b"], "labels": [True, None], "note": {"k": 1}},
        {"problem": "p", "steps": ["a", "b", "c"], "labels": [1, 0, -1], "first_error": 2, "gold": None},
        {"problem": "q", "steps": ["a", "b"], "labels": [1, 0], "source": "me@1"},
        {"problem": "q", "steps": ["a", "b"], "scores": [0.25, None], "first_error": None, "answer": "4"},
        {"problem": "r", "steps": ["a", "b"], "first_error": -1, "generator": "m"},
    ],
    "prmbench": [
        {
            "idx": "i",
            "classification": "redundency",
            "modified_question": "q",
            "modified_process": ["a", "b"],
            "error_steps": [2, 5],
        }
    ],
}
"""Records of which the format's own files are made."""


def same(a: Any, b: Any) -> bool:
    """Equal as JSON: objects without order, 1 and 1.0 the same number, true not 1."""
    return json.dumps(_plain(a), sort_keys=True) == json.dumps(_plain(b), sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return float(value) if type(value) is int else value


def rows(path: Path) -> list[Any]:
    with (
        gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else open(path, encoding="utf-8") as f
    ):
        text = f.read()
    return json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]


def written(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), encoding="utf-8")
    return path
