"""Generates the problems of the world `deduction`: a chain of inferences, and facts that lead nowhere.

Every move adds a literal that follows from the last one by a rule; the last literal (or its negation) is the
hypothesis. UNKNOWN: the last rule also asks for a literal of which nothing is known. The gold verdict of every
problem is checked by a truth table over all its facts, which must not contradict each other.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from string import ascii_uppercase

from preceptor.trace import Problem, content_id, stream_seed
from preceptor.worlds.truth_tables import Formula, follows, read

SPLITS = {"test": (0,), "dev": (1,), "train": tuple(range(2, 10))}
"""A problem belongs to the split that its content hash modulo 10 falls in."""
MOVES = ("implies", "joins", "splits", "either", "back", "all")
TASK = (
    "Prove or disprove the hypothesis from the facts, or find that it is unknown. {A} is a predicate, {a} a "
    "constant; & is and, v or, ¬ not, -> implies, (x): for all x. One step a line, such as "
    "`fact1 & fact2 -> int1: {B}`; a proof ends in `-> hypothesis`, a refutation in `-> ¬hypothesis`. "
    "End with `Answer: PROVED`, `Answer: DISPROVED` or `Answer: UNKNOWN`."
)


def negated(literal: str) -> str:
    return literal[1:] if literal.startswith("¬") else f"¬{literal}"


@dataclass
class _Chain:
    """A problem under construction. `#3#` stands for the name of fact 3 until the facts are shuffled."""

    rng: random.Random
    constant: str
    """The constant the chain speaks of; "" for plain propositions."""
    facts: list[str] = field(default_factory=list)
    lines: list[tuple[str, str]] = field(default_factory=list)
    """(cited, conclusion) of each step; step k states `int{k + 1}`."""
    predicates: list[str] = field(default_factory=list)

    def literal(self) -> str:
        free = [letter for letter in ascii_uppercase if letter not in self.predicates]
        self.predicates.append(self.rng.choice(free))
        return self.rng.choice(("", "¬")) + f"{{{self.predicates[-1]}}}{self.constant}"

    def fact(self, formula: str) -> str:
        self.facts.append(formula)
        return f"#{len(self.facts) - 1}#"

    def step(self, cited: str, conclusion: str) -> str:
        self.lines.append((cited, conclusion))
        return f"int{len(self.lines)}"

    def move(self, kind: str, name: str, given: str) -> tuple[str, str]:
        """(name, literal) of what follows from the literal `given`, stated under `name`."""
        goal = self.literal()
        if kind == "joins":
            other = self.literal()
            both = self.step(f"{name} & {self.fact(other)}", f"({given} & {other})")
            return self.step(f"{both} & {self.fact(f'({given} & {other}) -> {goal}')}", goal), goal
        if kind == "splits":
            pair = f"({goal} & {self.literal()})"
            return self.step(self.step(f"{name} & {self.fact(f'{given} -> {pair}')}", pair), goal), goal
        if kind == "all" and self.constant:
            general = f"(x): {given} -> {goal}".replace(self.constant, "x")
            rule = self.step(self.fact(general), f"{given} -> {goal}")
            return self.step(f"{name} & {rule}", goal), goal
        formula = {"either": f"({negated(given)} v {goal})", "back": f"{negated(goal)} -> {negated(given)}"}
        return self.step(f"{name} & {self.fact(formula.get(kind, f'{given} -> {goal}'))}", goal), goal

    def distract(self) -> None:
        """A rule that asks for what is unknown, a loose fact, or the chain's predicate of another constant."""
        kind = self.rng.randrange(3)
        if kind == 0:
            used = "{" + self.rng.choice(self.predicates) + "}" + self.constant
            self.fact(f"({self.literal()} & {used}) -> {self.literal()}")
        elif kind == 1 or not self.constant:
            self.fact(self.literal())
        else:
            other = next(c for c in ("{a}", "{b}") if c != self.constant)
            self.fact("{" + self.rng.choice(self.predicates) + "}" + other)


def _problem(rng: random.Random, depth: int, distractors: int) -> Problem | None:
    verdict = rng.choice(("PROVED", "DISPROVED", "UNKNOWN"))
    chain = _Chain(rng, rng.choice(("", "{a}", "{b}")))
    literal = chain.literal()
    name = chain.fact(literal)
    for _ in range(rng.randint(1, depth)):
        name, literal = chain.move(rng.choice(MOVES), name, literal)
    if verdict == "UNKNOWN":
        goal = chain.literal()
        chain.fact(f"({literal} & {chain.literal()}) -> {goal}")
        hypothesis = rng.choice((goal, negated(goal)))
    else:
        hypothesis = literal if verdict == "PROVED" else negated(literal)
    for _ in range(rng.randint(0, distractors)):
        chain.distract()
    return _told(chain, hypothesis, verdict) if _gold(chain.facts, hypothesis) == verdict else None


def _gold(facts: list[str], hypothesis: str) -> str | None:
    """None for contradictory facts, or too many atoms to tell."""
    formulas = [_known(fact) for fact in facts]
    proved, refuted = (follows(formulas, _known(h)) for h in (hypothesis, negated(hypothesis)))
    if proved is None or refuted is None or (proved and refuted):
        return None
    return "PROVED" if proved else "DISPROVED" if refuted else "UNKNOWN"


def _known(text: str) -> Formula:
    formula = read(text)
    if formula is None:
        raise AssertionError(f"a generated formula that cannot be read: {text}")
    return formula


def _told(chain: _Chain, hypothesis: str, verdict: str) -> Problem:
    order = list(range(len(chain.facts)))
    chain.rng.shuffle(order)
    place = {old: new + 1 for new, old in enumerate(order)}
    facts = "\n".join(f"fact{place[i]}: {chain.facts[i]}" for i in order)
    ends = {"PROVED": "hypothesis", "DISPROVED": "¬hypothesis"}
    lines = []
    for k, (cited, conclusion) in enumerate(chain.lines, start=1):
        named = re.sub(r"#(\d+)#", lambda found: f"fact{place[int(found[1])]}", cited)
        last = k == len(chain.lines) and verdict in ends
        lines.append(f"{named} -> {ends[verdict] if last else f'int{k}: {conclusion}'}\n")
    prompt = f"{TASK}\n\n$hypothesis$: {hypothesis}\n\n$context$:\n{facts}"
    return Problem(
        prompt=prompt,
        gold=verdict,
        id="deduction-" + content_id(prompt),
        world="deduction",
        grader="exact",
        segmenter="line",
        reference=(*lines, f"Answer: {verdict}\n"),
        meta={"facts_formula": facts, "hypothesis_formula": hypothesis},
    )


def generate(split: str, seed: int, depth: int, distractors: int) -> Iterator[Problem]:
    """Distinct problems of a split, without end."""
    if split not in SPLITS:
        raise ValueError(f"split: got {split!r}, expected one of {sorted(SPLITS)}")
    if not 1 <= depth <= 4 or not 0 <= distractors <= 5:
        raise ValueError(f"got depth={depth}, distractors={distractors}, expected 1 to 4 and 0 to 5")
    rng = random.Random(stream_seed("deduction", split, seed, depth, distractors))
    seen: set[str] = set()
    while True:
        problem = _problem(rng, depth, distractors)
        if problem is None or problem.id in seen or int(problem.id[-16:], 16) % 10 not in SPLITS[split]:
            continue
        seen.add(problem.id)
        yield problem
