"""Put the table of all training objectives into docs/training.md.

Run: python scripts/training_page.py
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from preceptor.reward.examples import examples
from preceptor.reward.head import HEADS, Ensemble
from preceptor.reward.objective import Objective
from preceptor.reward.objectives import OBJECTIVES
from preceptor.reward.objectives.language import LANGUAGE_OBJECTIVES

PAGE = Path(__file__).resolve().parents[1] / "docs" / "training.md"
BEGIN, END = "<!-- objectives -->\n", "\n<!-- /objectives -->"
COLUMNS = ("name", "learns from", "read at", "head", "link", "answers", "paper")
LEARNS = {
    "birm": "step labels, and outcomes at every step",
    "cooper": "outcomes, beside the reference answer",
    "cooper-pairs": "pairs of a right and a wrong solution, beside the reference answer",
    "dreamprm": "step labels weighted by domain, outcomes of a meta set",
    "fin-prm": "step labels, hard, and outcomes",
    "freeprm": "outcomes, copied to every step",
    "generative-dpo": "step labels, and its own right and wrong verdicts",
    "generative-sft": "step labels, and rationales if there are any",
    "hindsight": "outcomes, discounted by the steps still to go",
    "implicit-ce": "outcomes",
    "implicit-dpo": "pairs of a right and a wrong solution",
    "implicit-kto": "pairs of a right and a wrong solution",
    "implicit-nca": "pairs of a right and a wrong solution",
    "lightman": "human ratings -1, 0, 1",
    "llm2": "tokens of right solutions, against sampled ones",
    "mprm": "step labels, soft, in several languages",
    "multi": "step labels and outcomes, an output each",
    "orm": "outcomes",
    "ovm": "outcomes, copied to every token",
    "pairwise": "pairs of a right and a wrong solution",
    "pav": "differences of success rates (rollouts)",
    "reasonflux-prm": "step labels, soft, and outcomes",
    "saffron": "success rates of solutions that share a beginning",
    "scan": "success rates (rollouts) and outcomes",
    "sorm": "1 where any rollout succeeded",
    "tvm": "outcomes of solutions that share a beginning",
}
"""In words; what is not here is said by the objective's own `rows`."""


def learns_from(name: str, objective: Any) -> str:
    if name in LEARNS:
        return LEARNS[name]
    rows = getattr(objective, "rows", examples)
    if rows is examples:
        return f"step labels, {objective.labels}"
    said = " ".join((inspect.getdoc(rows) or "").split()).partition(". ")[0]
    return said.rstrip(".").lower() or "-"


def read_at(objective: Any) -> str:
    if not isinstance(objective, Objective):
        return "every token" if hasattr(objective, "form") else "verdict in generated text"
    if objective.whole:
        return "the solution's end"
    layout = objective.layout
    steps = "each step" if layout is None or layout.read == "tag" else f"each step, {layout.read}"
    return steps + (", and the trajectory's end" if objective.trajectory else "")


def head_of(objective: Any) -> str:
    if not isinstance(objective, Objective):
        return "log-ratio of two language models" if hasattr(objective, "form") else "language model"
    head = objective.head
    kind = next(name for name, cls in HEADS.items() if type(head) is cls)
    size = getattr(head, "members", None) or getattr(head, "width", None)
    words = " ".join(map(repr, getattr(head, "words", ())))
    return " ".join(part for part in (kind, str(size or ""), words) if part)


def link_of(objective: Any) -> str:
    if not isinstance(objective, Objective):
        return f"{objective.beta:g} * sum, sigmoid" if hasattr(objective, "form") else "as its style says"
    link = objective.link
    columns = "" if link.columns is None else f" of outputs {', '.join(map(str, link.columns))}"
    mean = " mean" if isinstance(objective.head, Ensemble) else ""
    weights = mean if link.weights is None else f" ({', '.join(f'{w:g}' for w in link.weights)})"
    return link.activation + columns + weights


def answers(objective: Any) -> str:
    if hasattr(objective, "form"):
        return "value"
    question = getattr(objective, "question", None)
    return "as its labels" if question is None else str(question.value)


def table() -> str:
    """The table as markdown."""
    named = sorted({**OBJECTIVES, **LANGUAGE_OBJECTIVES}.items())
    rows = [
        (f"`{name}`", learns_from(name, o), read_at(o), head_of(o), link_of(o), answers(o), o.source or "-")
        for name, o in named
    ]
    lines = [COLUMNS, ("---",) * len(COLUMNS), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def main() -> None:
    text = PAGE.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{PAGE}: the marks {BEGIN.strip()} and {END.strip()} are not there")
    PAGE.write_text(before + BEGIN + table() + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
