"""Verifications as conversations: each is written as one plain generator, all of them move in batches.

A talk yields what it wants next, a piece of text (`Write`) or the weight of two words (`Weigh`), and is sent the
answer. `converse` collects what all talks want and asks the policy once per stage, so a thousand verifications
cost as many calls as the longest one has stages. Equal requests are asked once; the first asker pays.

An answer is kept in parts that remember who wrote them: forced by us, written by the model, or put in by a tool.
Training renders the same parts, so what is served is what was taught.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from preceptor.annotate.judges.asking import once
from preceptor.errors import InputError, ItemError
from preceptor.generation import Choice, Chooser, Continuation, Message, Policy, Reader, Request, Sampling
from preceptor.trace import Finish, Problem, content_id
from preceptor.usage import Usage

NO_VERDICT = "no-verdict"
"""Error kind: the chain ended without the words that name its verdict."""


class Part(NamedTuple):
    text: str
    by: Literal["forced", "written", "tool"]


@dataclass(frozen=True)
class Write:
    request: Request


@dataclass(frozen=True)
class Weigh:
    request: Request
    options: tuple[str, str]
    """The good word first."""
    normalised: bool = False
    """By log-probability per token of the whole word, where the policy can read."""


Talk = Generator[Write | Weigh, Any, list["Chain"]]
Asking = Generator[Write | Weigh, Any, float]


@dataclass(frozen=True)
class Chain:
    """One verification of one step (or of a solution, then `step` is its last)."""

    step: int
    messages: tuple[Message, ...]
    parts: tuple[Part, ...]
    """The answer up to its verdict."""
    options: tuple[str, str]
    probability: float | None
    """Of the good word; None: see `error`."""
    tail: str = ""
    """What stands behind the verdict's word."""
    votes: tuple[bool | None, ...] = ()
    """Verdicts on single steps, where the chain states them."""
    flags: tuple[str, ...] = ()
    usage: Usage = field(default_factory=Usage)
    error: ItemError | None = None
    draw: int = 0

    @property
    def text(self) -> str:
        """The answer up to its verdict."""
        return "".join(p.text for p in self.parts)

    def answer(self, good: bool) -> str:
        """The whole answer with this verdict."""
        return self.text + self.options[0 if good else 1] + self.tail


@dataclass(frozen=True)
class Voice:
    """How requests are made."""

    sampling: Sampling
    seed: int = 0
    chat: bool = True
    """False: messages as plain text, for models without a chat template."""

    def request(
        self, problem: Problem, messages: tuple[Message, ...], prefix: str, draw: int, sampling: Sampling
    ) -> Request:
        if self.chat:
            return Request(problem, prefix, None, draw, self.seed, sampling, messages)
        return Request(flat(problem, messages), prefix, None, draw, self.seed, sampling)


def flat(problem: Problem, messages: Sequence[Message]) -> Problem:
    """A chat as the prompt of a problem: contents with blank lines between them."""
    prompt = "\n\n".join(m.content for m in messages)
    return replace(problem, prompt=prompt, id=content_id("flat", problem.id, prompt))


class Broken(Exception):
    """A talk that cannot go on; never leaves this package."""

    def __init__(self, error: ItemError):
        super().__init__(error)
        self.error = error


class Turn:
    """One answer while it is written. `left`: tokens that may still be sampled."""

    def __init__(self, voice: Voice, problem: Problem, messages: tuple[Message, ...], draw: int):
        self.voice, self.problem, self.messages, self.draw = voice, problem, messages, draw
        self.parts: list[Part] = []
        self.left = voice.sampling.max_tokens
        self.finish = Finish.BOUNDARY
        self.usage = Usage()
        self.tail = ""
        self.said: str | None = None
        """The whole answer, for a chat that goes on though its verdict could not be weighed."""
        self.votes: tuple[bool | None, ...] = ()
        self.flags: list[str] = []

    @property
    def text(self) -> str:
        return "".join(p.text for p in self.parts)

    def force(self, text: str) -> None:
        if text:
            self.parts.append(Part(text, "forced"))

    def tool(self, text: str) -> None:
        self.parts.append(Part(text, "tool"))

    def write(self, *stop: str, limit: int | None = None) -> Generator[Write | Weigh, Any, str]:
        """What the model writes, up to and with the first stop string. `limit` is an allowance of its own;
        None takes from `left`, and with nothing left nothing is asked. Raises `Broken`."""
        tokens = self.left if limit is None else limit
        if tokens < 1:
            self.finish = Finish.LENGTH
            return ""
        sampling = replace(self.voice.sampling, max_tokens=tokens, stop=stop)
        request = self.voice.request(self.problem, self.messages, self.text, self.draw, sampling)
        reply: Continuation = yield Write(request)
        self.usage += reply.usage
        if reply.error is not None:
            raise Broken(reply.error)
        if limit is None:
            self.left -= max(reply.usage.generated, len(reply.token_ids or ()), 1)
        text = reply.text
        ends = [at + len(s) for s in stop if (at := text.find(s)) >= 0]
        self.finish = Finish.BOUNDARY if ends else reply.finish
        text = text[: min(ends)] if ends else text
        self.parts.append(Part(text, "written"))
        return text

    def weigh(self, options: tuple[str, str], normalised: bool = False) -> Asking:
        """Probability of the good word as next. Raises `Broken`."""
        sampling = replace(self.voice.sampling, max_tokens=1, stop=(), temperature=1.0)
        # The draw and the settings of sampling do not matter to a weight: leaving them out joins equal requests.
        request = self.voice.request(self.problem, self.messages, self.text, 0, sampling)
        choice: Choice = yield Weigh(replace(request, seed=0), options, normalised)
        self.usage += choice.usage
        if choice.probs is None:
            raise Broken(choice.error or ItemError("no-option", "the policy gave no probabilities"))
        if choice.error is not None:
            self.flags.append(choice.error.kind)
        return choice.probs[0]

    def cut(self, at: int) -> str:
        """Take away what stands from character `at` on, and return it."""
        gone, kept, place = self.text[at:], [], 0
        for part in self.parts:
            piece = part.text[: max(0, at - place)]
            place += len(part.text)
            if piece:
                kept.append(part._replace(text=piece))
        self.parts = kept
        return gone


