"""How judges ask: one batched call for all prompts, a verdict by weighing two words or by votes in words.

A prompt is asked once however often it occurs (samples of one problem share their first steps); the first to
ask carries its cost, and equal prompts share their votes.
Left out: what is asked (the judges), and reading replies (`verdict.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from preceptor.annotate.judges.verdict import verdict_word
from preceptor.errors import InputError, ItemError
from preceptor.generation import Choice, Chooser, Continuation, Message, Policy, Request, Sampling
from preceptor.judgement import Judgement, Question, Source
from preceptor.trace import Problem, Trace, content_id
from preceptor.usage import Ledger, Usage

Answer = TypeVar("Answer", Choice, Continuation)
BOUNDED = "bounded-option"
"""A probability that rests on an upper bound; error kind of such a `Choice`, flag of the judgement."""
UNREAD = "unread-verdict"
"""A vote in words that came and could not be read."""


@dataclass(frozen=True)
class Asking:
    """How prompts reach the policy."""

    chat: bool = True
    """False sends the prompt as plain text, for base models and tokenizers without a chat template."""
    lead: str = ""
    """What the policy's answer is made to begin with, such as "Verdict:" for base models."""
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.7, max_tokens=1024))
    """For verdicts in words; temperature 0.7 is Natural Program's default as we assume it (not found)."""
    seed: int = 0

    def request(self, problem: Problem, prompt: str, draw: int = 0, written: str = "") -> Request:
        """`written`: what the policy wrote so far after the lead."""
        prefix = self.lead + written
        if self.chat:
            chat = (Message("user", prompt),)
            return Request(problem, prefix, None, draw, self.seed, self.sampling, chat)
        asked = replace(problem, prompt=prompt, id=content_id("judge", problem.id, prompt))
        return Request(asked, prefix, None, draw, self.seed, self.sampling)

    def to_record(self) -> dict[str, Any]:
        """What changes the outcome."""
        return {
            "chat": self.chat,
            "lead": self.lead,
            "seed": self.seed,
            "sampling": self.sampling.to_record(),
        }


@dataclass(frozen=True)
class Reply:
    """What came of one prompt."""

    score: float | None
    """Probability or share of "yes"; None when nothing could be read."""
    counts: tuple[int, int] | None = None
    """Of votes in words: (yes, read)."""
    unread: int = 0
    """Votes that came and could not be read."""
    text: str | None = None
    """The first vote that could be read."""
    flags: tuple[str, ...] = ()
    error: ItemError | None = None
    """Why `score` is None; None beside it: not asked."""
    usage: Usage = field(default_factory=Usage)


def once(call: Callable[[list[Request]], list[Answer]], requests: Sequence[Request]) -> list[Answer]:
    """`call` on the different requests; a repeated one gets the same answer and no usage."""
    distinct = list(dict.fromkeys(requests))
    found = dict(zip(distinct, call(distinct), strict=True)) if distinct else {}
    paid: set[Request] = set()
    answers = []
    for request in requests:
        answers.append(replace(found[request], usage=Usage()) if request in paid else found[request])
        paid.add(request)
    return answers


def before_word(text: str) -> str:
    """`text` with a space behind it if a word is to follow there; policies know how to read that space."""
    return text if not text or text[-1].isspace() else text + " "


def can_weigh(policy: Policy | Chooser, votes: int = 1, weigh: bool = True) -> bool:
    """Whether a verdict is read as a probability: one vote, wished for, and the policy can."""
    return weigh and votes == 1 and isinstance(policy, Chooser)


def check_judge(policy: Policy | Chooser, options: tuple[str, str], votes: int, weigh: bool = True) -> None:
    """InputError for settings that no judge can have."""
    if votes < 1:
        raise InputError(f"votes: got {votes}, expected 1 or more")
    if len(options) != 2 or len({o.strip().casefold() for o in options}) < 2:
        raise InputError(f"options: got {options}, expected two different words, the good one first")
    if not (isinstance(policy, Policy) or can_weigh(policy, votes, weigh)):
        raise InputError(
            f"policy: got {type(policy).__name__}, expected one that generates, or chooses for one vote"
        )


def replies(
    policy: Policy | Chooser,
    prompts: Sequence[tuple[Problem, str]],
    options: tuple[str, str],
    votes: int,
    asking: Asking,
    weigh: bool = True,
) -> list[Reply]:
    """One per prompt, by one batched call: the probability of `options[0]` where `can_weigh`, else the share
    of it among `votes` verdicts in words."""
    if can_weigh(policy, votes, weigh):
        assert isinstance(policy, Chooser)
        chooser, asking = policy, replace(asking, lead=before_word(asking.lead))
        requests = [asking.request(problem, prompt) for problem, prompt in prompts]
        return [_weighed(c) for c in once(lambda rs: chooser.choose(rs, options), requests)]
    assert isinstance(policy, Policy)
    requests = [asking.request(problem, prompt, k) for problem, prompt in prompts for k in range(votes)]
    written = once(policy.generate, requests)
    return [_voted(written[i : i + votes], options, asking.lead) for i in range(0, len(written), votes)]


def _weighed(choice: Choice) -> Reply:
    if choice.probs is None:
        error = choice.error or ItemError("no-option", "the policy gave no probabilities")
        return Reply(None, flags=(error.kind,), error=error, usage=choice.usage)
    # A bounded probability comes with an error that names the bound; it is a score all the same.
    flags = () if choice.error is None else (choice.error.kind,)
    return Reply(choice.probs[0], flags=flags, usage=choice.usage)


def _voted(written: Sequence[Continuation], options: tuple[str, str], lead: str) -> Reply:
    failed = [c.error for c in written if c.error is not None]
    came = [lead + c.text for c in written if c.error is None]
    read = [
        (text, said) for text in came if (said := verdict_word(text, options[:1], options[1:])) is not None
    ]
    unread = len(came) - len(read)
    usage = sum((c.usage for c in written), Usage())
    flags = (*(e.kind for e in failed), *[UNREAD] * unread)
    if read:
        yes = sum(said for _, said in read)
        return Reply(yes / len(read), (yes, len(read)), unread, read[0][0], flags, usage=usage)
    error = ItemError(UNREAD, f"none of {len(came)} verdicts could be read") if came else failed[0]
    return Reply(None, (0, 0) if came else None, unread, None, flags, error, usage)


def judgement_of(
    trace: Trace, question: Question, source: Source, got: Sequence[Reply], flags: Sequence[str] = ()
) -> Judgement:
    """One reply per step. A step without a score is None, and named in the error if it has one; the others
    stay."""
    failed = [(t, reply.error) for t, reply in enumerate(got) if reply.score is None and reply.error]
    error = None
    if failed:
        places, first = [t for t, _ in failed], failed[0][1]
        error = ItemError(first.kind, f"steps {places[:5]} of {len(got)}: {first.message}")
    counted, texts = any(r.counts for r in got), any(r.text for r in got)
    return Judgement(
        trace=trace.id,
        question=question,
        source=source,
        scores=None if len(failed) == len(got) else tuple(r.score for r in got),
        counts=tuple(r.counts for r in got) if counted else None,
        undecided=sum(r.unread for r in got),
        rationale=tuple(r.text for r in got) if texts else None,
        flags=(*flags, *(flag for r in got for flag in r.flags)),
        usage=Ledger(scorer=sum((r.usage for r in got), Usage())),
        error=error,
    )


def no_steps(trace: Trace, question: Question, source: Source) -> Judgement:
    error = ItemError("no-steps", "the trace has no steps to judge")
    return Judgement(trace.id, question, source, None, error=error)
