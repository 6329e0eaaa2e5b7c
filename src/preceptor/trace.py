"""Problems, steps, grades and traces: what was asked, what was written, and how it came out.

A step is an interval of *sampled* text anchored by character offsets into its trace's text; the steps
of a trace tile that text exactly. Nothing here knows a tokenizer: token alignment for any tokenizer is
derived from the offsets. Left out: who judges a trace (`judgement.py`) and how it is cut (`segment/`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from typing import Any

from preceptor.errors import ItemError
from preceptor.usage import Usage


def content_id(*parts: Any) -> str:
    """16 hex digits that depend on the content of `parts` (anything JSON can hold) and nothing else."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.blake2b(text.encode("ascii"), digest_size=8).hexdigest()


def stream_seed(*parts: Any) -> int:
    """A 63-bit seed that depends only on `parts`: usually (seed, problem id, prefix, draw).

    Results therefore do not depend on batching, order or the number of workers.
    """
    return int(content_id(*parts), 16) >> 1


@dataclass(frozen=True)
class Problem:
    """What is asked. `id` is the data set's own, or a hash of the content when left empty."""

    prompt: str
    gold: str | None = None
    """The gold answer; None means that outcomes cannot be graded."""
    id: str = ""
    world: str = ""
    """Name of the world or data set it belongs to; "" for none."""
    grader: str = "math"
    """Name in `preceptor.grade.GRADERS`."""
    segmenter: str = "line"
    """Name in `preceptor.segment.SEGMENTERS`."""
    reference: tuple[str, ...] = ()
    """Steps of a reference solution, if any."""
    meta: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """What the world needs to judge steps exactly; JSON values only."""

    def __post_init__(self) -> None:
        if not self.id:
            own = content_id("problem", self.prompt, self.gold, self.world, self.grader, dict(self.meta))
            object.__setattr__(self, "id", own)

    def to_record(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "prompt": self.prompt,
            "gold": self.gold,
            "world": self.world,
            "grader": self.grader,
            "segmenter": self.segmenter,
            "reference": list(self.reference),
            "meta": dict(self.meta),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Problem:
        known = {
            k: record[k]
            for k in ("prompt", "gold", "id", "world", "grader", "segmenter", "meta")
            if k in record
        }
        return cls(reference=tuple(record.get("reference", ())), **known)


@dataclass(frozen=True)
class Step:
    """The interval `[start, end)` of the trace's text, in characters."""

    start: int
    end: int
    kind: str = "text"
    observation: str | None = None
    """What the environment answered to this step (agents); not sampled, not part of the text."""


class Verdict(str, Enum):
    """Outcome of a grade."""

    CORRECT = "correct"
    """The answer equals the gold answer."""
    INCORRECT = "incorrect"
    """The answer differs, or the finished trace gives none."""
    UNDECIDED = "undecided"
    """No verdict was possible (no gold, timeout, grader failure). Never counted as wrong in silence."""


@dataclass(frozen=True)
class Grade:
    """The outcome check of one text against one gold answer, with the reason."""

    verdict: Verdict
    reason: str
    answer: str | None = None
    """The extracted answer as written; None when extraction found nothing."""

    @property
    def correct(self) -> bool:
        return self.verdict is Verdict.CORRECT

    @property
    def decided(self) -> bool:
        return self.verdict is not Verdict.UNDECIDED

    def to_record(self) -> dict[str, Any]:
        return {"verdict": self.verdict.value, "reason": self.reason, "answer": self.answer}

    @classmethod
    def from_record(cls, record: Mapping[str, Any] | None) -> Grade | None:
        if record is None:
            return None
        return cls(Verdict(record["verdict"]), record["reason"], record["answer"])


class Finish(str, Enum):
    """Why sampling ended."""

    STOP = "stop"
    """The policy ended its text."""
    BOUNDARY = "boundary"
    """A requested stop string was reached; the text may go on."""
    LENGTH = "length"
    """The token limit was reached; this is not an end of text."""
    ERROR = "error"
    """The backend failed; see the item's error."""


@dataclass(frozen=True)
class Trace:
    """One attempt at a problem."""

    problem: Problem
    text: str
    steps: tuple[Step, ...]
    finish: Finish = Finish.STOP
    grade: Grade | None = None
    """None means that grading was not asked for; see `Verdict.UNDECIDED` for the other unknown."""
    policy: str = ""
    """Fingerprint of the policy that wrote it; "" for a person or an unknown writer."""
    seed: int | None = None
    draw: int | None = None
    token_ids: tuple[int, ...] | None = None
    """The sampled ids, where the backend gives them: the source of truth for training."""
    token_ends: tuple[int, ...] | None = None
    """Character offset in `text` at which each sampled token ends; non-decreasing."""
    logprobs: tuple[float, ...] | None = None
    """Log-probability of each sampled token under the policy at temperature 1."""
    parent: str | None = None
    """Id of the trace this one branched from."""
    usage: Usage = field(default_factory=Usage)
    error: ItemError | None = None
    sampled: tuple[bool, ...] | None = None
    """Per token; False where an environment wrote it, behind a turn (agents). None: the policy wrote every token."""

    def __post_init__(self) -> None:
        at = 0
        for i, step in enumerate(self.steps):
            if step.start != at or step.end < step.start:
                raise ValueError(
                    f"step {i} of a trace of problem {self.problem.id}: got [{step.start}, {step.end}), "
                    f"expected it to start at {at}. Steps must tile the text: use a segmenter."
                )
            at = step.end
        if at != len(self.text):
            raise ValueError(
                f"steps of a trace of problem {self.problem.id} cover {at} characters, "
                f"expected all {len(self.text)}. Steps must tile the text: use a segmenter."
            )

    @cached_property
    def id(self) -> str:
        """Hash of problem, text, step ends, writer, seed and draw."""
        ends = [s.end for s in self.steps]
        return content_id("trace", self.problem.id, self.text, ends, self.policy, self.seed, self.draw)

    @property
    def answer(self) -> str | None:
        return None if self.grade is None else self.grade.answer

    @property
    def step_texts(self) -> list[str]:
        return [self.text[s.start : s.end] for s in self.steps]

    def prefix(self, t: int) -> str:
        """Text of the first `t` steps; `prefix(0)` is empty."""
        return "" if t == 0 else self.text[: self.steps[t - 1].end]

    def graded(self, grade: Grade) -> Trace:
        return replace(self, grade=grade)

    def __repr__(self) -> str:
        verdict = "ungraded" if self.grade is None else self.grade.verdict.value
        return f"<Trace {self.id} {len(self.steps)} steps, {self.finish.value}, {verdict}>"

    def to_record(self) -> dict[str, Any]:
        """A JSON object; the problem is named by its id and stored apart."""
        listed = {
            k: None if getattr(self, k) is None else list(getattr(self, k))
            for k in ("token_ids", "token_ends", "logprobs")
        }
        return {
            "id": self.id,
            "problem": self.problem.id,
            "text": self.text,
            "steps": [[s.start, s.end, s.kind, s.observation] for s in self.steps],
            "finish": self.finish.value,
            "grade": None if self.grade is None else self.grade.to_record(),
            "policy": self.policy,
            "seed": self.seed,
            "draw": self.draw,
            **listed,
            "parent": self.parent,
            "usage": self.usage.to_record(),
            "error": None if self.error is None else self.error.to_record(),
            **({} if self.sampled is None else {"sampled": list(self.sampled)}),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any], problem: Problem) -> Trace:
        listed = {
            k: None if record.get(k) is None else tuple(record[k])
            for k in ("token_ids", "token_ends", "logprobs", "sampled")
        }
        return cls(
            problem=problem,
            text=record["text"],
            steps=tuple(Step(*s) for s in record["steps"]),
            finish=Finish(record["finish"]),
            grade=Grade.from_record(record.get("grade")),
            policy=record.get("policy", ""),
            seed=record.get("seed"),
            draw=record.get("draw"),
            parent=record.get("parent"),
            usage=Usage.from_record(record.get("usage")),
            error=ItemError.from_record(record.get("error")),
            **listed,
        )


def steps_from_ends(ends: Sequence[int]) -> tuple[Step, ...]:
    """Steps that tile a text, from their end offsets."""
    starts = [0, *ends[:-1]] if ends else []
    return tuple(Step(a, b) for a, b in zip(starts, ends, strict=True))
