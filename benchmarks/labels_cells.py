"""What labels.py compares: cells (a world and a policy) and, on each, rows (a method and its setting)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labels_metering import Metered, NotingStore

from preceptor.annotate import WorldOracle
from preceptor.annotate.judges import Asking
from preceptor.annotate.methods import annotator
from preceptor.bench.first_error import tune_first_error_threshold
from preceptor.generation import Sampling
from preceptor.judgement import NO_ERROR, Judgement, Question, first_below
from preceptor.policy import load_policy, sample
from preceptor.policy.load import WORLD_POLICIES
from preceptor.policy.scripted import ScriptedPolicy
from preceptor.policy.scripted_game24 import ScriptedGame24
from preceptor.trace import Trace
from preceptor.worlds import WORLDS

KEPT = Path(__file__).parents[1] / "runs" / "labels"
"""Stores, and what every method answered trace by trace; not part of the repository."""
TRACES, ROLLOUTS = Sampling(max_tokens=160), Sampling(temperature=0.7, max_tokens=160)
WRITTEN, ROLLED = 0, 1
"""Seeds, apart so that no rollout of a bare problem is one of the traces."""
PER_PROBLEM = 8
BUDGETS = (0, 5, 10, 20, 40, 80, 160, 320)
CELLS: dict[str, tuple[str, Callable[[], Any]]] = {
    "arithmetic": ("arithmetic", lambda: load_policy("world:arithmetic")),
    "error-0.05": ("arithmetic", lambda: ScriptedPolicy(error=0.05, repair=0.03)),
    "error-0.25": ("arithmetic", lambda: ScriptedPolicy(error=0.25, repair=0.03)),
    "game24": ("game24", lambda: load_policy("world:game24")),
    "wise-0.9": ("game24", lambda: ScriptedGame24(0.9)),
    "wise-0.6": ("game24", lambda: ScriptedGame24(0.6)),
    "arithmetic-dev": ("arithmetic", lambda: load_policy("world:arithmetic")),
    "error-0.15": ("arithmetic", lambda: ScriptedPolicy(error=0.15, repair=0.03)),
    "wise-0.75": ("game24", lambda: ScriptedGame24(0.75)),
}
FRESH = ("arithmetic-dev", "error-0.15", "wise-0.75")
"""Cells that were looked at only after the search was finished."""
Read = Callable[[Trace, Judgement], int | None]


@dataclass(frozen=True)
class Row:
    """One line of the comparison."""

    method: str
    setting: str
    score: Callable[[Sequence[Trace]], list[Judgement]]
    few: bool = False
    """Too costly for all problems."""
    read: Read = lambda trace, judged: judged.first_error if judged.scores is not None else None
    probability: bool = False
    """Whether its scores mean P(no error so far)."""

    @property
    def name(self) -> str:
        return f"{self.method} {self.setting}".strip()


def lowest_if_wrong(trace: Trace, judged: Judgement) -> int | None:
    if trace.grade is None or not trace.grade.decided:
        return None
    if trace.grade.correct:
        return NO_ERROR
    known = [(s, t) for t, s in enumerate(judged.scores or ()) if s is not None]
    return min(known)[1] if known else None


def below(threshold: float) -> Read:
    return lambda trace, judged: first_below(judged.scores or (), threshold)


class Cell:
    """Traces, truth, and the rows to measure on them."""

    def __init__(self, name: str, problems: int, few: int, budgets: Sequence[int] = BUDGETS):
        self.name, self.few, self.budgets = name, few, budgets
        self.world, make = CELLS[name]
        self.policy = Metered(make())
        self.local = not hasattr(self.policy.policy, "value")
        KEPT.mkdir(parents=True, exist_ok=True)
        self.store = NotingStore(KEPT / f"{name}.db")
        self.traces = self.drawn("dev" if name.endswith("-dev") else "test", problems)
        self.truth = truth_of(self.traces)
        self.valid = truth_of(self.traces, Question.VALIDITY)
        self.unspent = 0.0
        """The smallest budget that the search did not want to spend."""

    def drawn(self, split: str, problems: int) -> list[Trace]:
        asked = WORLDS[self.world].problems(split, problems, 0)
        found = sample(self.policy, asked, PER_PROBLEM, WRITTEN, TRACES, self.store)
        return [trace for trace in found if trace.steps]

    def sated(self, row: Row) -> bool:
        return bool(self.unspent) and row.method == "first-error-search"

    def part(self, few: bool) -> list[Trace]:
        kept = set(list(dict.fromkeys(t.problem.id for t in self.traces))[: self.few if few else None])
        return [t for t in self.traces if t.problem.id in kept]

    def rollouts(self, method: str, setting: str = "", **settings: Any) -> Row:
        few = bool(settings.pop("few", False))
        read = settings.pop("read", Row.read)
        kinds: dict[str, Any] = {"sampling": ROLLOUTS, "seed": ROLLED} | settings
        kinds = {k: v for k, v in kinds.items() if v is not None}
        scorer = annotator(method)(self.policy, store=self.store, **kinds)
        sure = method == "first-error-search"
        return Row(method, setting, scorer.score, few, read, sure)

    def plan(self) -> Iterator[Row]:
        for budget in self.budgets:
            yield self.rollouts("first-error-search", f"budget {budget}", budget=budget)
        for k in (8, 4, 1, 2, 16):
            for method in ("math-shepherd", "omega-bisection"):
                yield self.rollouts(method, f"K={k}", rollouts=k)
        yield self.rollouts("math-shepherd", "K=8 soft", rollouts=8, target="soft")
        for method in ("stop-at-zero", "sorm"):
            yield self.rollouts(method, "K=8", rollouts=8)
        yield self.rollouts("omegaprm", "K=8", few=True)
        yield self.rollouts("omegaprm", "K=8, 8 searches, no filter", searches=8, filter=0)
        yield self.rollouts("prover-advantage", "K=8, lowest if wrong", rollouts=8, read=lowest_if_wrong)
        yield from self.without_rollouts()
        yield self.joined("weak-supervision", "math-shepherd K=2 + omega-bisection K=2")
        yield self.rollouts("grounded", "K=8", rollouts=8, few=True)
        yield self.rollouts("mcts-relative", "lowest if wrong", few=True, read=lowest_if_wrong)
        yield self.rollouts("relative-progress", "N=128", few=True)
        yield self.rollouts(
            "scan", "N=128", few=True, sampling=Sampling(max_tokens=160)
        )  # its own temperature, 1.0
        if self.local:
            yield self.rollouts("unprm", "K=48", few=True)
            yield self.rollouts("edu-prm", "64 leaves", few=True, sampling=None, seed=None, max_tokens=160)
        yield from self.judges()

    def without_rollouts(self) -> Iterator[Row]:
        for method in ("outcome-copy", "freeprm"):
            yield Row(method, "", annotator(method)().score, read=below(0.5))
        if self.local:
            confidence = annotator("step-confidence")()
            dev = self.drawn("dev", 50)
            scores = [j.scores or () for j in confidence.score(dev)]
            at = tune_first_error_threshold(scores, truth_of(dev)) or 0.5
            yield Row("step-confidence", f"below {at:.2f}", confidence.score, read=below(at))
            yield Row("step-confidence", "lowest if wrong", confidence.score, read=lowest_if_wrong)

    def joined(self, method: str, setting: str, **settings: Any) -> Row:
        """A label model over judgements that are there; its cost is that of both."""

        def score(traces: Sequence[Trace]) -> list[Judgement]:
            made = [
                annotator(m)(self.policy, rollouts=2, sampling=ROLLOUTS, seed=ROLLED, store=self.store)
                for m in ("math-shepherd", "omega-bisection")
            ]
            merged: list[Judgement] = annotator(method)(tuple(made), structure="first-error").score(traces)
            return merged

        return Row(method, setting, score, probability=True)

    def judges(self) -> Iterator[Row]:
        """Judges of the world, where a model of one is shipped."""
        name = f"{self.world}-judge"
        if name not in WORLD_POLICIES:
            return
        judge, asking = Metered(load_policy(f"world:{name}")), Asking(chat=False)
        for method, settings in (
            ("step-judge", {"weigh": False}),
            ("step-judge", {}),
            ("critique", {"votes": 1}),
            ("critique", {"votes": 8}),
            ("spare", {}),
            ("spark", {"verifications": 4}),
            ("natural-program", {"votes": 1}),
            ("rubric", {}),
            ("opv", {"runs": 4}),
        ):
            setting = ", ".join(f"{k}={v}" for k, v in settings.items())
            read = below(0.5) if method == "step-judge" else Row.read
            scorer = annotator(method)(judge, asking=asking, **settings)
            yield Row(method, setting, scorer.score, few=True, read=read)
        told = annotator("critique")(judge, votes=1, asking=asking)
        shepherd = annotator("math-shepherd")(
            self.policy, rollouts=8, sampling=ROLLOUTS, seed=ROLLED, store=self.store
        )
        agreed = annotator("consensus")(shepherd, told)
        yield Row("consensus", "math-shepherd K=8 + critique", agreed.score, few=True)
        yield Row(
            "dyve", "of that consensus", annotator("dyve")(judge, agreed, asking=asking).score, few=True
        )


def truth_of(traces: Sequence[Trace], question: Question = Question.VALUE) -> list[int]:
    found = [j.first_error for j in WorldOracle(question).score(traces)]
    assert None not in found
    return [f for f in found if f is not None]
