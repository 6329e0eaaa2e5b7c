"""Test-time search: one engine, one small file a strategy.

    engine.py      `solve`: the loop over all problems at once, one policy call and one scorer call a turn
    state.py       `Search`: one problem's tree, budget, random streams and waiting requests
    tree.py        `Tree`, `Node`, `Path`: what was tried, with its cost, discarded parts included
    strategy.py    `Strategy` and `Ask`: the hooks a strategy fills in; `steps`, `elect`, `ranked` for their bodies
    samples.py     `Samples`: base of strategies that choose among independent solutions
    result.py      `Solution`, `SolveResult`
    aggregate.py   step scores to one number
    vote.py        scores and answers to one winner
    methods.py     every strategy by name
    duplicates.py  equal prefixes
    answers.py     the answer of a text and its class
    resume.py      `solve` into a directory, going on where it was stopped; run_log.py is what it writes

The strategies: greedy.py, majority.py, best_of_n.py, weighted_vote.py, step_beam.py, and in folders

    voting/    choose among samples: votes, bounds, verdicts, confidence, allocation by difficulty
    beams/     keep some prefixes at each step
    trees/     grow a tree from the root: MCTS and its relatives
    sampling/  draw from other distributions: particles, powers
    refine/    write again what a critique, a test or a rationale finds wrong
    decoding/  look into the policy's next token: entropies, verifiers of tokens, insertions
    adaptive/  our own: vote, re-rank or search, as far as the scorer can be trusted

To add a strategy: a file with a frozen dataclass deriving from `Strategy`, its line in `methods.py`, and a
test that states to which other strategy it reduces in a limit. Its settings are the fields; what it remembers
about a problem goes to `search.memory` or to `node.data`; it never calls a policy or a scorer and never
reads a gold answer.
"""

from preceptor.search.aggregate import AGGREGATORS, PARAMETRIC, aggregate, graded_probability
from preceptor.search.best_of_n import BestOfN
from preceptor.search.engine import solve
from preceptor.search.greedy import Greedy
from preceptor.search.majority import Majority
from preceptor.search.methods import STRATEGIES, strategy
from preceptor.search.result import Candidate, Solution, SolveResult
from preceptor.search.samples import Samples
from preceptor.search.state import Search
from preceptor.search.step_beam import StepBeam
from preceptor.search.strategy import Ask, Strategy
from preceptor.search.tree import Node, Path, Status, Tree
from preceptor.search.vote import VOTES, connected_classes
from preceptor.search.weighted_vote import WeightedVote

__all__ = [
    "AGGREGATORS",
    "PARAMETRIC",
    "STRATEGIES",
    "VOTES",
    "Ask",
    "BestOfN",
    "Candidate",
    "Greedy",
    "Majority",
    "Node",
    "Path",
    "Samples",
    "Search",
    "Solution",
    "SolveResult",
    "Status",
    "StepBeam",
    "Strategy",
    "Tree",
    "WeightedVote",
    "aggregate",
    "connected_classes",
    "graded_probability",
    "solve",
    "strategy",
]
