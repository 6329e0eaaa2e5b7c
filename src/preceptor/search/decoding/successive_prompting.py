"""Successive prompting: one simple question at a time, asked under one prompt and answered under another.

Repeat: a decomposition prompt (the problem, and the questions answered so far) gives the next simple question, or says
that there is none left; an answering prompt gives its answer. Each pair is one line, so one step; the last answer is
the solution's. Examples come from two pools, the most similar ones (shared words) to what is asked. The stop sentence
is from memory; at most 10 questions, 4 examples, the prompts' wording and similarity are ours (not found).

Deviations: whoever answers also sees the pairs before; a search that is out of questions ends with its last answer. A
specialised module answers as the helper "answerer". Left out: the beam over decompositions. Cost: two short calls a
question.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from preceptor.generation import Sampling
from preceptor.search.decoding.walk import CONTINUABLE, at, go_to
from preceptor.search.state import Search
from preceptor.search.strategy import Ask, Strategy, elect, steps
from preceptor.search.tree import Node, Status

STOP = "There are no more questions left to ask"
DECOMPOSE = """{examples}Problem: {problem}
{done}Ask the next simple question that helps to solve the problem, in one line.
If everything is answered, write: {stop}.
"""
ANSWER = """{examples}Problem: {problem}
Answer the question in one line.
Question: {question}
"""
_WORD = re.compile(r"\w+")
QUESTION = "question"


@dataclass(frozen=True)
class SuccessivePrompting(Strategy):
    """One chain of simple questions and their answers."""

    helpers: ClassVar[tuple[str, ...]] = ("answerer",)
    questions: int = 10
    """At most."""
    decompose_examples: tuple[str, ...] = field(default=(), kw_only=True)
    """Pool of worked decompositions."""
    answer_examples: tuple[str, ...] = field(default=(), kw_only=True)
    """Pool of simple questions with their answers."""
    shown: int = field(default=4, kw_only=True)
    """Examples in a prompt."""
    decompose: str = field(default=DECOMPOSE, kw_only=True)
    """Slots: {examples} {problem} {done} {stop}."""
    answer: str = field(default=ANSWER, kw_only=True)
    """Slots: {examples} {problem} {question}."""
    stop_sentence: str = field(default=STOP, kw_only=True)
    mark: str = field(default="Answer: ", kw_only=True)
    """Between a question and its answer; the graders look for the last one."""
    sampling: Sampling = field(
        default_factory=lambda: Sampling(temperature=0.0, max_tokens=128), kw_only=True
    )
    """`max_tokens` is the limit of one question or answer."""

    def __post_init__(self) -> None:
        if self.questions < 1 or self.shown < 0 or not self.stop_sentence.strip():
            raise ValueError(
                f"successive prompting: got {self!r}, expected questions >= 1, shown >= 0 and a stop sentence"
            )

    def select(self, search: Search) -> list[Ask]:
        node = at(search)
        if node is None or search.memory.get("over"):
            return []
        asked = search.memory.get("question")
        end = steps(self.sampling, search.problem)
        if asked is None:
            prompt = self._decomposition(search, node)
            line = replace(self.sampling, stop=("\n",))
            return [
                Ask(node, 1, line, role=QUESTION, start=0, problem=replace(search.problem, prompt=prompt))
            ]
        before = search.tree.path(node).text
        joint = "" if not before or before.endswith(end.stop[0]) else end.stop[0]
        prompt = fill(
            self.answer,
            examples=examples(self.answer_examples, asked, self.shown),
            problem=search.problem.prompt,
            question=asked,
        )
        insert = f"{joint}{asked} {self.mark}"
        problem = replace(search.problem, prompt=prompt)
        return [Ask(node, 1, end, role="answer", insert=insert, problem=problem, by="answerer")]

    def _decomposition(self, search: Search, node: Node) -> str:
        text = search.tree.path(node).text.strip()
        return fill(
            self.decompose,
            examples=examples(self.decompose_examples, search.problem.prompt, self.shown),
            problem=search.problem.prompt,
            done=f"Answered so far:\n{text}\n" if text else "",
            stop=self.stop_sentence,
        )

    def to_score(self, search: Search, kids: Sequence[Node]) -> list[Node]:
        return [k for k in kids if k.role == "answer" and k.status in CONTINUABLE]

    def prune(self, search: Search, kids: Sequence[Node]) -> None:
        (kid,) = kids
        if kid.role == QUESTION:
            self._hear(search, kid)
            return
        search.memory["question"] = None
        search.memory["asked"] = search.memory.get("asked", 0) + 1
        if kid.status in CONTINUABLE:
            kid.status = Status.LIVE  # whoever answers ends its text; the search has not ended
            go_to(search, kid)
            if search.memory["asked"] >= self.questions:
                kid.data["capped"] = True
                self._end(search)
        else:
            search.memory["over"] = True

    def _hear(self, search: Search, kid: Node) -> None:
        """Take the next question from a node that is no part of the path."""
        heard = kid.text.strip()
        if kid.status not in CONTINUABLE:
            search.memory["over"] = True
            return
        kid.status = Status.PRUNED
        kid.data["why"] = "successive: a question, not an answer"
        if not heard or _plain(self.stop_sentence) in _plain(heard):
            self._end(search)
        else:
            search.memory["question"] = heard

    def _end(self, search: Search) -> None:
        """The last answer is the solution's; without an answer there is no solution."""
        node = search.tree[search.memory.get("at", 0)]
        if node.parent is not None:
            search.conclude(node)
        search.memory["over"] = True

    def choose(self, search: Search) -> Node | None:
        return elect(self.candidates(search), "majority")


def fill(template: str, **texts: str) -> str:
    """The template with its slots filled; slots that the texts contain stay text."""
    slots = re.compile("|".join(re.escape("{" + name + "}") for name in texts))
    return slots.sub(lambda slot: texts[slot[0][1:-1]], template)


def examples(pool: Sequence[str], query: str, shown: int) -> str:
    """The `shown` examples that share most words with `query` (Jaccard), the most similar last."""
    words = set(_WORD.findall(query.lower()))

    def similar(text: str) -> float:
        own = set(_WORD.findall(text.lower()))
        return len(own & words) / max(1, len(own | words))

    best = sorted(range(len(pool)), key=lambda k: (-similar(pool[k]), k))[:shown]
    return "".join(f"{pool[k]}\n\n" for k in reversed(best))


def _plain(text: str) -> str:
    return " ".join(_WORD.findall(text.lower()))
