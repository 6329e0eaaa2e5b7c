"""Our annotator: finding the first error as inference, with a price on every question.

    first_error.py   `FirstErrorSearch`: the annotator; `Belief`, what it believes of a trace
    forest.py        all attempts at all problems, those that begin alike sharing their beginning
    inference.py     exact posterior of every step's state
    hazards.py       how likely a step errs and mends, learned from outcomes
    signals.py       how a step looks: cheap scorers as features
    probes.py        which rollout promises most per token

To improve it: a better signal is a `Scorer` in `signals`; the rest is one model in four small files.
"""

from preceptor.annotate.adaptive.first_error import Belief, FirstErrorSearch

__all__ = ["Belief", "FirstErrorSearch"]
