"""IPR (iterative step-level process refinement): the agent's step against the expert's at the expert's own states.

From every state of an expert's trajectory the policy acts and goes on. A step's reward is the mean outcome of 5
Monte Carlo rollouts from behind it. At the first state whole trajectories are compared: the better final reward by
more than 0.01 wins. At later ones a side wins only with both its step reward (by more than 0.01) and its final reward
higher; the pair is the rest of the trajectories, or the single actions. The expert can lose. Loss: `dpo_nll`.

Published: 5 rollouts, beta 0.1, SFT 3 epochs at 2e-5, DPO 3 epochs at 3e-6, repeated with the new policy. Left out:
environments that answer (a trace with observations is dropped).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

from preceptor.annotate.rollout.montecarlo import MonteCarlo, Prefix, tally
from preceptor.annotate.tree.tree import right
from preceptor.learn.preference.records import Built, Pair, compare, piece
from preceptor.learn.preference.scoring import outcome_of
from preceptor.trace import Trace

MARGIN = 0.01


def ipr_pairs(
    experts: Sequence[Trace],
    monte_carlo: MonteCarlo,
    *,
    unit: Literal["rest", "action"] = "rest",
    margin: float = MARGIN,
) -> Built[Pair]:
    """`monte_carlo` rolls out with the policy in training; its `rollouts` is the number behind a step (5)."""
    dropped: Counter[str] = Counter()
    sound = [e for e in experts if outcome_of(e, dropped) is not None]
    states = [(expert, t) for expert in sound for t in range(len(expert.steps))]
    # one draw more than the rollouts behind a step, so that no agent is judged by its own continuation
    own = range(monte_carlo.rollouts, monte_carlo.rollouts + 1)
    acted = monte_carlo.draw([Prefix.of(e, t) for e, t in states], [own] * len(states))
    agents = [rollouts[0].trace for rollouts in acted]
    later = [(k, e, t) for k, (e, t) in enumerate(states) if t and _comparable(agents[k], e, t, dropped)]
    ends = [end for k, e, t in later for end in ((agents[k], t + 1), (e, t + 1))]
    rewards = iter(_step_rewards(ends, monte_carlo))
    steps = {k: (next(rewards), next(rewards)) for k, _, _ in later}
    pairs: list[Pair] = []
    for k, (expert, t) in enumerate(states):
        if t and k not in steps:
            continue
        agent, finals = agents[k], (right(agents[k]), right(expert))
        won = _winner(finals, steps.get(k), margin)
        if won is None:
            dropped["undecided" if finals[0] is None else "tie"] += 1
            continue
        better, worse = (agent, expert) if won else (expert, agent)
        last = [t + 1] * 2 if t and unit == "action" else [len(better.steps), len(worse.steps)]
        one, other = piece(better, t, last[0]), piece(worse, t, last[1])
        meta: dict[str, Any] = {"expert": expert.id, "step": t, "winner": "agent" if won else "expert"}
        pairs += compare(expert.problem, piece(expert, 0, t), one, other, dropped, **meta)
    return Built(tuple(pairs), dropped)


def _comparable(agent: Trace, expert: Trace, t: int, dropped: Counter[str]) -> bool:
    """Whether the agent acted at this state, otherwise than the expert."""
    if agent.error is not None or len(agent.steps) <= t or agent.prefix(t) != expert.prefix(t):
        dropped["no-action"] += 1
        return False
    if agent.step_texts[t] == expert.step_texts[t]:
        dropped["same-action"] += 1
        return False
    return True


def _step_rewards(ends: Sequence[tuple[Trace, int]], monte_carlo: MonteCarlo) -> list[float | None]:
    """Mean outcome behind the first t steps; the outcome itself where nothing comes after them."""
    going = [Prefix.of(trace, t) for trace, t in ends if t < len(trace.steps)]
    values = iter([tally(rollouts).value for rollouts in monte_carlo.draw(going)])
    found: list[float | None] = []
    for trace, t in ends:
        verdict = right(trace)
        last = None if verdict is None else float(verdict)
        found.append(next(values) if t < len(trace.steps) else last)
    return found


def _winner(
    finals: tuple[bool | None, bool | None], steps: tuple[float | None, float | None] | None, margin: float
) -> bool | None:
    """True: the first (agent) wins, False: the second (expert); None: a tie, or something is not known."""
    if finals[0] is None or finals[1] is None or finals[0] == finals[1]:
        return None
    if steps is None:
        return finals[0]
    if steps[0] is None or steps[1] is None:
        return None
    gap = steps[0] - steps[1] if finals[0] else steps[1] - steps[0]
    return finals[0] if gap > margin else None
