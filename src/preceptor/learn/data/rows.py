"""What a builder gives: a text to train on, in pieces, each with a weight or as bare context.

A piece is a stretch of one completion. Where its tokens were sampled it carries their ids, which are trained on as
they are; text that nobody sampled is encoded when it is trained on, piece by piece, so where a loss begins and ends
is known by construction. The prompt is never part of a piece and never trained on. Left out: tokenizers and tensors
(`preceptor.learn.supervised`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from preceptor.credit import token_spans
from preceptor.errors import InputError
from preceptor.policy.sample import tokens_until
from preceptor.trace import Finish, Problem, Trace


@dataclass(frozen=True)
class Piece:
    """A stretch of a completion."""

    text: str
    trained: bool = True
    """False: context. Its tokens are in no loss and in no denominator."""
    weights: float | tuple[float, ...] = 1.0
    """Of the tokens' log-likelihood: one for all, or one for each of `token_ids`. A trained token of weight 0 still
    counts in the denominator."""
    token_ids: tuple[int, ...] | None = None
    """The sampled ids; None: the text is encoded."""
    value: float | None = None
    """Target of a value head at the piece's last token; None: none."""

    def __post_init__(self) -> None:
        if isinstance(self.weights, tuple) and len(self.weights) != len(self.token_ids or ()):
            raise InputError(
                f"piece {self.text[:40]!r}: got {len(self.weights)} weights for {len(self.token_ids or ())} token ids, "
                "expected one each. Give one number where the ids are not known."
            )


@dataclass(frozen=True)
class Row:
    """One completion to train on, behind its problem's prompt."""

    problem: Problem
    pieces: tuple[Piece, ...]
    end: bool = True
    """The text ends here: the end-of-text token is trained like the last piece. One that was sampled is not added
    again."""
    stream: str = "nll"
    """The loss term it belongs to; every stream has its own denominator, the number of its trained tokens."""
    source: str = ""
    """Id of the trace it came from, if any."""

    @property
    def text(self) -> str:
        return "".join(p.text for p in self.pieces)

    def to_record(self) -> dict[str, Any]:
        return {
            "problem": self.problem.to_record(),
            "pieces": [
                {
                    "text": p.text,
                    "trained": p.trained,
                    "weights": list(p.weights) if isinstance(p.weights, tuple) else p.weights,
                    "token_ids": None if p.token_ids is None else list(p.token_ids),
                    "value": p.value,
                }
                for p in self.pieces
            ],
            "end": self.end,
            "stream": self.stream,
            "source": self.source,
        }


def step_pieces(
    trace: Trace, weights: Sequence[float | None], values: Sequence[float | None] | None = None
) -> tuple[Piece, ...]:
    """A piece per step: weight of its log-likelihood, None for context; targets of a value head.

    Token ids are the trace's where it has them; a token across two steps goes with the later one
    (`credit.token_spans`). What an environment wrote behind a step is a piece of its own, context.
    """
    n = len(trace.steps)
    values = [None] * n if values is None else values
    if len(weights) != n or len(values) != n:
        raise InputError(f"trace {trace.id}: got {len(weights)} weights, {len(values)} values for {n} steps")
    spans: Sequence[tuple[int, int] | None] = [None] * n
    if trace.token_ids is not None and trace.token_ends is not None:
        spans = token_spans([s.end for s in trace.steps], trace.token_ends)
    pieces: list[Piece] = []
    for text, span, weight, value in zip(trace.step_texts, spans, weights, values, strict=True):
        ids = None if span is None or trace.token_ids is None else trace.token_ids[span[0] : span[1]]
        made = Piece(text, weight is not None, 0.0 if weight is None else weight, ids, value)
        pieces += [made] if span is None or trace.sampled is None else _without_reply(made, trace, span)
    return tuple(pieces)


def _without_reply(step: Piece, trace: Trace, span: tuple[int, int]) -> list[Piece]:
    """A step as the policy's turn and the environment's reply, at whose end a value stays."""
    (a, b), ids, ends = span, step.token_ids or (), trace.token_ends or ()
    own = b
    while own > a and trace.sampled is not None and not trace.sampled[own - 1]:
        own -= 1
    if own == b:
        return [step]
    cut = len(step.text) - (ends[b - 1] - (ends[own - 1] if own else 0))
    turn = Piece(step.text[:cut], step.trained, step.weights, ids[: own - a])
    reply = Piece(step.text[cut:], False, 0.0, ids[own - a :], step.value)
    return [turn, reply] if own > a else [reply]


def prefix_piece(trace: Trace, chars: int, *, trained: bool, weight: float = 1.0) -> tuple[Piece, ...]:
    """The first `chars` characters of a trace as one piece, with their ids where a token ends there; () for 0."""
    if chars == 0:
        return ()
    count = tokens_until(trace, chars)
    ids = None if count is None or trace.token_ids is None else trace.token_ids[:count]
    return (Piece(trace.text[:chars], trained, weight if trained else 0.0, ids),)


def whole_row(trace: Trace, weight: float = 1.0, stream: str = "nll") -> Row:
    """All of a trace with one weight."""
    pieces = step_pieces(trace, [weight] * len(trace.steps))
    return Row(trace.problem, pieces, trace.finish is Finish.STOP, stream, trace.id)


def token_row(
    trace: Trace, weights: Sequence[float], trained: Sequence[bool] | None = None, stream: str = "nll"
) -> Row:
    """All of a trace with a weight for each sampled token; `trained` False makes runs of tokens context; so is what
    an environment wrote."""
    ids, ends = trace.token_ids, trace.token_ends
    if ids is None or ends is None or len(ids) != len(weights):
        got = "no sampled tokens" if ids is None else f"{len(weights)} weights for {len(ids)} tokens"
        raise InputError(f"trace {trace.id}: got {got}, expected a weight for each sampled token")
    own = trace.sampled or (True,) * len(ids)
    kept = [a and b for a, b in zip(own, trained or own, strict=True)]
    pieces, first, at = [], 0, 0
    for k in range(1, len(ids) + 1):
        if k == len(ids) or kept[k] != kept[first]:
            end = len(trace.text) if k == len(ids) else ends[k - 1]
            pieces.append(Piece(trace.text[at:end], kept[first], tuple(weights[first:k]), ids[first:k]))
            first, at = k, end
    return Row(trace.problem, tuple(pieces), False, stream, trace.id)
