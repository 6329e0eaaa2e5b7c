"""How long and how involved a program is: the static metrics of ORPS, and its score.

    S = success * (1 + St / 2 + Dy / 2)
    St = mean of 1/(1 + nodes/100), 1/(1 + cyclomatic), 1/(1 + cognitive/10), 1/(1 + lines/50)
    Dy = 1/(1 + nanoseconds/1e7)

nodes: of the syntax tree. cyclomatic: 1 and one for every branch, loop, handler, `and`/`or`, comprehension and its
conditions, of the whole program. cognitive: one and the depth of nesting for every branch, loop and handler, one for
every `elif`, `else` and run of `and`/`or`; recursion is left out. lines: those with text (the paper's unit of "code
length" was not found). Left out of Dy, as the sandbox does not show them: instructions, branch misses, page faults;
the mean is over what is measured. Without a time Dy counts 0.
"""

from __future__ import annotations

import ast
from dataclasses import asdict, dataclass

BRANCHES = (ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.Match)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
WITH_ELSE = (ast.If, ast.For, ast.AsyncFor, ast.While)
UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)


@dataclass(frozen=True)
class Static:
    """Metrics of one program."""

    nodes: int
    cyclomatic: int
    cognitive: int
    lines: int

    @property
    def simplicity(self) -> float:
        """St, in (0, 1]."""
        scales = (self.nodes / 100, self.cyclomatic, self.cognitive / 10, self.lines / 50)
        return sum(1 / (1 + x) for x in scales) / len(scales)

    def to_record(self) -> dict[str, int]:
        return asdict(self)


def static(program: str) -> Static | None:
    """None where it is no Python. Only for a program that has been run: its size is bounded by what a run takes."""
    try:
        tree = ast.parse(program)
    except UNREADABLE:
        return None
    nodes = list(ast.walk(tree))
    lines = sum(bool(line.strip()) for line in program.split("\n"))
    return Static(len(nodes), 1 + sum(map(_decisions, nodes)), _cognitive(tree), lines)


def score(success: float, metrics: Static | None, seconds: float | None) -> float:
    """S; 0 for a program that passes nothing, whatever its style."""
    simple = 0.0 if metrics is None else metrics.simplicity
    fast = 0.0 if seconds is None else 1 / (1 + seconds * 1e9 / 1e7)
    return success * (1 + 0.5 * simple + 0.5 * fast)


def _decisions(node: ast.AST) -> int:
    if isinstance(node, ast.BoolOp):
        return len(node.values) - 1
    if isinstance(node, ast.comprehension):
        return 1 + len(node.ifs)
    if isinstance(node, ast.Match):
        return len(node.cases)
    return int(isinstance(node, BRANCHES))


def _cognitive(tree: ast.AST) -> int:
    total, stack = 0, [(tree, 0, False, False)]
    while stack:
        node, depth, inside, chained = stack.pop()
        below = depth
        if isinstance(node, BRANCHES):
            total += 1 if chained else 1 + depth
            below += 1
        elif isinstance(node, ast.BoolOp):
            total += 1
        elif isinstance(node, FUNCTIONS):
            below, inside = depth + inside, True
        rest: list[ast.stmt] = node.orelse if isinstance(node, WITH_ELSE) else []
        chain = isinstance(node, ast.If) and len(rest) == 1 and isinstance(rest[0], ast.If)
        total += bool(rest) and not chain
        for child in ast.iter_child_nodes(node):
            linked = chain and child is rest[0]
            stack.append((child, depth if linked else below, inside, linked))
    return total
