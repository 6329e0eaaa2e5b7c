"""Signals for the methods of `preceptor.credit`: from graded traces, a policy and a scorer to `Signals`.

    base.py          Producer: signals(traces) -> Signals; what it spent, what failed
    probe.py         one batched likelihood call for any number of (prefix, answer)
    beliefs.py       the gold answer's chance after every step         suffixes.py    what is left of a gold chain
    reference.py     the reference answer in place of one's own        perplexity.py  with and without the question
    clusters.py      a group's own answers as references               cuts.py        accuracies at discourse words
    scores.py        any scorer; Monte Carlo values; one number a whole trace
    critiques.py     K critiques as flags                              verdicts.py    verdicts, comparisons, dimensions
    log_ratios.py    token log-ratios: implicit reward model, teacher  texts.py       what a text says of itself
    flow.py, flow_scores.py  a velocity model of hidden states         coverage.py    entities and waypoints
    nodes.py         node ids of rollouts that share prefixes          joined.py      several producers as one
    branching.py     trees under a budget of sequences                 attention.py   trees by attention
    next_steps.py    siblings after one prefix                         source.py      trees as rollouts, by name
    makers.py        a method's producer from a policy and a word

`PRODUCERS` says who makes what a method reads; `producer("igpo", policy)` makes it. To add a producer: a dataclass
with `name`, `gives` and `signals`, one batched call of each model it asks, None for what failed and a count of it in
`failed`, the cost in `spent`; then a function in `makers.py` and a line in `PRODUCERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from preceptor.errors import InputError
from preceptor.learn.signals import makers
from preceptor.learn.signals.base import Producer, Signaller
from preceptor.learn.signals.beliefs import Beliefs
from preceptor.learn.signals.branching import TreeRollouts
from preceptor.learn.signals.clusters import AnswerSupport
from preceptor.learn.signals.coverage import Coverage, PathReward, waypoint_coverage
from preceptor.learn.signals.critiques import Critiques
from preceptor.learn.signals.cuts import CutAccuracies, discourse
from preceptor.learn.signals.joined import Joined
from preceptor.learn.signals.log_ratios import LogRatios
from preceptor.learn.signals.makers import Given
from preceptor.learn.signals.next_steps import NextSteps
from preceptor.learn.signals.nodes import node_ids, tree_traces, with_nodes
from preceptor.learn.signals.perplexity import SelfAligned
from preceptor.learn.signals.reference import ReferenceProbability
from preceptor.learn.signals.scores import MonteCarloValues, StepScores, Whole
from preceptor.learn.signals.suffixes import SuffixGain
from preceptor.learn.signals.texts import Texts, Visits
from preceptor.learn.signals.verdicts import Comparisons, Dimensions, FinalVerdict

if TYPE_CHECKING:
    from preceptor.learn.signals.attention import AttentionTree
    from preceptor.learn.signals.flow_scores import FlowDeviations
    from preceptor.learn.signals.source import TreeSource

PRODUCERS: dict[str, Callable[[Given], Signaller]] = {
    "a2tgpo": makers.igpo,
    "agg_rewards": makers.steps,
    "brpo": makers.comparisons,
    "capo": makers.critiques,
    "clip_delta": makers.steps,
    "drm": makers.dimensions,
    "easy_to_hard": makers.steps,
    "fapo": makers.one_critique,
    "g_ra": makers.accumulated,
    "grpo_vps": makers.segments,
    "igpo": makers.igpo,
    "noisy_rpr": makers.noisy,
    "noisy_rpr_alone": makers.patterns,
    "oprl": makers.oprl,
    "outcome_explore": makers.visits,
    "p2s": makers.suffixes,
    "p_grpo": makers.posterior,
    "pav": makers.values,
    "ppr_renorm": makers.steps,
    "prime": makers.prime,
    "prof": makers.steps,
    "progress": makers.values,
    "pspo_ff": makers.steps,
    "pspo_wrs": makers.steps,
    "pure": makers.steps,
    "refine": makers.refined,
    "rlfr": makers.flow,
    "rlpr": makers.reference,
    "rrm": makers.rubric,
    "sar": makers.perplexity,
    "shepherd_orm": makers.steps,
    "shepherd_ppo": makers.steps,
    "siop": makers.support,
    "slate": makers.steps,
    "spark": makers.verdict,
    "tp_grpo": makers.one_critique,
    "trust_grpo": makers.thinking,
    "uni_opd": makers.teacher,
    "vpr": makers.steps,
    "vsrm": makers.cuts,
}
"""Method -> who makes what it reads; a variant (`NAME_something`) without a line of its own has its method's.

Not here: methods of outcomes and answers alone; `cooper` (`learn.cooper` learns along) and `scrl` (`learn.data.scrl`
grades the subproblems). Trees (`treeps_rag`, `attnrl`, `slate`) need a sampler besides: `TREES`."""

TREES: dict[str, str] = {
    "attnrl": "attention:AttentionTree",
    "slate": "next_steps:NextSteps",
    "treeps_rag": "branching:TreeRollouts",
}
"""Method -> who samples its rollouts, with `sample(problems, seed)`; `source.tree_source` makes each one `learn`'s."""

_LATER = {"AttentionTree": "attention", "FlowDeviations": "flow_scores", "TreeSource": "source"}

__all__ = [
    "PRODUCERS",
    "TREES",
    "AnswerSupport",
    "AttentionTree",
    "Beliefs",
    "Comparisons",
    "Coverage",
    "Critiques",
    "CutAccuracies",
    "Dimensions",
    "FinalVerdict",
    "FlowDeviations",
    "Given",
    "Joined",
    "LogRatios",
    "MonteCarloValues",
    "NextSteps",
    "PathReward",
    "Producer",
    "ReferenceProbability",
    "SelfAligned",
    "Signaller",
    "StepScores",
    "SuffixGain",
    "Texts",
    "TreeRollouts",
    "TreeSource",
    "Visits",
    "Whole",
    "discourse",
    "node_ids",
    "producer",
    "producer_name",
    "tree_traces",
    "waypoint_coverage",
    "with_nodes",
]


def producer_name(method: str) -> str | None:
    """The line of `PRODUCERS` that is a method's: its own, or that of the longest name it is a variant of."""
    names = [n for n in PRODUCERS if method == n or method.startswith(f"{n}_")]
    return max(names, key=len, default=None)


def producer(method: str, policy: Any, helper: Any = None) -> Signaller:
    """What a method reads, made from the loaded policy in training and, where it takes one, a scorer, judge, teacher
    or reader: a word or an object. InputError for a method without a line, and where something is missing."""
    name = producer_name(method)
    if name is None:
        raise InputError(
            f"signals: got method {method!r}, expected one of {sorted(PRODUCERS)} or a variant of one."
        )
    return PRODUCERS[name](Given(method, policy, helper))


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
