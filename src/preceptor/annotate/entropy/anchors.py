"""Anchors: tokens at which the policy was unsure, and the steps that they cut a text into.

EDU-PRM: a step starts where the entropy of the next token exceeds tau. tau = 1.0
nats is from memory and unverified. Ours: a step has at least 8 tokens, and no number and no LaTeX command is
cut. Pure functions; reading a text costs one forward pass (`Reader.likelihood`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from preceptor.errors import InputError
from preceptor.generation import Likelihood
from preceptor.segment.tile import tile
from preceptor.trace import Trace

TAU = 1.0
MINIMUM = 8

_WHOLE = re.compile(r"\d+(?:[.,]\d+)*|\\(?:[A-Za-z]+|.)", re.ASCII)
_NEAR = 40
"""Characters on each side that are looked at."""


def check_settings(tau: float, minimum: int) -> None:
    """InputError for a threshold or a length that cuts nothing sensible."""
    if math.isnan(tau) or tau < 0 or minimum < 1:
        raise InputError(
            f"anchors: got tau={tau}, minimum={minimum}, expected tau >= 0 nats and minimum >= 1 token"
        )


def cuts_a_whole(before: str, after: str) -> bool:
    r"""Whether a number or a LaTeX command runs over the place between the two texts.

    >>> cuts_a_whole("3+4=", "7"), cuts_a_whole("it is 1", "2"), cuts_a_whole(r"\fr", "ac{1}{2}")
    (False, True, True)
    """
    left = before[-_NEAR:]
    found = _WHOLE.finditer(left + after[:_NEAR])
    return any(m.start() < len(left) < m.end() for m in found)


def anchors(
    text: str,
    ends: Sequence[int],
    entropies: Sequence[float],
    *,
    tau: float = TAU,
    minimum: int = MINIMUM,
    first: int = 0,
    last: int = 0,
    fits: Callable[[int], bool] = lambda k: True,
) -> list[int]:
    """Tokens at which a step starts, ascending.

    `ends[k]` is where token k ends in `text`; `entropies[i]` is that of the distribution token `first + i` was
    drawn from. Between two anchors, and from the anchor `last` on, lie at least `minimum` tokens; token 0 may be
    one. A token that is no whole characters, or follows one, is none. `fits(k)`: a further condition.
    """
    found: list[int] = []
    for k, entropy in enumerate(entropies, first):
        if not entropy > tau or (k and k - last < minimum):
            continue
        start, end = ends[k - 1] if k else 0, ends[k]
        whole = end > start and (k == 0 or start > (ends[k - 2] if k > 1 else 0))
        if whole and not cuts_a_whole(text[:start], text[start:]) and fits(k):
            found.append(k)
            last = k
    return found


def recut(trace: Trace, read: Likelihood, *, tau: float = TAU, minimum: int = MINIMUM) -> Trace:
    """The trace with one step from anchor to anchor, its text untouched; a new id, for its steps are others.

    `read` is what the policy makes of `trace.text`. InputError without entropies, and for steps that carry
    observations, which belong to the old cuts. A piece that is only space joins the step before it.
    """
    check_settings(tau, minimum)
    if read.error is not None or read.entropies is None:
        got = "none" if read.error is None else read.error.kind
        raise InputError(f"entropies of trace {trace.id}: got {got}, expected them of a local policy")
    if any(step.observation is not None for step in trace.steps):
        raise InputError(f"trace {trace.id}: got steps with observations, expected text alone")
    if (read.token_ends[-1] if read.token_ends else 0) != len(trace.text):
        raise InputError(
            f"trace {trace.id}: got a reading that ends elsewhere than its {len(trace.text)} characters, "
            "expected one of the whole text"
        )
    found = anchors(trace.text, read.token_ends, read.entropies, tau=tau, minimum=minimum)
    cuts = [read.token_ends[k - 1] for k in found if k]
    return replace(trace, steps=tile(trace.text, cuts))
