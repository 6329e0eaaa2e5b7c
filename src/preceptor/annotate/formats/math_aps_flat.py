"""MATH-APS as a flat list of prefixes: the tree behind it, as paths, and back.

An entry's parent is the longest other entry that its text continues after white space. Text and order of the
list are kept exactly: `at` has each node's place in the list, `ends` where its own prefix ended in the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from preceptor.annotate.formats.math_aps_tree import Path, value_of
from preceptor.trace import Problem, Trace
from preceptor.worlds.records import Row

LEAD = "\n\n"


def flat_paths(row: Row, problem: Problem) -> list[Path]:
    listed = row.get("reasoning_steps", list)
    entries = [row.inner(f"reasoning_steps[{i}]", entry) for i, entry in enumerate(listed)]
    texts = []
    for entry in entries:
        text = entry.text("solution_prefix")
        if not text.startswith(problem.prompt):
            raise entry.bad("solution_prefix", ascii(text[:40]), "text that starts with the question")
        texts.append(text[len(problem.prompt) :])
    parents = _parents(texts)
    leaves = [i for i in range(len(texts)) if i not in set(parents.values())]
    roots = [i for i, text in enumerate(texts) if not text]
    base = {"root": roots[0], "root_value": value_of(entries[roots[0]])} if roots else {}
    return [_path(entries, texts, parents, leaf, base) for leaf in leaves]


def _parents(texts: list[str]) -> dict[int, int]:
    """Index -> index of the entry it continues. Sorted, a text stands after all that it continues."""
    parents: dict[int, int] = {}
    above: list[int] = []
    for i in sorted(range(len(texts)), key=lambda i: (texts[i], i)):
        while above and not _continues(texts[i], texts[above[-1]]):
            above.pop()
        if above:
            parents[i] = above[-1]
        above.append(i)
    return parents


def _continues(text: str, start: str) -> bool:
    return text.startswith(start) and len(text) > len(start) and text[len(start)].isspace()


def _path(
    entries: list[Row], texts: list[str], parents: dict[int, int], leaf: int, base: dict[str, Any]
) -> Path:
    chain = [leaf]
    while chain[-1] in parents:
        chain.append(parents[chain[-1]])
    nodes = [i for i in reversed(chain) if texts[i]]
    whole = texts[leaf]
    lead = LEAD if whole.startswith(LEAD) else ""
    text = whole[len(lead) :]
    own_ends = [len(texts[i]) - len(lead) for i in nodes]
    ends = [e + len(LEAD) if text.startswith(LEAD, e) else e for e in own_ends[:-1]] + own_ends[-1:]
    kept = {**base, "at": nodes, "ends": own_ends, "lead": lead}
    more = {str(i): rest for i in chain if (rest := _rest(entries[i]))}
    if more:
        kept["more"] = more
    return Path(text, ends, [value_of(entries[i]) for i in nodes], kept)


def _rest(entry: Row) -> dict[str, Any]:
    return {k: v for k, v in entry.fields.items() if k not in ("solution_prefix", "mc_value")}


def flat_again(members: Sequence[tuple[Trace, Any]], name: str) -> list[dict[str, Any]]:
    """The list that these paths were read from."""
    found: dict[int, dict[str, Any]] = {}
    for trace, judgement in members:
        own, prompt = judgement.extra[name], trace.problem.prompt
        more = own.get("more", {})
        if "root" in own:
            extra = more.get(str(own["root"]), {})
            found[own["root"]] = {"solution_prefix": prompt, "mc_value": own["root_value"], **extra}
        for i, end, score in zip(own["at"], own["ends"], judgement.scores or (), strict=True):
            prefix = prompt + own["lead"] + trace.text[:end]
            found[i] = {"solution_prefix": prefix, "mc_value": score, **more.get(str(i), {})}
    return [found[i] for i in sorted(found)]
