"""`GenerativePRM`: a policy that writes verifications, read in one of the published styles, as a scorer.

A step's score is the mean, over the samples whose verdict could be read, of the probability of the good word at the
verdict. A sample without a verdict is counted (`undecided`, flag `no-verdict`) and is no score; the published rule, 0.5
for it, is `missing="half"`. A backend's failure is never 0.5.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from preceptor.annotate.judges.asking import no_steps
from preceptor.annotate.judges.critique import vote
from preceptor.errors import InputError, ItemError, ModelError
from preceptor.generation import Chooser, Policy, Sampling
from preceptor.judgement import Judgement, Question, Source
from preceptor.reward.generative.style import Style
from preceptor.reward.generative.talk import NO_VERDICT, Chain, Talk, Voice, converse
from preceptor.reward.generative.thinkprm import first_error
from preceptor.trace import Trace
from preceptor.usage import Ledger, Usage


@dataclass(frozen=True)
class GenerativePRM:
    """Scorer. `policy` must generate (unless the style only asks) and weigh words (`choose`)."""

    policy: Policy | Chooser
    style: Style
    samples: int | None = None
    """Chains per score; None: as published for the style."""
    sampling: Sampling | None = None
    seed: int = 0
    missing: Literal["none", "half"] = "none"
    chat: bool = True
    """False: prompts as plain text, for models without a chat template."""

    def __post_init__(self) -> None:
        if (self.samples is not None and self.samples < 1) or self.missing not in ("none", "half"):
            raise InputError(
                f"generative: got samples {self.samples}, missing {self.missing!r}, expected samples >= 1 and "
                "missing 'none' or 'half'"
            )
        if not isinstance(self.policy, Chooser):
            raise InputError(
                f"policy: got {type(self.policy).__name__}, expected one that can weigh words (`choose`)"
            )

    @property
    def question(self) -> Question:
        return self.style.question

    @property
    def draws(self) -> int:
        """Chains per score. Asking without a chain gives the same answer every time: once is enough."""
        if not getattr(self.style, "think", True):
            return 1
        return self.style.samples if self.samples is None else self.samples

    @property
    def voice(self) -> Voice:
        return Voice(self.sampling or self.style.sampling, self.seed, self.chat)

    @property
    def source(self) -> Source:
        return Source.of(
            self.style.name,
            policy=self.policy.fingerprint,
            style=self.style.to_record(),
            samples=self.draws,
            sampling=self.voice.sampling.to_record(),
            seed=self.seed,
            missing=self.missing,
            chat=self.chat,
        )

    def chains(self, traces: Sequence[Trace], draws: int | None = None) -> list[list[Chain]]:
        """Every chain of every trace; one stage of all of them is one call of the policy."""
        talks: list[Talk] = []
        owners: list[int] = []
        for i, trace in enumerate(traces):
            for draw in range(self.draws if draws is None else draws):
                own = self.style.talks(trace, self.voice, draw)
                talks += own
                owners += [i] * len(own)
        found: list[list[Chain]] = [[] for _ in traces]
        for i, chains in zip(owners, converse(self.policy, talks), strict=True):
            found[i] += chains
        return found

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        """One judgement per trace. `rationale` is the first readable chain about each step."""
        found = self.chains(traces)
        return [
            self._judge(trace, chains) if trace.steps else no_steps(trace, self.question, self.source)
            for trace, chains in zip(traces, found, strict=True)
        ]

    def _judge(self, trace: Trace, chains: Sequence[Chain]) -> Judgement:
        n = len(trace.steps)
        by_step = [[c for c in chains if c.step == t] for t in range(n)]
        scores = [self._mean(own) for own in by_step]
        errors = [(t, c.error) for t, own in enumerate(by_step) for c in own if c.error is not None]
        counts, first = None, None
        votes = [c.votes for c in chains if len(c.votes) == n]
        if getattr(self.style, "per", None) in ("solution", "steps"):
            first = vote([e for v in votes if (e := first_error(v)) is not None])
        if getattr(self.style, "per", None) == "steps":
            told = [[v[t] for v in votes if v[t] is not None] for t in range(n)]
            counts = tuple((sum(map(bool, own)), len(own)) for own in told)
            scores = [sum(map(bool, own)) / len(own) if own else None for own in told]
        error = None
        empty = [t for t, own in enumerate(by_step) if scores[t] is None and own]
        if empty:
            why = next(
                (e for t, e in errors if t in empty), ItemError(NO_VERDICT, "no chain states a verdict")
            )
            error = ItemError(why.kind, f"steps {empty[:5]} of {n}: {why.message}")
        nothing = all(s is None for s in scores)
        if nothing and error is None:
            error = ItemError(NO_VERDICT, "no chain states a verdict on a step")
        readable = [next((c.text for c in own if c.error is None), None) for own in by_step]
        flags = Counter(f for c in chains for f in c.flags) + Counter(e.kind for _, e in errors)
        return Judgement(
            trace=trace.id,
            question=self.question,
            source=self.source,
            scores=None if nothing else tuple(scores),
            counts=None if nothing else counts,
            undecided=sum(e.kind == NO_VERDICT for _, e in errors),
            first_error=first,
            rationale=tuple(readable) if any(readable) else None,
            flags=tuple(sorted(flags.elements())),
            usage=Ledger(scorer=_spent(chains)),
            error=error,
        )

    def _mean(self, chains: Sequence[Chain]) -> float | None:
        found = [c.probability for c in chains if c.probability is not None]
        if self.missing == "half":
            found += [0.5 for c in chains if c.error is not None and c.error.kind == NO_VERDICT]
        return sum(found) / len(found) if found else None


def _spent(chains: Sequence[Chain]) -> Usage:
    return sum((c.usage for c in chains), Usage())


def style_from_record(record: dict[str, Any]) -> Style:
    """The style that `to_record` wrote; code is never switched on by a record."""
    from preceptor.reward.generative import STYLES

    values = {k: v for k, v in record.items() if k not in ("kind", "code")}
    try:
        return STYLES[record["kind"]](**values)
    except (KeyError, TypeError) as e:
        raise ModelError(
            f"style: got {record}, expected one of {sorted(STYLES)} with its fields ({e})"
        ) from e
