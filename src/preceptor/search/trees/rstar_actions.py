"""What rStar may do at a state, as questions to the policy.

    thought      A1: one more step                              3 of them
    solution     A2: all the rest, voted into one answer        32
    question     A3: a smaller question, then answers to it,    3, each answered 10 times (32 times if it is the last)
                 voted into one
    reanswer     A4: other answers to the smaller question      10
    rephrase     A5: the problem in other words                 1

The text so far stands in the prefix, so a state's path is the solution it stands for. The prompts are ours.
"""

from __future__ import annotations

import re
from dataclasses import replace

from preceptor.annotate.judges.verdict import fence, fill
from preceptor.generation import Sampling
from preceptor.search.refine.asking import reworded
from preceptor.search.state import Search
from preceptor.search.strategy import Ask, steps
from preceptor.search.tree import Node
from preceptor.trace import Finish, Problem

AFTER: dict[str, tuple[str, ...]] = {
    "root": ("thought", "solution", "question", "rephrase"),
    "rephrase": ("thought", "solution", "question"),
    "thought": ("thought", "solution"),
    "answer": ("thought", "solution", "question", "reanswer"),
    "reanswer": ("thought", "solution", "question"),
}
"""Role of a state -> what may follow (from memory). A solution is the end."""

TAGS = ("problem",)
PROMPTS = {
    "question": """<problem>
{problem}
</problem>

Solve the problem through smaller questions. Write only the next smaller question, on one line that begins with \
"Question:". When what is known is enough to answer the problem itself, write "Question: Now we can answer" and the \
problem's own question.
""",
    "answer": """<problem>
{problem}
</problem>

The problem is solved through smaller questions. Answer only the last one, beginning with "Answer:".
""",
    "rephrase": """<problem>
{problem}
</problem>

Write the problem again in other words, with every condition and every number. Do not solve it.
""",
}
"""With the slot {problem}; "thought" and "solution" ask the problem itself."""

_LAST = re.compile(r"now we can answer", re.IGNORECASE)


def is_last(question: Node) -> bool:
    """Whether a smaller question is the problem's own."""
    return bool(_LAST.search(question.text[:500]))


def asked_problem(search: Search, node: Node) -> Problem | None:
    """The problem as this branch has it; None: as it was given."""
    said = next((n for n in search.tree.lineage(node) if n.role == "rephrase"), None)
    return None if said is None else reworded(search.problem, said.text.strip())


def ask(
    search: Search,
    node: Node,
    role: str,
    count: int,
    sampling: Sampling,
    prompts: dict[str, str] = PROMPTS,
    whole: bool = False,
) -> Ask:
    """`count` continuations of a state by one action; `whole`: to the end of the text, not of the step."""
    problem = asked_problem(search, node)
    template = prompts.get({"reanswer": "answer"}.get(role, role))
    if template is not None:
        shown = fence((problem or search.problem).prompt, TAGS).text
        problem = reworded(problem or search.problem, fill(template, problem=shown))
    fresh = node.role in ("root", "rephrase")
    # a text that the policy ended is gone on with as text: its ids hold the end
    ended = node.finish is Finish.STOP and not fresh
    unit = replace(sampling, stop=()) if whole or role == "rephrase" else steps(sampling, search.problem)
    return Ask(
        node,
        count,
        unit,
        role=role,
        start=0 if fresh else None,
        insert="\n" if ended and not search.tree.path(node).text.endswith("\n") else "",
        problem=problem,
    )
