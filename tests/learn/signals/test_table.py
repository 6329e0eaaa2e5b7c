"""The table: every method that reads signals has a producer, which gives all that the method reads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from preceptor.credit import METHODS, compute, rollout_of
from preceptor.errors import InputError
from preceptor.generation import Sampling
from preceptor.learn.settings import wanted
from preceptor.learn.signals import PRODUCERS, TREES, Given, producer, producer_name, with_nodes
from preceptor.learn.signals.base import Producer
from tests.learn.signals.toys import failed, problem, trace
from tests.learn.toys import HashValue

ELSEWHERE = {
    "cooper": "learns along, in `learn.cooper`",
    "scrl": "subproblems are graded in `learn.data.scrl`",
}
BESIDES = {"uni_opd"}
"""Producers for what is no row of `METHODS`."""
SCORED = (
    *(
        "agg_rewards",
        "clip_delta",
        "drm",
        "easy_to_hard",
        "g_ra",
        "noisy_rpr",
        "p_grpo",
        "ppr_renorm",
        "prof",
    ),
    *("pspo", "pure", "shepherd", "slate", "trust_grpo", "vpr"),
)
"""Methods that need a scorer besides the policy."""
READS = sorted(n for n, m in METHODS.items() if wanted(m) and n not in ELSEWHERE)


def batch(policy):
    asked = problem(reference=("12*7=84\n", "Answer: 54\n"))
    texts = (("12*7=84\n", "Answer: 54\n"), ("12*7=85\n", "Answer: 55\n"), ("7\n",))
    return [*(trace(*t, of=asked, tokenizer=policy.tokenizer) for t in texts), failed(asked)]


def test_every_method_that_reads_signals_has_a_line():
    assert {n for n in READS if producer_name(n) is None} == set()
    assert all(producer_name(n) is None for n in ELSEWHERE)
    lines = {producer_name(n) for n in METHODS}
    assert set(PRODUCERS) - lines - BESIDES == set()
    assert set(TREES) <= set(METHODS)


def test_a_variant_has_the_line_of_the_longest_name():
    assert producer_name("noisy_rpr_alone") == "noisy_rpr_alone"
    assert producer_name("igpo_joint") == "igpo"
    assert producer_name("igpoo") is None


@pytest.mark.parametrize("method", READS)
def test_what_is_produced_is_what_the_method_reads(method, policy):
    made = producer(method, policy, HashValue() if method.startswith(SCORED) else None)
    if isinstance(made, Producer):
        assert wanted(METHODS[method]) - {"question", "start"} <= made.gives
    shorten(made)
    traces = batch(policy)
    signals = made.signals(traces)
    rollouts = with_nodes([rollout_of(t, answers=True) for t in traces], traces)
    out = compute(rollouts, signals, METHODS[method])
    assert [len(a) for a in out.advantages] == [r.length for r in rollouts]
    assert not any(np.isnan(a).any() for a in out.advantages)
    assert made.source.name


def shorten(made):
    """A tiny random policy writes nonsense: eight tokens of it are enough."""
    for name in ("asking", "sampling"):
        if hasattr(made, name):
            setattr(made, name, short(getattr(made, name)))
    for name in ("spark", "scorer"):
        part = getattr(made, name, None)
        if hasattr(part, "asking"):
            setattr(made, name, replace(part, asking=short(part.asking)))


def short(how):
    return (
        replace(how, max_tokens=8)
        if isinstance(how, Sampling)
        else replace(how, sampling=short(how.sampling))
    )


def test_what_is_missing_is_said():
    for method in ("pure", "trust_grpo", "uni_opd"):
        with pytest.raises(InputError, match=method):
            producer(method, None)
    with pytest.raises(InputError, match="nothing"):
        producer("nothing", None)


def test_words_are_loaded_once(policy, tiny_policy_dir):
    given = Given("capo", policy, str(tiny_policy_dir))
    assert given.model is given.model
    assert given.model is not policy
    assert given.model.fingerprint == policy.fingerprint
    assert not given.asking.chat  # the tiny tokenizer has no template
    made = producer("prime", policy, str(tiny_policy_dir))
    assert made.signals(batch(policy)).tokens[0] == pytest.approx(
        [0.0] * len(batch(policy)[0].token_ids), abs=1e-5
    )
