"""What a method asked for, exactly: a policy whose usage is only what it wrote, and a store that notes what was
looked up.

`Usage.reused` of a local model also counts prefix tokens that its cache held; without these, generated + reused is
what a method asked for, whether or not another method had paid for it before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from preceptor.generation import Choice, Continuation, Request
from preceptor.policy.next_tokens import NextTokens
from preceptor.store import Store


@dataclass(frozen=True)
class Metered:
    """The same policy, by the same fingerprint; its usage is without what caches saved."""

    policy: Any

    @property
    def fingerprint(self) -> str:
        return str(self.policy.fingerprint)

    def generate(self, requests: Sequence[Request]) -> list[Continuation]:
        return [_plain(a) for a in self.policy.generate(requests)]

    def choose(self, requests: Sequence[Request], options: Sequence[str]) -> list[Choice]:
        return [_plain(a) for a in self.policy.choose(requests, options)]

    def next_tokens(self, *args: Any, **settings: Any) -> list[NextTokens]:
        return [_plain(a) for a in self.policy.next_tokens(*args, **settings)]


def _plain(answer: Any) -> Any:
    return replace(answer, usage=replace(answer.usage, reused=0, prefilled=0))


class NotingStore(Store):
    """A store that notes the distinct rollouts that are asked of it."""

    def __init__(self, path: str | Path):
        super().__init__(path)
        self.forget()

    def forget(self) -> None:
        self.asked: dict[str, Continuation] = {}
        self.fresh_seconds = 0.0

    def get_rollouts(self, keys: Iterable[str]) -> dict[str, Continuation]:
        found = super().get_rollouts(keys)
        self.asked |= found
        return found

    def put_rollouts(self, policy: str, items: Iterable[tuple[Request, Continuation]]) -> int:
        pairs = list(items)
        self.asked |= {request.key(policy): answer for request, answer in pairs}
        self.fresh_seconds += sum(answer.usage.seconds for _, answer in pairs)
        return super().put_rollouts(policy, pairs)

    @property
    def tokens(self) -> int:
        """Tokens of the rollouts noted, each once: what the method would cost with a store of its own."""
        return sum(a.usage.generated or a.usage.reused for a in self.asked.values())

    @property
    def seconds(self) -> float:
        """What generating them took, when they were generated."""
        return sum(a.usage.seconds for a in self.asked.values())