def judged(turn: Turn, step: int, options: tuple[str, str], asking: Asking) -> Generator[Any, Any, Chain]:
    """The chain that comes of `asking`, whatever happens to it."""
    probability, error = None, None
    try:
        probability = yield from asking
    except Broken as broken:
        error = broken.error
    return Chain(
        step=step,
        messages=turn.messages,
        parts=tuple(turn.parts),
        options=options,
        probability=probability,
        tail=turn.tail,
        votes=turn.votes,
        flags=tuple(turn.flags),
        usage=turn.usage,
        error=error,
        draw=turn.draw,
    )


def converse(policy: Policy | Chooser, talks: Sequence[Talk]) -> list[list[Chain]]:
    """Run all talks to their end; one list of chains per talk, in order."""
    done: list[list[Chain]] = [[] for _ in talks]
    waiting: dict[int, Write | Weigh] = {}

    def move(i: int, answer: Continuation | Choice | None) -> None:
        try:
            waiting[i] = talks[i].send(answer)
        except StopIteration as end:
            waiting.pop(i, None)
            done[i] = end.value

    for i in range(len(talks)):
        move(i, None)
    while waiting:
        asked = dict(waiting)
        for i, answer in _answers(policy, asked).items():
            move(i, answer)
    return done


def _answers(policy: Policy | Chooser, asked: dict[int, Write | Weigh]) -> dict[int, Continuation | Choice]:
    out: dict[int, Continuation | Choice] = {}
    writes = [i for i, a in asked.items() if isinstance(a, Write)]
    if writes:
        if not isinstance(policy, Policy):
            raise InputError(f"policy: got {type(policy).__name__}, expected one that generates")
        out.update(zip(writes, once(policy.generate, [asked[i].request for i in writes]), strict=True))
    kinds: dict[tuple[tuple[str, str], bool], list[int]] = {}
    for i, a in asked.items():
        if isinstance(a, Weigh):
            kinds.setdefault((a.options, a.normalised), []).append(i)
    for (options, normalised), places in kinds.items():
        requests = [asked[i].request for i in places]
        out.update(zip(places, _weighed(policy, requests, options, normalised), strict=True))
    return out


def loose(text: str, options: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """The same place with the blank before the options written at the end of the text."""
    if all(o.startswith(" ") for o in options):
        return text + " ", tuple(o[1:] for o in options)
    return text, options


def tight(text: str, options: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """The same place with the blank that ends the text written at the beginning of the options."""
    if text.endswith(" ") and not any(o.startswith(" ") for o in options):
        return text[:-1], tuple(" " + o for o in options)
    return text, options


def _weighed(
    policy: Any, requests: list[Request], options: tuple[str, str], normalised: bool
) -> list[Choice]:
    if not (normalised and isinstance(policy, Reader)):
        return once(lambda rs: _by_first_token(policy, rs, options), requests)
    found = once(lambda rs: _by_likelihood(policy, rs, options), requests)
    again = [k for k, choice in enumerate(found) if choice.probs is None]
    if again and isinstance(policy, Chooser):
        # A server may read no text in a chat, and still list likely words.
        others = once(lambda rs: _by_first_token(policy, rs, options), [requests[k] for k in again])
        for k, choice in zip(again, others, strict=True):
            found[k] = replace(choice, usage=choice.usage + found[k].usage)
    return found


def _placed(how: Any, requests: list[Request], options: tuple[str, str]) -> tuple[list[Request], Any]:
    moved = [how(r.prefix, options) for r in requests]
    if len({words for _, words in moved}) != 1:  # a blank here and none there
        return requests, options
    return [replace(r, prefix=text) for r, (text, _) in zip(requests, moved, strict=True)], moved[0][1]


def _by_first_token(policy: Any, requests: list[Request], options: tuple[str, str]) -> list[Choice]:
    """Most tokenizers write a blank with the word behind it, and so do the words a server lists. Where a blank is a
    token of its own the words are compared behind it."""
    if not isinstance(policy, Chooser):
        raise InputError(f"policy: got {type(policy).__name__}, expected one that can weigh words (`choose`)")
    try:
        return policy.choose(*_placed(tight, requests, options))
    except InputError:
        if not all(r.prefix.endswith(" ") or options[0].startswith(" ") for r in requests):
            raise
        return policy.choose(*_placed(loose, requests, options))


def _by_likelihood(policy: Reader, requests: list[Request], options: tuple[str, str]) -> list[Choice]:
    """Softmax of the mean log-probability per token of each option."""
    asked, texts = _placed(tight, requests, options)
    pairs = [(r, text) for r in asked for text in texts]
    read = policy.likelihood([r for r, _ in pairs], [text for _, text in pairs])
    out = []
    for first, second in zip(read[::2], read[1::2], strict=True):
        usage = first.usage + second.usage
        error = first.error or second.error
        means = [
            math.fsum(x.logprobs) / len(x.logprobs) if x.logprobs else -math.inf for x in (first, second)
        ]
        if error is not None or not any(map(math.isfinite, means)):
            out.append(Choice(None, usage=usage, error=error or ItemError("no-option", "no option can come")))
            continue
        high = max(means)
        a, b = (math.exp(m - high) for m in means)
        out.append(Choice((a / (a + b), b / (a + b)), None, usage))
    return out
