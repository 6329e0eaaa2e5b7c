"""How the producer of each method is made from what is at hand: the policy in training and one more word.

The word (`helper`) is a scorer for methods that read step scores, a judge for those that ask one, a teacher or a reward
model for log-ratios, and another reader for likelihoods. Words go through `load_scorer` and `load_policy`; objects are
taken as they are. Without one, judges and readers are the policy itself.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from preceptor.annotate.judges import Asking, RubricJudge, Spark
from preceptor.credit.ops.rlpr import TAGS
from preceptor.errors import InputError
from preceptor.generation import Sampling
from preceptor.judgement import Scorer
from preceptor.learn.signals.base import Producer, Signaller
from preceptor.learn.signals.beliefs import Beliefs
from preceptor.learn.signals.clusters import AnswerSupport
from preceptor.learn.signals.critiques import Critiques
from preceptor.learn.signals.cuts import CutAccuracies
from preceptor.learn.signals.joined import Joined
from preceptor.learn.signals.log_ratios import LogRatios
from preceptor.learn.signals.perplexity import SelfAligned
from preceptor.learn.signals.reference import ReferenceProbability
from preceptor.learn.signals.scores import MonteCarloValues, StepScores, Whole
from preceptor.learn.signals.suffixes import SuffixGain
from preceptor.learn.signals.texts import REFINE, Texts, Visits, answered, completed, pattern
from preceptor.learn.signals.verdicts import Comparisons, Dimensions, FinalVerdict
from preceptor.reward.likelihood import DRM


@dataclass(frozen=True)
class Given:
    """What is at hand."""

    method: str
    policy: Any
    """Loaded: the policy in training, whose weights change in place."""
    helper: Any = None
    """A word, or a `Scorer`, `Policy` or `Reader`."""

    @cached_property
    def scorer(self) -> Scorer:
        if self.helper is None:
            raise InputError(
                f"method {self.method}: got no scorer, expected one: it reads scores. Name a scorer."
            )
        if isinstance(self.helper, str):
            from preceptor.reward.load import load_scorer

            return load_scorer(self.helper)
        found: Scorer = self.helper
        return found

    @cached_property
    def model(self) -> Any:
        """A judge, a reader or a teacher."""
        if isinstance(self.helper, str):
            from preceptor.policy import load_policy

            return load_policy(self.helper)
        return self.policy if self.helper is None else self.helper

    @property
    def asking(self) -> Asking:
        """As a chat where the judge has a template, or is a server; else as plain text."""
        tokenizer = getattr(self.model, "tokenizer", None)
        return Asking(chat=tokenizer is None or bool(tokenizer.chat_template))


def steps(given: Given) -> Producer:
    return StepScores(given.scorer)


def values(given: Given) -> Producer:
    """Without a scorer: rollouts of the policy itself."""
    return MonteCarloValues(given.policy) if given.helper is None else StepScores(given.scorer)


def igpo(given: Given) -> Producer:
    return Beliefs(given.model, answer_step=False)


def segments(given: Given) -> Producer:
    return Beliefs(given.model, most=16)


def support(given: Given) -> Producer:
    return AnswerSupport(given.model)


def suffixes(given: Given) -> Producer:
    return SuffixGain(given.model)


def reference(given: Given) -> Producer:
    """RLPR's tags where the tokenizer knows them, else the answer wherever it stands."""
    tokenizer = getattr(given.model, "tokenizer", None)
    vocabulary = {} if tokenizer is None else tokenizer.get_vocab()
    tags = TAGS if all(tag in vocabulary for tag in TAGS) else ()
    return ReferenceProbability(given.model, tags=tags, opening=TAGS[2] if tags else "")


def perplexity(given: Given) -> Producer:
    return SelfAligned(given.model)


def cuts(given: Given) -> Producer:
    return CutAccuracies(given.policy)


def critiques(given: Given) -> Producer:
    return Critiques(given.model, asking=_asking(given, 2048))


def one_critique(given: Given) -> Producer:
    return Critiques(given.model, votes=1, asking=_asking(given, 2048))


def prime(given: Given) -> Signaller:
    """One that learns along from the policy's start; with a word that reward model, frozen, over the start."""
    return _implicit(given, "bce", (0.2, 0.8))


def oprl(given: Given) -> Signaller:
    return _implicit(given, "pairwise")


def teacher(given: Given) -> Producer:
    """Over the student as it sampled."""
    if given.helper is None:
        raise InputError(f"method {given.method}: got no teacher, expected one: a policy's name.")
    return LogRatios(given.model)


def _implicit(
    given: Given, loss: Literal["bce", "pairwise"], accuracy: tuple[float, float] | None = None
) -> Signaller:
    if given.helper is None:
        from preceptor.learn.online import OnlineImplicitPRM

        return OnlineImplicitPRM(given.policy.model, given.policy.tokenizer, loss=loss, accuracy=accuracy)
    from preceptor.policy.transformers_policy import TransformersPolicy

    start = TransformersPolicy(copy.deepcopy(given.policy.model).eval(), given.policy.tokenizer)
    return LogRatios(given.model, start)


def flow(given: Given) -> Producer:
    from preceptor.learn.signals.flow_scores import FlowDeviations

    return FlowDeviations(given.policy)


def verdict(given: Given) -> Producer:
    return FinalVerdict(Spark(given.model, verifications=1, asking=_asking(given, 4096)))


def rubric(given: Given) -> Producer:
    return Whole(RubricJudge(given.model, gate=False, asking=_asking(given, 1024)), "rubric")


def thinking(given: Given) -> Producer:
    return Whole(given.scorer, "thinking", "mean")


def posterior(given: Given) -> Producer:
    return Joined((Whole(given.scorer, "thinking", "mean"), Texts({"format": answered})))


def accumulated(given: Given) -> Producer:
    return Joined((StepScores(given.scorer), Texts({"completed": completed})))


def noisy(given: Given) -> Producer:
    return Joined((Whole(given.scorer, "reward"), Texts({"pattern": pattern})))


def patterns(given: Given) -> Producer:
    return Texts({"pattern": pattern})


def refined(given: Given) -> Producer:
    return Texts(REFINE)


def visits(given: Given) -> Producer:
    return Visits()


def dimensions(given: Given) -> Producer:
    return Dimensions(DRM(given.policy, coherence=given.scorer))


def comparisons(given: Given) -> Producer:
    return Comparisons(given.model, asking=_asking(given, 1024))


def _asking(given: Given, most: int) -> Asking:
    return replace(given.asking, sampling=Sampling(temperature=1.0, max_tokens=most))
