"""P2S: how much more likely a prefix makes what is left of a reference chain (Probabilistic Process Supervision).

The score of step t is `exp(mean logp)` of the rest of the gold chain after prompt and steps <= t, minus the same rest
after the prompt alone (`preceptor.learn.signals.suffixes`); `rest` says where the rest begins. A prefix on the gold
path earns, one that is off the topic earns nothing or loses. It is added to any outcome reward with weight 0.5; both
are compared within the prompt, each stream for itself.

After the last step nothing is left of the chain: that step has no score. Not found, ours: where the rest begins, and
the baseline. Left out: writing and filtering the gold chains, which is a sampler's work.
"""

from __future__ import annotations


def rest(step: int, steps: int, gold: int) -> int:
    """Index of the first step of the gold chain that is left after `step` of `steps`: `floor(t / T * gold)`."""
    return step * gold // steps
