"""Power sampling (reasoning-with-sampling): a sample of p(y)^alpha by Metropolis-Hastings, without a scorer.

Text is written in `blocks` of max_tokens / blocks tokens at temperature 1 / alpha. After each block, `moves` times: cut
the text at random, write a new rest to the same limit (or to an end of text), and take it with probability
min(1, w(new) cuts(old) / (w(old) cuts(new))), w = p^alpha / q of the rest, p by the policy and q by the proposal. Low
temperature looks one token ahead, this weighs whole texts. A text that ends stops the blocks, as published: it was
weighed against unfinished texts then, so only blocks = 1 samples p^alpha over ends of any length. Published: alpha 4,
16 blocks; 10 moves, max_tokens 3072 (from memory).

Deviations: `cuts`, the number of places to cut at, is in the ratio, as texts that end early have fewer (the peer slices
the old rest to the new length, which is biased); so alpha = 1 takes every rest of equal length. Cuts are where exactly
one token ends, never behind the last; a rest that leaves no cut there is refused, as there is no way back, so an empty
text stays empty. q needs the log-probability of the draw at its temperature: local policies give it (`tempered.py`);
with others set `proposal_temperature=1`, where it is p: as exact, fewer moves taken. An end of text whose
log-probability a server does not report keeps the proposal's power. Cost: up to 1 + moves * (blocks + 1) / 4 solutions.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from preceptor.errors import InputError
from preceptor.generation import Policy, Sampling
from preceptor.search.state import Search
from preceptor.search.strategy import Ask, Strategy
from preceptor.search.tree import Node, Path, Status

MOVE = "move"


@dataclass(frozen=True)
class PowerSampling(Strategy):
    """One solution from a sharper distribution."""

    alpha: float = 4.0
    blocks: int = 16
    moves: int = 10
    """Proposals after each block."""
    proposal_temperature: float | None = field(default=None, kw_only=True)
    """None: 1 / alpha."""
    sampling: Sampling = field(default_factory=lambda: Sampling(max_tokens=3072), kw_only=True)
    """`max_tokens` is the limit of the solution; the temperature is the proposal's, and not read here."""

    def __post_init__(self) -> None:
        if self.alpha <= 0 or min(self.blocks, self.moves + 1) < 1 or self.heat <= 0:
            raise ValueError(
                f"power sampling: got {self!r}, expected alpha and temperature > 0, blocks >= 1, moves >= 0"
            )
        if self.sampling.top_p < 1 or self.sampling.top_k or self.sampling.stop:
            raise ValueError(
                f"power sampling: got {self.sampling}, expected no top_p, top_k or stop. A proposal must be able to "
                "write every text, and its probability must be known."
            )

    @property
    def heat(self) -> float:
        return 1 / self.alpha if self.proposal_temperature is None else self.proposal_temperature

    def prepare(self, policy: Policy) -> Policy:
        if self.heat == 1:
            return policy
        from preceptor.policy import TransformersPolicy
        from preceptor.search.sampling.tempered import Tempered

        return Tempered(policy) if isinstance(policy, TransformersPolicy) else policy

    def limit(self, block: int) -> int:
        """Tokens of a text after this many blocks."""
        return math.ceil(self.sampling.max_tokens * block / self.blocks)

    def select(self, search: Search) -> list[Ask]:
        memory = search.memory
        if search.round == 0:
            memory |= {"at": 0, "block": 0, "move": self.moves, "drawn": []}
        at = search.tree[memory["at"]]
        while memory["move"] < self.moves:
            memory["move"] += 1
            places = cuts(search.tree.path(at))
            if places:
                turn = memory["block"], memory["move"]
                memory["cut"] = places[int(search.rng("cut", *turn).integers(len(places)))]
                return [self._ask(search, at, memory["cut"], MOVE)]
        if at.status is Status.LIVE and memory["block"] < self.blocks:
            memory["block"] += 1
            memory["move"] = 0
            return [self._ask(search, at, None, "solution")]
        if at.status is Status.LIVE and at is not search.tree.root:
            at.status, at.data["why"] = Status.CUT, "unfinished at the end"
        return []

    def _ask(self, search: Search, at: Node, start: int | None, role: str) -> Ask:
        path = search.tree.path(at)
        written = tokens(path if start is None else path.cut(start))
        room = self.limit(search.memory["block"]) - written
        unit = replace(self.sampling, temperature=self.heat, max_tokens=max(1, room))
        while start is not None and at.parent is not None and start <= at.start:
            at = search.tree[at.parent]  # the prefix is older than this node
        return Ask(at, 1, unit, role=role, start=start, resume=True)

    def prune(self, search: Search, kids: Sequence[Node]) -> None:
        (kid,) = kids
        drawn = None if kid.status not in (Status.LIVE, Status.DONE) else self._drawn(search, kid)
        if kid.role == MOVE:
            self._move(search, kid, drawn)
        elif drawn is not None:
            search.memory["at"] = kid.id
            search.memory["drawn"] += drawn
        else:  # nothing to go on with
            search.memory |= {"block": self.blocks, "move": self.moves}

    def _drawn(self, search: Search, kid: Node) -> list[float] | None:
        """Log-probability of each token of a node under the proposal; None: not known of this one."""
        said = kid.logprobs if self.heat == 1 else kid.data.get("policy", {}).get("proposal_logprobs")
        drawn = None if said is None else list(said)
        complete = kid.logprobs is not None and drawn is not None and len(drawn) == len(kid.logprobs)
        if complete and all(map(math.isfinite, [*(kid.logprobs or ()), *(drawn or ())])):
            return drawn
        if kid.id == 1:
            raise InputError(_missing(search, kid.logprobs is not None, self.heat))
        kid.status, kid.data["why"] = Status.CUT, "its log-probabilities are not known"
        return None

    def _move(self, search: Search, kid: Node, drawn: list[float] | None) -> None:
        """Take the new rest, or stay."""
        memory = search.memory
        at = search.tree[memory["at"]]
        if drawn is None:
            kid.data.setdefault("why", "no whole proposal")
            return
        old, new = search.tree.path(at), search.tree.path(kid)
        kept = tokens(old.cut(memory["cut"]))
        # the other way round the same cut must be there to be chosen
        places = cuts(new)
        ratio = -math.inf
        if memory["cut"] in places and old.logprobs is not None and new.logprobs is not None:
            ratio = self._weight(new.logprobs[kept:], drawn) - self._weight(
                old.logprobs[kept:], memory["drawn"][kept:]
            )
            ratio += math.log(len(cuts(old))) - math.log(len(places))
        turn = memory["block"], memory["move"]
        taken = ratio >= 0 or search.rng("accept", *turn).random() < math.exp(ratio)
        kid.data |= {"log_ratio": ratio if ratio > -math.inf else None, "taken": taken}
        left = at if taken else kid
        left.status, left.data["why"] = Status.PRUNED, "replaced" if taken else "not taken"
        if taken:
            memory |= {"at": kid.id, "drawn": [*memory["drawn"][:kept], *drawn]}

    def _weight(self, logprobs: Sequence[float], drawn: Sequence[float]) -> float:
        """Log of p^alpha / q of a rest."""
        return self.alpha * math.fsum(logprobs) - math.fsum(drawn)

    def candidates(self, search: Search) -> list[Node]:
        return [n for n in search.done if n.id == search.memory.get("at")]

    def choose(self, search: Search) -> Node | None:
        return next((n for n in self.candidates(search) if n.canon is not None), None)


def tokens(path: Path) -> int:
    return len(path.token_ends or ())


def cuts(path: Path) -> list[int]:
    """Offsets at which a text can be cut so that its tokens before and after are known."""
    ends = Counter(path.token_ends or ())
    return [at for at in sorted({0, *ends}) if at < len(path.text) and ends[at] == (at > 0)]


def _missing(search: Search, has_logprobs: bool, heat: float) -> str:
    who: Any = search.tree.policy
    if not has_logprobs:
        return (
            f"power sampling: policy {who} gave no log-probabilities, expected one for each token. Use a policy that "
            "reports them (a local model, or a server asked for logprobs)."
        )
    return (
        f"power sampling: policy {who} gives log-probabilities at temperature 1 only, expected those of its draw at "
        f"temperature {heat:g}. Set proposal_temperature=1, or use a local model."
    )
