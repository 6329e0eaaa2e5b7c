"""Models of single tokens, as decoding asks for them: by token ids, many prefixes in one forward pass.

    Candidates(prm)       values of given next tokens: a model trained with the objective `llm2`
    Multifurcation(prm)   values of all next tokens at once: one trained with `saffron`

`prm` is an opened `preceptor.reward.PRM`; what is used of it is written down in `RewardModel`. Candidates of a prefix
stand behind it as parallel positions with one position id and do not see each other. Either keeps the keys and values
of texts for the next call, so a text that grew costs its new tokens only. The vocabulary must be the policy's: values
belong to token ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, Protocol

from preceptor.errors import InputError
from preceptor.judgement import Source
from preceptor.policy import TransformersPolicy
from preceptor.policy.packed import PackedForward
from preceptor.search.decoding.trie import Trie
from preceptor.usage import Usage

if TYPE_CHECKING:
    import torch

Ids = Sequence[int]


class RewardModel(Protocol):
    """What decoding uses of a trained reward model."""

    model: Any
    tokenizer: Any
    format: Any
    forward: PackedForward

    @property
    def source(self) -> Source: ...


class TokenVerifier(Protocol):
    """Values of candidate tokens."""

    @property
    def fingerprint(self) -> str: ...

    def fits(self, policy: TransformersPolicy) -> None:
        """InputError where the token ids are not this policy's."""
        ...

    def values(
        self, prefixes: Sequence[Ids], candidates: Sequence[Ids]
    ) -> tuple[list[list[float]], list[Usage]]:
        """`values[i][k]`: of `candidates[i][k]` behind `prefixes[i]`, and what each prefix cost."""
        ...


class NextValues(Protocol):
    """Values of every next token."""

    @property
    def fingerprint(self) -> str: ...

    def fits(self, policy: TransformersPolicy) -> None: ...

    def values(self, texts: Sequence[Ids]) -> tuple[torch.Tensor, list[Usage]]:
        """(N, V) in fp32, one row a text, and what each text cost. Texts grow by a token from call to call."""
        ...

    def clear(self) -> None:
        """A search is over: forget its texts."""
        ...


@dataclass(frozen=True)
class _Model:
    prm: RewardModel

    @property
    def fingerprint(self) -> str:
        return str(self.prm.source)

    def fits(self, policy: TransformersPolicy) -> None:
        own, other = self.prm.tokenizer.get_vocab(), policy.tokenizer.get_vocab()
        if own != other:
            raise InputError(
                f"token verifier: got a model of {len(own)} tokens for a policy of {len(other)}, expected the same "
                "vocabulary: its values belong to token ids. Train it on the policy's backbone."
            )

    def _usage(self, computed: int, reused: int) -> Usage:
        flops = 2.0 * self.prm.model.dense_parameters() * computed
        return Usage(scored=computed, reused=reused, calls=1, flops=flops)


@dataclass(frozen=True)
class Candidates(_Model):
    """A `TokenVerifier` made of a trained model with a head on the candidate itself."""

    cache_tokens: int = 1 << 13

    @cached_property
    def forward(self) -> PackedForward:
        """Apart from the scorer's own: what it keeps is of no use to scoring."""
        return PackedForward(
            self.prm.model.body, max_tokens=self.prm.forward.max_tokens, cache_tokens=self.cache_tokens
        )

    def values(
        self, prefixes: Sequence[Ids], candidates: Sequence[Ids]
    ) -> tuple[list[list[float]], list[Usage]]:
        import torch

        rows = [(*before, c) for before, own in zip(prefixes, candidates, strict=True) for c in own]
        states, cost = self.forward.hidden(rows, [(len(row) - 1,) for row in rows])
        found: list[float] = []
        if states:
            with torch.inference_mode():
                found = self.prm.format.link.score(self.prm.model.outputs(torch.cat(states))).tolist()
        spans = list(pairwise([0, *accumulate(map(len, candidates))]))
        usages = [self._usage(sum(cost.computed[a:b]), sum(cost.reused[a:b])) for a, b in spans]
        return [found[a:b] for a, b in spans], usages


@dataclass(frozen=True)
class Multifurcation(_Model):
    """A `NextValues` made of a trained model whose output table is read as values."""

    def __post_init__(self) -> None:
        if not hasattr(self.prm.model.head, "all_values"):
            raise InputError(
                f"multifurcation reward: got a model with {self.prm.format.head}, expected one that values every "
                "next token. Train it with the objective 'saffron'."
            )

    @cached_property
    def trie(self) -> Trie:
        return Trie(self.prm.model.body)

    def clear(self) -> None:
        self.trie.clear()

    def values(self, texts: Sequence[Ids]) -> tuple[torch.Tensor, list[Usage]]:
        import torch

        head = self.prm.model.head
        states, computed = self.trie.hidden(texts)
        with torch.inference_mode():
            table = head.all_values(states.to(head.output.weight.dtype)).float()
        return table, [self._usage(own, len(text) - own) for text, own in zip(texts, computed, strict=True)]
