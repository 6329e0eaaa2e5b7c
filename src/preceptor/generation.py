"""The one call every policy answers: requests in, continuations out.

A request is one draw from one prefix; a policy is handed many at once and batches, shares prefixes and
orders the work as it likes. The random stream of a draw is `stream_seed(seed, problem, prefix, draw)`,
so what a draw returns does not depend on what else was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

from preceptor.errors import ItemError
from preceptor.trace import Finish, Problem, content_id, stream_seed
from preceptor.usage import Usage


@dataclass(frozen=True)
class Sampling:
    """How to sample. The defaults are the policy's own distribution."""

    temperature: float = 1.0
    """0 is greedy."""
    top_p: float = 1.0
    top_k: int = 0
    """0 is off."""
    max_tokens: int = 256
    """Limit on the new tokens of one continuation."""
    stop: tuple[str, ...] = ()
    """Text at which to stop (`Finish.BOUNDARY`); the stop text itself is kept, so steps stay whole."""

    def __post_init__(self) -> None:
        if self.temperature < 0 or not 0 < self.top_p <= 1 or self.top_k < 0 or self.max_tokens < 1:
            raise ValueError(
                f"sampling: got {self}, expected temperature >= 0, 0 < top_p <= 1, top_k >= 0, "
                "max_tokens >= 1"
            )

    def to_record(self) -> dict[str, Any]:
        return {**asdict(self), "stop": list(self.stop)}


class Message(NamedTuple):
    """One turn of a chat."""

    role: str
    """"system", "user" or "assistant"."""
    content: str


@dataclass(frozen=True)
class Request:
    """One draw from one prefix."""

    problem: Problem
    prefix: str = ""
    """Text of the trace so far, after the prompt."""
    prefix_ids: tuple[int, ...] | None = None
    """Sampled ids of `prefix`, when known; they win over re-encoding the text."""
    draw: int = 0
    seed: int = 0
    sampling: Sampling = field(default_factory=Sampling)
    messages: tuple[Message, ...] = ()
    """The chat that `prefix` answers; empty: the problem's prompt as one user message."""

    @property
    def stream(self) -> int:
        return stream_seed(self.seed, self.problem.id, self.prefix, self.draw, *self._chat())

    def _chat(self) -> list[Any]:
        """Nothing where there is no chat, so that plain requests keep their streams and keys."""
        return [[list(m) for m in self.messages]] if self.messages else []

    def key(self, policy: str) -> str:
        """Content hash under which the store keeps the answer of the policy with this fingerprint."""
        return content_id(
            "rollout",
            policy,
            self.problem.id,
            self.problem.prompt,
            self.prefix,
            self.draw,
            self.seed,
            self.sampling.to_record(),
            *self._chat(),
        )


@dataclass(frozen=True)
class Continuation:
    """What a policy wrote after one request's prefix."""

    text: str
    finish: Finish
    token_ids: tuple[int, ...] | None = None
    token_ends: tuple[int, ...] | None = None
    """Character offset in `text` at which each token ends."""
    logprobs: tuple[float, ...] | None = None
    """Log-probability of each token at temperature 1, before top-p and top-k."""
    usage: Usage = field(default_factory=Usage)
    error: ItemError | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """What the policy says beyond this (entropies, a search of its own); JSON values only."""

    def to_record(self) -> dict[str, Any]:
        def listed(values: tuple[Any, ...] | None) -> list[Any] | None:
            return None if values is None else list(values)

        return {
            "text": self.text,
            "finish": self.finish.value,
            "token_ids": listed(self.token_ids),
            "token_ends": listed(self.token_ends),
            "logprobs": listed(self.logprobs),
            "usage": self.usage.to_record(),
            "error": None if self.error is None else self.error.to_record(),
            **({"extra": dict(self.extra)} if self.extra else {}),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Continuation:
        def listed(name: str) -> tuple[Any, ...] | None:
            return None if record.get(name) is None else tuple(record[name])

        return cls(
            text=record["text"],
            finish=Finish(record["finish"]),
            token_ids=listed("token_ids"),
            token_ends=listed("token_ends"),
            logprobs=listed("logprobs"),
            usage=Usage.from_record(record.get("usage")),
            error=ItemError.from_record(record.get("error")),
            extra=record.get("extra", {}),
        )

    @classmethod
    def failed(cls, kind: str, message: str, usage: Usage | None = None) -> Continuation:
        return cls("", Finish.ERROR, usage=usage or Usage(), error=ItemError(kind, message))


@runtime_checkable
class Policy(Protocol):
    """Continues prefixes."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the distribution of continuations may change (weights, template, server)."""
        ...

    def generate(self, requests: Sequence[Request]) -> list[Continuation]:
        """One continuation per request, in order. A request that fails alone comes back with
        `Finish.ERROR` and an `ItemError`; only a backend that is down as a whole raises."""
        ...


@dataclass(frozen=True)
class Likelihood:
    """What a model makes of a *given* text after a request's prefix: teacher forcing, nothing is sampled."""

    token_ids: tuple[int, ...] = ()
    token_ends: tuple[int, ...] = ()
    """Character offset in the text at which each token ends."""
    logprobs: tuple[float, ...] = ()
    """Log-probability of each token at temperature 1, in nats."""
    entropies: tuple[float, ...] | None = None
    """Entropy of the distribution each token was drawn from, in nats; None where only a few are known."""
    usage: Usage = field(default_factory=Usage)
    error: ItemError | None = None


@dataclass(frozen=True)
class Choice:
    """How likely each of some given words is to come next."""

    probs: tuple[float, ...] | None
    """Normalised over the options; None when the model gave none of them (see `error`)."""
    mass: float | None = None
    """Total probability of the options before normalising; None where the backend does not say."""
    usage: Usage = field(default_factory=Usage)
    error: ItemError | None = None


@runtime_checkable
class Reader(Protocol):
    """A policy that can also read: score a given text."""

    @property
    def fingerprint(self) -> str: ...

    def likelihood(self, requests: Sequence[Request], texts: Sequence[str]) -> list[Likelihood]:
        """One per request: the text as continuation of the request's prompt and prefix. `sampling`,
        `draw` and `seed` of the requests do not matter."""
        ...


@runtime_checkable
class Chooser(Protocol):
    """A policy that can weigh a few given next words against each other."""

    @property
    def fingerprint(self) -> str: ...

    def choose(self, requests: Sequence[Request], options: Sequence[str]) -> list[Choice]:
        """One per request. An option counts by the probability of its first token after the prefix; options
        that begin with the same token cannot be told apart: InputError."""
        ...
