"""Sampling from other distributions than the policy's: towards what a scorer accepts, or what the policy is sure of.

    particle_filter.py  particles that are redrawn after every step in proportion to the odds of their score
    particle_gibbs.py   sweeps of it, with a particle of the last one kept
    resampling.py       weights, effective sample size, multinomial and systematic draws
    power_sampling.py   Metropolis-Hastings for the power p^alpha of the policy's own distribution
    tempered.py         local policies that say how likely their draw was at its temperature

A particle is a node; copies of it are several requests from that node, and a finished one that is copied is one
solution with a weight. Nothing is generated for a copy, and nothing is counted.
"""

from preceptor.search.sampling.particle_filter import ParticleFilter
from preceptor.search.sampling.particle_gibbs import ParticleGibbs
from preceptor.search.sampling.power_sampling import PowerSampling

__all__ = ["ParticleFilter", "ParticleGibbs", "PowerSampling"]
