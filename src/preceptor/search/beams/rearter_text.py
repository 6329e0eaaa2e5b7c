"""What `Rearter` asks a critic about a poor step, and the policy about writing it again.

Text of a policy stands between tags of ours; tags inside it are made harmless.
"""

from __future__ import annotations

from dataclasses import replace

from preceptor.annotate.judges.verdict import fence, fill
from preceptor.search.refine.asking import reworded
from preceptor.search.tree import Node, Tree
from preceptor.trace import Problem

TAGS = ("problem", "steps", "step", "ahead", "criticism")
CRITIQUE = """<problem>
{problem}
</problem>
Accepted so far:
<steps>
{steps}
</steps>
Proposed next step, with an estimated chance of {score} to be right:
<step>
{step}
</step>
Where it would lead:
<ahead>
{ahead}
</ahead>
Say in a few sentences what is wrong with the proposed step and how to do it better. Do not solve the problem."""
REDO = """{problem}

The next step was first written as
<step>
{step}
</step>
and criticized:
<criticism>
{criticism}
</criticism>
Write a better next step in its place and go on from there."""


def question(tree: Tree, poor: Node, end: Node, score: float) -> Problem:
    """For the critic: the step, what stands before it, and the look-ahead that ends in `end`."""
    so_far = tree.path(tree[poor.parent or 0]).text
    ahead = tree.path(end).text[len(so_far) + len(poor.text) :]
    prompt = fill(
        CRITIQUE,
        problem=fence(tree.problem.prompt, TAGS).text,
        steps=fence(so_far, TAGS).text,
        step=fence(poor.text, TAGS).text,
        ahead=fence(ahead, TAGS).text,
        score=f"{score:.2f}",
    )
    return reworded(tree.problem, prompt)


def once_more(problem: Problem, step: str, criticism: str) -> Problem:
    """For the policy: the problem with the step and its criticism. Its id stays: it is the same problem."""
    prompt = fill(
        REDO, problem=problem.prompt, step=fence(step, TAGS).text, criticism=fence(criticism, TAGS).text
    )
    return replace(problem, prompt=prompt)
