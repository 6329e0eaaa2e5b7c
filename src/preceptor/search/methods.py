"""Every search strategy by name, and where it lives. Nothing is imported before it is asked for.

A user's own strategy goes by its import path, `my_module:MyStrategy`.
"""

from __future__ import annotations

from importlib import import_module

from preceptor.errors import InputError
from preceptor.search.strategy import Strategy

STRATEGIES = {
    "adaptive-consistency": "voting.adaptive_consistency:AdaptiveConsistency",
    "agent-best-of-n": "voting.agent_best_of_n:AgentBestOfN",
    "alphamath-beam": "beams.alphamath_beam:AlphaMathBeam",
    "alphamath-mcts": "trees.alphamath_mcts:AlphaMathMcts",
    "best-first": "beams.best_first:BestFirst",
    "best-of-n": "best_of_n:BestOfN",
    "cluster-vote": "voting.cluster_vote:ClusterVote",
    "compute-optimal": "voting.compute_optimal:ComputeOptimal",
    "cut-regenerate": "refine.cut_regenerate:CutRegenerate",
    "data-prm-best-of-n": "voting.data_prm_best_of_n:DataPRMBestOfN",
    "deepconf": "voting.deepconf:DeepConf",
    "deepconf-online": "voting.deepconf_online:DeepConfOnline",
    "del-tom": "voting.belief_best_of_n:BeliefBestOfN",
    "doubling-consistency": "voting.adaptive_consistency:DoublingConsistency",
    "dvts": "beams.dvts:Dvts",
    "early-rejection": "beams.early_rejection:EarlyRejection",
    "entropy-branching": "decoding.entropy_branching:EntropyBranching",
    "glore": "refine.glore:Glore",
    "gorm": "voting.outcome_vote:OutcomeVote",
    "greedy": "greedy:Greedy",
    "greedy-backtracking": "beams.greedy_backtracking:GreedyBacktracking",
    "hmr": "voting.hmr:HybridVote",
    "log-odds": "voting.log_odds:LogOddsVote",
    "lookahead-beam": "beams.lookahead:LookAheadBeam",
    "majority": "majority:Majority",
    "mur": "decoding.mur:Mur",
    "omegaprm-vote": "voting.omegaprm_vote:OmegaPRMVote",
    "opv": "voting.opv_vote:OPVVote",
    "orps": "refine.orps:Orps",
    "ovm-beam": "beams.ovm_beam:OvmBeam",
    "particle-filter": "sampling.particle_filter:ParticleFilter",
    "particle-gibbs": "sampling.particle_gibbs:ParticleGibbs",
    "pav-beam": "beams.pav_beam:PavBeam",
    "pessimistic": "voting.pessimistic:PessimisticVote",
    "phi": "decoding.phi:Phi",
    "power-sampling": "sampling.power_sampling:PowerSampling",
    "probe-stop": "decoding.probe_stop:ProbeStop",
    "prompt-intervention": "decoding.prompt_intervention:PromptIntervention",
    "propa": "trees.propa:Propa",
    "rationalyst": "refine.rationalyst:Rationalyst",
    "rationalyst-given": "refine.rationalyst:RationalystGiven",
    "rearter": "beams.rearter:Rearter",
    "rebase": "beams.rebase:Rebase",
    "refined-best-of-n": "refine.refined_best_of_n:RefinedBestOfN",
    "rest-mcts": "trees.rest_mcts:RestMcts",
    "rstar": "trees.rstar:RStar",
    "self-prm": "voting.self_prm_vote:SelfPRMVote",
    "step-beam": "step_beam:StepBeam",
    "successive-prompting": "decoding.successive_prompting:SuccessivePrompting",
    "truncate-regenerate": "refine.truncate_regenerate:TruncateRegenerate",
    "trusted-search": "adaptive.trusted_search:TrustedSearch",
    "vanilla-mcts": "trees.vanilla_mcts:VanillaMcts",
    "weighted-vote": "weighted_vote:WeightedVote",
    "wrf": "voting.wrf:RewardFrequencyVote",
}
"""Name -> module in this package and class."""


def strategy(name: str) -> type[Strategy]:
    """The strategy's class. InputError for an unknown name or an import path that leads to no strategy."""
    if name in STRATEGIES:
        path, _, attribute = STRATEGIES[name].partition(":")
        path = f"preceptor.search.{path}"
    elif ":" in name:
        path, _, attribute = name.partition(":")
    else:
        raise InputError(
            f"strategy {name!r}: expected one of {', '.join(sorted(STRATEGIES))}, or an import path module:Class"
        )
    try:
        found = getattr(import_module(path), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(f"strategy {name!r}: cannot be imported ({error})") from error
    if not (isinstance(found, type) and issubclass(found, Strategy)):
        raise InputError(
            f"strategy {name!r}: {attribute} is not a class that derives from preceptor.search.Strategy"
        )
    return found
