"""The shared rollout cache: ask a policy for continuations, pay only for those that the store does not hold.

Every Monte Carlo method asks through `complete`, so a second method over the same prefixes, more draws, or a
second start after a kill generates only what is new.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from preceptor.errors import BackendError
from preceptor.generation import Continuation, Policy, Request
from preceptor.progress import Progress, silent
from preceptor.store.store import Store
from preceptor.usage import Usage


def complete(
    policy: Policy,
    requests: Sequence[Request],
    store: Store | None = None,
    *,
    unit: int = 256,
    progress: Progress = silent,
) -> list[Continuation]:
    """One continuation per request, in order.

    Requests with the same key are one draw: the first carries its cost, the others what it saved them. The
    distinct requests are cut into units of `unit` by position, whatever the store holds, so that a second
    start forms the same batches. A unit is generated in one call and stored in one transaction; of a unit
    that is partly there, only the rest is generated. What did not have to be generated has a `usage` of
    nothing but `reused`: its generated tokens. Failed continuations are returned but not stored. Without a
    store, only repetition is saved.
    """
    if unit < 1:
        raise ValueError(f"unit: got {unit}, expected at least 1 request")
    fingerprint = policy.fingerprint
    keys = [request.key(fingerprint) for request in requests]
    distinct: dict[str, Request] = {}
    for key, request in zip(keys, requests, strict=True):
        distinct.setdefault(key, request)
    order = list(distinct)
    answers: dict[str, Continuation] = {}
    generated = 0
    for start in range(0, len(order), unit):
        part = order[start : start + unit]
        stored = {} if store is None else store.get_rollouts(part)
        answers.update((key, served(stored[key])) for key in part if key in stored)
        missing = [key for key in part if key not in stored]
        if missing:
            fresh = _generate(policy, [distinct[key] for key in missing])
            if store is not None:
                store.put_rollouts(fingerprint, zip((distinct[key] for key in missing), fresh, strict=True))
            answers.update(zip(missing, fresh, strict=True))
            generated += len(missing)
        progress(start + len(part), len(order), f"{generated} generated")
    paid: set[str] = set()
    result = []
    for key in keys:
        result.append(served(answers[key]) if key in paid else answers[key])
        paid.add(key)
    return result


def served(continuation: Continuation) -> Continuation:
    """The same continuation for one who did not pay for it."""
    tokens = continuation.usage.generated or continuation.usage.reused
    return replace(continuation, usage=Usage(reused=tokens))


def _generate(policy: Policy, requests: Sequence[Request]) -> list[Continuation]:
    answers = policy.generate(requests)
    if len(answers) != len(requests):
        raise BackendError(
            f"policy {policy.fingerprint}: got {len(answers)} continuations, expected one for each of "
            f"{len(requests)} requests. `generate` must answer in order, failures included."
        )
    return answers
