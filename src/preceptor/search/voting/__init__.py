"""Strategies that choose among independent solutions, beyond best of n and the plain votes.

    scored_vote.py           `ScoredVote`: base of votes that need step scores and nothing else
    omegaprm_vote.py         products of step scores as weights (OmegaPRM)
    hmr.py wrf.py            majority where it is sure, else the best; reward against frequency (UnPRM)
    pessimistic.py           few voices are not trusted
    log_odds.py              low scores are evidence against an answer

    pass_rate_vote.py        `PassRateVote`: verdicts on whole solutions as weights; `verdict_quality`
    self_prm_vote.py outcome_vote.py opv_vote.py    who gives the verdicts, and about what
    agent_best_of_n.py       step labels of an agent's trajectory with an outcome verdict and a veto
    data_prm_best_of_n.py    step labels 0, 0.5 and 1
    belief_best_of_n.py      traces of beliefs, a block per line of the story (DEL-ToM)

    confidence.py            windows of token confidence
    deepconf.py deepconf_online.py    keep the confident; cut the others while they are written
    adaptive_consistency.py  as many samples as the votes need

    difficulty.py            quantile bins
    compute_optimal.py       another strategy for each bin of predicted difficulty
    clusters.py cluster_vote.py    answers in free form, counted by what they mean (SIOP)

The rules themselves are functions in `search/vote.py`; `bench/rerank.py` runs them on pools of stored samples.
"""
