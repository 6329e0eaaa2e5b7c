"""Scorers made of scorers. Each takes one or more, is one itself, and can be put into another.

    reversed.py      `Reversed`: a second pass over the steps in reverse order (BiPRM); `gate.py` its weight
    windows.py       `Windows`: steps judged together with those before them (HRM)
    fast_slow.py     `FastSlow`: a dear scorer where a cheap one is unsure (Dyve)
    ensemble.py      `Ensemble`: mean, median, min, max, weighted; with the members' disagreement
    vote.py          `Vote`: share of members that say good, or the first error named most often
    calibrated.py    `Calibrated`: scores that come true; `calibration_maps.py` the maps
    masked.py        `Masked`: what scores after the first error are worth
    progress.py      `StepProgress`, `BestOfK`, `AdvantageScore`: from values to progress (PAV, GenPRM)
    premises.py      `Premises`: each step with only what it cites (Natural Program); `citations.py` readers
    parts.py         one call per member, sums of costs, what becomes of a missing score

Rules all share: every member is called once, for all traces together; a judgement names the original trace;
usage is the sum of what was spent; a missing score stays missing unless a setting says what stands in for
it; questions are not mixed unless the result's question is named. To add one: a file with a frozen
dataclass that has `source`, `question` and `score`, built on `ask` and `combined`.
"""

from preceptor.reward.combine.calibrated import Calibrated
from preceptor.reward.combine.calibration_maps import Isotonic, Platt, ScoreMap, Temperature
from preceptor.reward.combine.citations import ArithmeticCitations, WrittenCitations
from preceptor.reward.combine.ensemble import Ensemble, Spread
from preceptor.reward.combine.fast_slow import FastSlow
from preceptor.reward.combine.gate import Gate
from preceptor.reward.combine.masked import Masked
from preceptor.reward.combine.premises import Premises
from preceptor.reward.combine.progress import AdvantageScore, BestOfK, PassRate, StepProgress
from preceptor.reward.combine.reversed import Reversed
from preceptor.reward.combine.vote import Vote
from preceptor.reward.combine.windows import Windows

__all__ = [
    "AdvantageScore",
    "ArithmeticCitations",
    "BestOfK",
    "Calibrated",
    "Ensemble",
    "FastSlow",
    "Gate",
    "Isotonic",
    "Masked",
    "PassRate",
    "Platt",
    "Premises",
    "Reversed",
    "ScoreMap",
    "Spread",
    "StepProgress",
    "Temperature",
    "Vote",
    "Windows",
    "WrittenCitations",
]
