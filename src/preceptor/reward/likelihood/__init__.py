"""Scorers that need no training: what a language model's own likelihoods say of a trace.

Each takes a `Reader` (`preceptor.generation`): any policy that can score a given text.

    crew.py         CRew: mean probability of the final answer's tokens
    belief.py       how likely the gold (or another) answer is after each step
    uncertainty.py  entropy, perplexity, log-probability per step
    log_ratio.py    the implicit reward of two models (EurusPRM)
    rationale.py    RATIONALYST: likelihood of rationales, or of steps behind them
    drm.py          confidence, relevance and coherence, compared within a problem
    answers.py      where the final answer stands; reading.py: one checked call, and which tokens are whose

To add a scorer: a frozen dataclass with `source`, `question` and `score`; read through `reading.whole_texts`
or `reading.read`, and make judgements with `reading.judged`. Callables given to a scorer enter its `source` by
their qualified name: give different ones different names, or a store takes one for the other.
"""

from preceptor.reward.likelihood.answers import (
    answer_span,
    boxed_span,
    gold_answer,
    marker_span,
    own_answer,
)
from preceptor.reward.likelihood.belief import Belief
from preceptor.reward.likelihood.crew import CRew
from preceptor.reward.likelihood.drm import DRM, mutual_information
from preceptor.reward.likelihood.log_ratio import LogRatio
from preceptor.reward.likelihood.rationale import Rationalyst, Triple, filter_triples
from preceptor.reward.likelihood.uncertainty import Uncertainty

__all__ = [
    "DRM",
    "Belief",
    "CRew",
    "LogRatio",
    "Rationalyst",
    "Triple",
    "Uncertainty",
    "answer_span",
    "boxed_span",
    "filter_triples",
    "gold_answer",
    "marker_span",
    "mutual_information",
    "own_answer",
]
