"""SCOPE correction: a wrong rollout is written again from its first wrong step on (abstract index 152).

For each wrong rollout the reward model scores the steps; the first one below `threshold` is the error, what stands
before it is kept, and a stronger writer (or the reference, where the kept steps are its own) goes on from there. If
that ends in the right answer it takes the wrong rollout's place, `limit` of a group at most: the group keeps its
size, and a group that was all wrong has a signal. The kept tokens are on-policy; the writer's are marked
`off_policy`, for the shaping f(pi) = pi / (pi + 0.1) (`supervised.losses.shaped`) in place of the clipped ratio: the
published handling was not found. Threshold 0.5 and limit 1: not found, ours. Cost: a pass of the reward model and one
continuation for each attempt tried.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from preceptor.errors import InputError
from preceptor.generation import Continuation, Policy, Request, Sampling
from preceptor.judgement import NO_ERROR, Scorer, first_below
from preceptor.learn.data.hooks import Item, Source, ask, in_own_tokens, outcome_of
from preceptor.policy.sample import tokens_until, trace_of
from preceptor.trace import Finish, Trace


@dataclass(frozen=True)
class ScopeCorrect:
    """Hook behind sampling. `writer` None: the reference writes."""

    scorer: Scorer
    writer: Policy | None = None
    threshold: float = 0.5
    limit: int = 1
    """Attempts replaced in a group at most."""
    sampling: Sampling | None = None
    """Of the writer; None: the loop's."""

    def __post_init__(self) -> None:
        if self.limit < 0:
            raise InputError(f"scope-correct: got limit={self.limit}, expected 0 or more.")

    def amend(self, items: Sequence[Item], source: Source) -> list[Item]:
        out = list(items)
        places = self._wrong(items, source)
        requests = [_request(items[i].trace, k, self.sampling or source.sampling, source) for i, k in places]
        answers = self._written(requests, places, items, source)
        done: Counter[str] = Counter()
        for (i, _), request, answer in zip(places, requests, answers, strict=True):
            item = items[i]
            if done[item.group] < self.limit and (new := _corrected(item, request, answer)) is not None:
                out[i] = new
                done[item.group] += 1
        return out

    def _wrong(self, items: Sequence[Item], source: Source) -> list[tuple[int, int]]:
        """(item, first wrong step) of those to try: `limit` of a group, in order."""
        wrong = [
            i
            for i, x in enumerate(items)
            # what an environment answered cannot be continued as text
            if x.outcome == 0.0 and x.trace.error is None and x.trace.steps and x.trace.sampled is None
        ]
        judged = self.scorer.score([items[i].trace for i in wrong]) if wrong else []
        tried: Counter[str] = Counter()
        places = []
        for i, judgement in zip(wrong, judged, strict=True):
            source.usage += judgement.usage.policy + judgement.usage.scorer
            first = None if judgement.scores is None else first_below(judgement.scores, self.threshold)
            if first is None or first == NO_ERROR or tried[items[i].group] >= self.limit:
                continue
            if tokens_until(items[i].trace, len(items[i].trace.prefix(first))) is not None:
                tried[items[i].group] += 1
                places.append((i, first))
        return places

    def _written(
        self,
        requests: Sequence[Request],
        places: Sequence[tuple[int, int]],
        items: Sequence[Item],
        source: Source,
    ) -> list[Continuation]:
        if self.writer is None:
            answers = [_reference(items[i].trace, k) for i, k in places]
        else:
            same = self.writer.fingerprint == source.policy.fingerprint
            answers = ask(
                source, self.writer, requests if same else [replace(r, prefix_ids=None) for r in requests]
            )
        return in_own_tokens(source, requests, answers)


def _request(trace: Trace, k: int, sampling: Sampling, source: Source) -> Request:
    prefix = trace.prefix(k)
    ids = (
        None if not prefix or trace.token_ids is None else trace.token_ids[: tokens_until(trace, len(prefix))]
    )
    return Request(trace.problem, prefix, ids, trace.draw or 0, source.seed, sampling)


def _reference(trace: Trace, k: int) -> Continuation:
    """What the reference goes on with, where it begins with the kept steps."""
    kept = "".join(trace.problem.reference[:k])
    text = "".join(trace.problem.reference[k:])
    if kept != trace.prefix(k) or not text:
        return Continuation.failed(
            "no-reference", "the reference does not begin with the steps that were kept"
        )
    # one character a token where the policy cannot read given text; see `in_own_tokens`
    return Continuation(text, Finish.STOP, tuple(map(ord, text)), tuple(range(1, len(text) + 1)))


def _corrected(item: Item, request: Request, answer: Continuation) -> Item | None:
    """The item with the new attempt; None where it is not right or its tokens are not known."""
    old = item.trace
    if answer.error is not None or not answer.text:
        return None
    new = trace_of(
        old.problem, answer, request.prefix, earlier=old, policy=old.policy, seed=old.seed, draw=old.draw
    )
    if outcome_of(new) != 1.0 or new.token_ids is None:
        return None
    kept = len(request.prefix_ids or ())
    marks = tuple(k >= kept for k in range(len(new.token_ids)))
    return replace(item, trace=replace(new, parent=old.id), outcome=1.0, off_policy=marks, note="corrected")
