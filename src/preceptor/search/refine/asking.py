"""What refinement strategies share: prompts about a draft, replies, and places to cut.

Whatever a policy wrote stands in a prompt between tags of ours; tags inside it are made harmless (`fence`).
"""

from __future__ import annotations

from dataclasses import replace

from preceptor.annotate.judges.verdict import fence, fill, paragraphs
from preceptor.search.tree import Node, Path
from preceptor.trace import Finish, Problem, content_id

TAGS = ("problem", "solution", "paragraph", "step", "answer", "corrected")
"""Tags that prompts of this package use."""


def reworded(problem: Problem, prompt: str) -> Problem:
    """A question about the problem: other words, an id (so random streams) of its own, and no gold answer. An
    answer to it is read as the problem's."""
    return replace(
        problem, prompt=prompt, id=content_id("about", problem.id, prompt), gold=None, reference=()
    )


def about(template: str, problem: Problem, solution: str) -> Problem:
    """`template` filled with the problem and a solution as one text."""
    shown = fence(problem.prompt, TAGS).text
    return reworded(problem, fill(template, problem=shown, solution=fence(solution, TAGS).text))


def about_steps(template: str, problem: Problem, path: Path) -> Problem:
    """`template` filled with the problem and a solution as paragraphs numbered from 0."""
    steps = [fence(text, TAGS).text for text in step_texts(path)]
    shown = fence(problem.prompt, TAGS).text
    return reworded(problem, fill(template, problem=shown, solution=paragraphs(steps).text))


def reply(node: Node) -> str | None:
    """What a helper wrote; None where it failed or a limit cut it, since half a verdict is none."""
    ended = node.finish in (Finish.STOP, Finish.BOUNDARY) and node.error is None
    return node.text[node.inserted :] if ended else None


def step_texts(path: Path) -> list[str]:
    return [path.text[a:b] for a, b in zip((0, *path.ends), path.ends)]


def step_start(path: Path, t: int) -> int:
    """Where step `t` begins, in characters."""
    return path.ends[t - 1] if t else 0


def token_start(path: Path, at: int) -> int:
    """Where the token of character `at` begins; `at` itself where tokens are not known."""
    return max((e for e in path.token_ends if e <= at), default=0) if path.token_ends is not None else at
