"""Our own strategy: spend where the votes and the scores of this very problem say that it pays.

trust.py            how far the scores can be believed, from how they agree with the votes
prior.py            what an earlier run told of the scorer, without answers
trusted_search.py   the strategy: vote, re-rank or branch accordingly
"""

from preceptor.search.adaptive.prior import UNKNOWN, Prior
from preceptor.search.adaptive.trust import Sample, Trust, believed, learned
from preceptor.search.adaptive.trusted_search import TrustedSearch

__all__ = ["UNKNOWN", "Prior", "Sample", "Trust", "TrustedSearch", "believed", "learned"]
