"""SAFFRON-1: a search over tokens that asks one reward for all next tokens of a text at once.

Per position, every live text has a nucleus of next tokens; a multifurcation reward model values all of them in one
pass; of all candidates of a problem the B best become texts, and those that end the text keep their value. Published:
nucleus 0.8, 16 to 50 tokens, no default for B (8 is ours). A token that training never showed has the value -1024 and
loses to every other. Keys and values of every text are computed once by the policy and once by the reward model.

    policy = Saffron(load_policy(DIRECTORY), Multifurcation(load_scorer(REWARD)))

Quirk of the published code: an ended text outranks every unfinished one, so B ended texts end the search, however low
their values. `rank="running"` compares values instead. `Saffron` is a policy without randomness; everything the
search wrote counts as generated, and `sampling.max_tokens` bounds it, whatever becomes of it; the reward model's
tokens are `usage.scored` of the policy. `search` gives the trees.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from preceptor.errors import InputError
from preceptor.generation import Continuation, Request
from preceptor.policy import TransformersPolicy
from preceptor.policy.engine_text import TextOf, text_of
from preceptor.search.decoding.guided import local
from preceptor.search.decoding.next_logits import NextLogits
from preceptor.search.decoding.token_tree import Growth, TokenTree
from preceptor.search.decoding.verifiers import NextValues
from preceptor.trace import Finish, content_id

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Saffron:
    """The best of `beams` texts that grow token by token."""

    policy: TransformersPolicy
    rewards: NextValues
    beams: int = 8
    """B."""
    top_p: float = 0.8
    min_new_tokens: int = 16
    """No text ends before."""
    max_new_tokens: int = 50
    rank: Literal["final", "running"] = "final"
    """ "final": as published; "running": an unfinished text ranks by the value of its last token."""
    together: int = 32
    """Requests searched at a time; what is kept of a search is dropped behind it."""

    def __post_init__(self) -> None:
        local(self.policy, "saffron")
        if min(self.beams, self.max_new_tokens, self.together) < 1 or self.min_new_tokens < 0:
            raise InputError(
                f"saffron: got {self}, expected beams, max_new_tokens, together >= 1, min_new_tokens >= 0"
            )
        if not 0 < self.top_p <= 1 or self.rank not in ("final", "running"):
            raise InputError(f"saffron: got {self}, expected 0 < top_p <= 1 and rank 'final' or 'running'")
        self.rewards.fits(self.policy)

    @property
    def fingerprint(self) -> str:
        settings = [self.beams, self.top_p, self.min_new_tokens, self.max_new_tokens, self.rank]
        return content_id("saffron", self.policy.fingerprint, self.rewards.fingerprint, settings)

    def generate(self, requests: Sequence[Request]) -> list[Continuation]:
        """One best text per request; `draw` and temperature do not matter."""
        began = time.perf_counter()
        answers = [self._continuation(tree) for tree in self.search(requests)]
        share = (time.perf_counter() - began) / max(1, len(answers))
        return [replace(a, usage=replace(a.usage, seconds=share)) for a in answers]

    def search(self, requests: Sequence[Request]) -> list[TokenTree]:
        """One tree per request."""
        trees: list[TokenTree] = []
        for start in range(0, len(requests), self.together):
            trees += self._search(requests[start : start + self.together])
        return trees

    def _search(self, requests: Sequence[Request]) -> list[TokenTree]:
        context = self.policy.engine.context
        trees = [self._tree(request, context) for request in requests]
        with self.policy._lock:
            try:
                while live := [(tree, i) for tree in trees for i in tree.live]:
                    self._level(trees, live)
            finally:
                self._logits.trie.clear()
                self.rewards.clear()
        return trees

    def _level(self, trees: Sequence[TokenTree], live: Sequence[tuple[TokenTree, int]]) -> None:
        """One token more for every living text, of all requests in one pass of each model."""
        texts = [tree.ids(i) for tree, i in live]
        logits_NV, read = self._logits.values(texts)
        values_NV, judged = self.rewards.values(texts)
        at = 0
        for tree in trees:
            own = slice(at, at + len(tree.live))
            at = own.stop
            for k in range(own.start, own.stop):
                tree.pay(read[k], judged[k])
            if own.stop > own.start:
                tree.grow(self._growth(tree, logits_NV[own], values_NV[own]), self.rank)

    def _tree(self, request: Request, context: int | None) -> TokenTree:
        prefix = self.policy.prefix(request)
        depth = self.max_new_tokens if context is None else min(self.max_new_tokens, context - len(prefix))
        return TokenTree(request, prefix, self.beams, depth, lambda ids: self._ends(request, prefix, ids))

    def _ends(self, request: Request, prefix: Sequence[int], ids: Sequence[int]) -> Finish | None:
        """Why the text of these sampled ids ends here; None where it may go on."""
        if ids[-1] in self.policy.eos_ids:
            return Finish.STOP
        stops = [s for s in request.sampling.stop if self._text.may_end(ids[-1], s)]
        if not stops:
            return None
        text, _ = self._text.decode(ids, prefix)
        return Finish.BOUNDARY if any(s in text for s in stops) else None

    def _growth(self, tree: TokenTree, logits_NV: torch.Tensor, values_NV: torch.Tensor) -> Growth:
        """The candidates of a tree's live texts, in order of text and token."""
        import torch

        if not (torch.isfinite(logits_NV.amax(-1)).all() and not values_NV.isnan().any()):
            return Growth([], [], [], [], broken=True)
        logprobs_NV = logits_NV.log_softmax(-1)
        allowed_NV = logits_NV.clone()
        if tree.level < self.min_new_tokens:
            allowed_NV[:, list(self.policy.eos_ids)] = -torch.inf
        parents_C, tokens_C = torch.nonzero(nucleus(allowed_NV, self.top_p), as_tuple=True)
        return Growth(
            parents_C.tolist(),
            tokens_C.tolist(),
            logprobs_NV[parents_C, tokens_C].tolist(),
            values_NV.to(logits_NV.device)[parents_C, tokens_C].tolist(),
        )

    def _continuation(self, tree: TokenTree) -> Continuation:
        if tree.error is not None:
            return Continuation.failed(tree.error.kind, tree.error.message, tree.usage)
        best = tree.best
        ids, logprobs = tree.sampled(best), tree.logprobs(best)
        finish = tree.nodes[best].finish or Finish.LENGTH
        written = ids[:-1] if finish is Finish.STOP else ids
        text, ends = self._text.decode(written, tree.prefix)
        if finish is Finish.STOP:
            ends = [*ends, len(text)]
        extra = {"saffron": tree.summary()}
        return Continuation(text, finish, tuple(ids), tuple(ends), tuple(logprobs), tree.usage, extra=extra)

    @cached_property
    def _logits(self) -> NextLogits:
        return NextLogits(self.policy)

    @cached_property
    def _text(self) -> TextOf:
        return text_of(self.policy.tokenizer)


def nucleus(logits_NV: torch.Tensor, top_p: float) -> torch.Tensor:
    """Tokens with less than `top_p` before them, likeliest first: (N, V) bool, at least one in a row."""
    import torch

    probs_NV, order_NV = logits_NV.softmax(-1).sort(stable=True, dim=-1, descending=True)
    before_NV = probs_NV.cumsum(-1, dtype=torch.float64) - probs_NV
    inside_NV = (before_NV < top_p) & (probs_NV > 0)
    return torch.zeros_like(inside_NV).scatter(1, order_NV, inside_NV)
